"""The comparisons that are shipped can be planned, and every method in them made: what a page tells to run does run."""

from __future__ import annotations

from pathlib import Path

import pytest

from medmtl.comparison import planning
from medmtl.comparison.spec import read_spec
from medmtl.optim import make_method

FOLDER = Path(__file__).parents[2] / "configs" / "compare"
SPECS = sorted(path for path in FOLDER.glob("*.yaml") if not path.stem.endswith("-base"))
# Baselines and controls that any claim for cooperation needs: row, architecture, method, and what is particular.
COOPERATION = {
    "controls": {
        "own_noise": {"target": "own", "flatness": "uniform"},
        "imagenet_features": {"lenders": "untrained"},
        "random_weights": {"lenders": "random"},
        "shuffled_features": {"lenders": "shuffled"},
    },
    "cooperation": {
        "joint": {"name": "equal"},
        "attached": {"name": "independent"},
        "detached": {"name": "alternating"},
        "noise": {"name": "mtcl", "flatness": "uniform"},
        "ascent": {"name": "mtcl", "flatness": "ascent"},
        "weight_noise": {"name": "mtcl", "target": "weights"},
    },
}


@pytest.fixture(autouse=True)
def _without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifests of real data are not here; that a split has samples is looked at elsewhere."""
    for check in ("_check_manifests", "_check_base"):
        monkeypatch.setattr(planning, check, lambda *_: {})


def planned(path: Path) -> planning.Plan:
    return planning.make_plan(read_spec(path), path)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_cell_has_a_valid_configuration(path: Path):
    plan = planned(path)
    assert plan.series
    for series in plan.series:
        for config in series.configs.values():
            info = make_method(config.method.name, **config.method.arguments).info
            assert not info.needs_split or config.model.architecture == "cooperative"
            assert len(config.tasks) == 1 or not series.name.startswith("single_task")


@pytest.mark.parametrize("name", COOPERATION)
def test_baselines_and_controls_of_cooperation_are_there(name: str):
    plan = planned(FOLDER / f"{name}.yaml")
    configs = {series.name: next(iter(series.configs.values())) for series in plan.series}
    assert any(series.startswith("single_task") for series in configs)
    for row, wanted in COOPERATION[name].items():
        config = configs[row]
        assert config.model.architecture == "cooperative"
        info = make_method(config.method.name, **config.method.arguments).info
        method = {"name": info.name, **config.method.arguments}
        found = {**method, "lenders": config.model.cooperation.lenders}
        assert {key: found[key] for key in wanted} == wanted
