"""The table of how losses rise where lent features are perturbed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import medmtl
from medmtl.cli import app
from medmtl.errors import ConfigError, MedmtlError
from medmtl.progress import Progress
from medmtl.workflows.flatness import DIRECTIONS, MeasuredFlatness, flatness_lines, measure_flatness
from medmtl.workflows.training import train

QUIET = Progress(quiet=True)
COOPERATIVE = {
    "model": {"architecture": "cooperative"},
    "method": {"name": "alternating"},
    "training": {"epochs": 1},
    "views": {"lesions": {"size": 32, "batch_size": 4}},
    "tasks": {"lesions": {"view": "lesions"}},
}


@pytest.fixture(scope="module")
def run(small_config, tmp_path_factory) -> Path:
    config = small_config(**COOPERATIVE)
    return train(config, tmp_path_factory.mktemp("cooperative") / "run", progress=QUIET).run


@pytest.fixture(scope="module")
def found(run: Path, small_manifest: Path, tmp_path_factory) -> MeasuredFlatness:
    out = tmp_path_factory.mktemp("flat") / "f"
    return measure_flatness(run, small_manifest, radii=[0.1, 0.4], out=out, progress=QUIET)


def test_a_row_a_task_direction_and_radius(found):
    assert len(found.table) == 3 * len(DIRECTIONS) * 2
    assert (found.table["images"] > 0).all()
    rows = pd.read_csv(found.folder / "samples.csv")
    for row in found.table.to_dict("records"):
        mine = rows[(rows["task"] == row["task"]) & (rows["direction"] == row["direction"])]
        mine = mine[mine["radius"] == row["radius"]]
        assert row["images"] == len(mine)
        assert row["rise"] == pytest.approx(mine["rise"].mean())
        assert row["loss"] == pytest.approx(mine["loss"].mean())
        assert row["low"] <= row["rise"] <= row["high"]
    text = (found.folder / "flatness.svg").read_text()
    assert text.count("<svg") == 1
    assert len(flatness_lines(found.table)) == 1 + len(found.table)


def test_the_clean_loss_is_that_of_the_image_whatever_the_perturbation(found):
    rows = pd.read_csv(found.folder / "samples.csv")
    spread = rows.groupby(["sample", "task"])["loss"].agg(lambda part: float(np.ptp(part)))
    assert spread.max() < 1e-6


def test_a_look_is_recorded(found):
    assert len(pd.read_csv(found.folder.parent / "ledger.csv")) == 1


def test_the_call_in_python_takes_one_radius_or_many(run, small_manifest, tmp_path, found):
    one = medmtl.flatness(run, small_manifest, radii=0.4, out=tmp_path / "f", quiet=True)
    both = found.table[found.table["radius"] == 0.4].reset_index(drop=True)
    pd.testing.assert_frame_equal(one.table.reset_index(drop=True), both)
    with pytest.raises(ConfigError, match="no radius is given"):
        medmtl.flatness(run, small_manifest, radii=[], out=tmp_path / "none", quiet=True)


def test_a_network_that_lends_nothing_is_refused(small_run, small_config, small_manifest, tmp_path):
    with pytest.raises(ConfigError, match="no sub-models that lend"):
        measure_flatness(small_run, small_manifest, out=tmp_path / "f", progress=QUIET)
    alone = small_config(
        **(COOPERATIVE | {"model": {"architecture": "cooperative", "cooperation": {"lenders": "none"}}})
    )
    run = train(alone, tmp_path / "alone", progress=QUIET).run
    with pytest.raises(ConfigError, match="lenders: none"):
        measure_flatness(run, small_manifest, out=tmp_path / "f", progress=QUIET)
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--radius", "0"], "--radius"), (["--radius", "nan"], "--radius"), (["--split", "nowhere"], "nowhere")],
)
def test_bad_arguments_are_told_and_leave_nothing(run, small_manifest, tmp_path, arguments, said):
    call = ["flatness", str(run), "--manifest", str(small_manifest), "--out", str(tmp_path / "f"), "-q", *arguments]
    done = CliRunner().invoke(app, call)
    assert isinstance(done.exception, MedmtlError), done.output
    assert said in str(done.exception)
    assert not (tmp_path / "f").exists()


def test_the_command_prints_a_line_a_row(run, small_manifest, tmp_path):
    call = [
        "flatness",
        str(run),
        "--manifest",
        str(small_manifest),
        "--radius",
        "0.2",
        "--out",
        str(tmp_path / "f"),
        "-q",
    ]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert done.output.count("r=0.2") == 6
