"""The example of the documents is read as they say, and the command and the Python call are there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml

import medmtl
from medmtl.cli import run
from medmtl.comparison import telling
from medmtl.comparison.content import Missing
from medmtl.comparison.scheduling import InterruptedComparison
from medmtl.comparison.spec import RowBlock, Spec, read_spec

PAGE = Path(__file__).parents[2] / "docs" / "comparing.md"


def test_the_example_of_the_page(tmp_path: Path):
    text = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "mine.yaml").write_text(text)
    spec = read_spec(tmp_path / "mine.yaml")
    assert spec.row_names == ("single_task", "equal", "fixed", "uw_so", "pcgrad")
    assert spec.learning_rates == [3e-4, 1e-3, 3e-3]


def test_the_page_has_every_key():
    told = set(re.findall(r"^\| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    keys = {key for cell in told for key in re.findall(r"`([\w.]+)`", cell)}
    rows = {f"rows.NAME.{name}" for name in RowBlock.model_fields}
    assert keys == {name for name in Spec.model_fields if name != "name"} | rows


def test_the_python_call_takes_what_the_command_takes():
    ours, theirs = (inspect.signature(item).parameters for item in (medmtl.compare, telling.compare))
    assert [*ours][:-1] == [*theirs][:-1]
    for name in [*ours][:-1]:
        assert ours[name].default == theirs[name].default


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def put(result) -> None:
        def compare(*_, **__):
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(telling, "compare", compare)

    return put


def test_what_the_command_says(told, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    done = telling.Compared(tmp_path, tmp_path / "index.html", None, {}, 7, (Missing("a/seed0", "no data"),))
    told(done)
    assert run(["compare", "x.yaml", "--out", str(tmp_path)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[:2] == ["no result: a/seed0: no data", "7 cells evaluated, 1 without a result"]


@pytest.mark.parametrize("number", [2, 15])
def test_a_stopped_comparison_says_how_to_go_on(told, number: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    told(InterruptedComparison(number))
    assert run(["compare", "x.yaml", "--out", str(tmp_path)]) == 128 + number
    assert capfd.readouterr().err == "stopped; the cells are saved: the same command goes on\n"


@pytest.mark.slow
def test_a_real_comparison(small_config, tmp_path: Path):
    """Two real cells of a few seconds each, as processes; a second command finds everything done."""
    config = small_config(training={"epochs": 1}, evaluation={"bootstrap": 100}).model_dump(mode="json")
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(config))
    manifest = config["data"]["manifests"][0]
    spec = {"base": ["base.yaml"], "seeds": [0], "rows": {"equal": {}, "uw": {"method": {"name": "uw"}}}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**spec, "evaluate": [{"manifest": manifest}]}))
    done = medmtl.compare(tmp_path / "spec.yaml", tmp_path / "out", workers=1, quiet=True)
    assert done.missing == ()
    assert done.cells == 2
    numbers = done.table.set_index("row")
    assert numbers["seconds_per_step"].gt(0).all()
    assert numbers["peak_memory_mb"].gt(100).all()
    low = [name for name in numbers if name.endswith(" low") and name.startswith("vessels")]
    assert numbers[low[0]].notna().all()
    before = (done.folder / "table.csv").read_bytes()
    again = medmtl.compare(tmp_path / "spec.yaml", tmp_path / "out", quiet=True)
    assert (again.folder / "table.csv").read_bytes() == before
    assert len((done.folder / "ledger.csv").read_text().splitlines()) == 1 + 2
