"""A look at test data by anybody's candidates has its row in the ledger, as one of a trained run has."""

from __future__ import annotations

import csv
import json

import pytest
from lesion_world import LesionWorld

import medmtl
from medmtl.errors import ConfigError, MedmtlError, OutputError
from medmtl.files import sha256_file


@pytest.fixture
def world(tmp_path):
    made = LesionWorld.make(tmp_path / "world")
    made.write()
    return made


def score(world, ledger, **more):
    options = {"classes": ["ex"], "sanity": False, "draws": 5, "overlays": False} | more
    return medmtl.lesions(world.path("candidates.csv"), world.path("manifest.csv"), ledger=ledger, **options)


def rows(ledger):
    with ledger.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_each_look_has_a_row_that_results_name(world, tmp_path):
    ledger = tmp_path / "books" / "ledger.csv"
    first = score(world, ledger, split="test", out=tmp_path / "first")
    second = score(world, ledger)
    assert (first.result.ledger_row, second.result.ledger_row) == ("ledger.csv:L1", "ledger.csv:L2")
    one, two = rows(ledger)
    assert (one["row"], one["run"], one["seed"]) == ("L1", "candidates.csv", "")
    assert sha256_file(world.path("candidates.csv")).startswith(one["run_hash"])
    assert (one["manifest"], one["split"], one["samples"], one["code"] != "") == ("manifest.csv", "test", "4", True)
    assert two["split"] == "all"
    metrics = json.loads((tmp_path / "first" / "metrics.json").read_text())
    assert metrics["provenance"]["ledger_row"] == metrics["results"][0]["ledger_row"] == "ledger.csv:L1"
    assert "ledger.csv:L1" in (tmp_path / "first" / "index.html").read_text()


def test_without_one_nothing_is_recorded(world, tmp_path):
    assert score(world, None, out=tmp_path / "out").result.ledger_row == ""
    assert not list(tmp_path.rglob("ledger*"))


def test_what_fails_leaves_the_ledger_as_it_was(world, tmp_path):
    ledger = tmp_path / "ledger.csv"
    score(world, ledger)
    before = ledger.read_bytes()
    with pytest.raises(MedmtlError):
        score(world, ledger, classes=["nothing"])
    assert ledger.read_bytes() == before


def test_another_table_and_a_place_in_the_new_folder_are_refused_before_the_work(world, tmp_path):
    with pytest.raises(OutputError, match="the file is no ledger"):
        score(world, world.path("manifest.csv"))
    with pytest.raises(ConfigError, match="the ledger lies in the folder to be made"):
        score(world, tmp_path / "out" / "ledger.csv", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
