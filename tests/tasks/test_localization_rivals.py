"""Beside a network's lesion figures stand those of things that know nothing; each is checked on an image made for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import medmtl
from medmtl.config import TaskBlock
from medmtl.evaluation import Candidates, lesion_targets
from medmtl.evaluation.sanity import BRIGHT, CONSTANT, DARK
from medmtl.geometry import Geometry
from medmtl.run import RunFolder
from medmtl.tasks import Localization, Origin, Scene, Settings, build_task
from medmtl.tasks.localization_records import LocalizationPrediction, LocalizationTruth
from medmtl.tasks.localization_rivals import UNTRAINED
from medmtl.training.checkpoint import weights_hash
from medmtl.workflows.setup import Setup
from medmtl.workflows.trained import open_trained, untrained_network

SIZE = 128
Y, X = np.mgrid[:SIZE, :SIZE]
FIELD = (Y - 64) ** 2 + (X - 64) ** 2 < 62**2


def disc(x: int, y: int, radius: float = 4) -> np.ndarray:
    return (Y - y) ** 2 + (X - x) ** 2 <= radius**2


def said(points: list[tuple[float, float, float]]) -> LocalizationPrediction:
    """Both maps give the same points."""
    x, y, score = np.array(points, dtype=float).reshape(-1, 3).T
    candidates = Candidates.points(x, y, score)
    return LocalizationPrediction(np.zeros((2, 8, 8), np.float32), np.zeros(2, np.float32), (candidates, candidates))


@pytest.fixture
def task() -> Localization:
    block = {"type": "localization", "classes": ["bright", "dark"], "tolerances": [0, 6]}
    built = build_task("les", TaskBlock.model_validate(block))
    assert isinstance(built, Localization)
    return built


def sensitivities(task: Localization, lesion: str) -> dict[str, float]:
    """All candidates of each row, on an image with one bright and one dark lesion of twice the view's scale."""
    image = np.full((SIZE, SIZE, 3), 100, np.uint8)
    image[disc(40, 50)], image[disc(90, 70)] = 200, 20
    truth = {"bright": disc(40, 50), "dark": disc(90, 70)}
    doubled = {name: lesion_targets(np.kron(mask, np.ones((2, 2), bool))) for name, mask in truth.items()}
    known = LocalizationTruth(np.array([1, 1], np.float32), np.zeros(0, np.float32), doubled)
    field = np.kron(FIELD, np.ones((2, 2), bool))
    geometry = Geometry(2 * SIZE, 2 * SIZE, 0, 0, 2 * SIZE, SIZE)
    record = task.record(said([(80.5, 100.5, 1.0)]), known, field, Origin("i", "p"))
    assert record is not None
    scene = Scene(image * FIELD[..., None], FIELD, geometry)
    record = task.beside(record, known, field, scene, said([(180.5, 140.5, 1.0)]))
    tables = task.findings([record], Settings(bootstrap=100)).tables
    frame = next(table.frame for table in tables if table.name == f"lesions.{lesion}")
    return dict(zip(frame["candidates"], frame["all_candidates"], strict=True))


def test_each_rival_finds_what_it_can(task: Localization):
    bright, dark = sensitivities(task, "bright"), sensitivities(task, "dark")
    assert bright["model"] == 1
    assert dark["model"] == 0
    assert (bright[UNTRAINED], dark[UNTRAINED]) == (0, 1)
    assert (bright[BRIGHT], dark[DARK]) == (1, 1)
    assert bright[CONSTANT] == dark[CONSTANT] == 0
    assert "random points" in bright


def test_the_network_before_training_is_that_of_the_first_update(small_run: Path):
    trained = open_trained(small_run)
    state = torch.get_rng_state()
    before = untrained_network(trained)
    assert torch.equal(torch.get_rng_state(), state)
    first = Setup(RunFolder.open(small_run).config).network()
    assert weights_hash(before.state_dict()) == weights_hash(first.state_dict())
    assert weights_hash(before.state_dict()) != weights_hash(trained.network.state_dict())


def test_an_evaluation_with_lesions_has_the_rows(small_run: Path, small_manifest: Path, tmp_path: Path):
    folder = medmtl.evaluate(small_run, small_manifest, split="val", out=tmp_path / "e", quiet=True).folder
    tables = list((folder / "tables").glob("*lesions-*.csv"))
    assert tables
    for path in tables:
        rows = set(pd.read_csv(path)["candidates"])
        assert rows >= {"model", "random points", UNTRAINED, BRIGHT}
    assert json.loads((folder / "metrics.json").read_text())
