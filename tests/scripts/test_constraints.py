from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pins():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+", line) for line in lines)
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def needed(name, extras=frozenset(), seen=None):
    """Every package that an installed one brings on this machine, with itself."""
    seen = {} if seen is None else seen
    key = (canonicalize_name(name), frozenset(extras))
    if key not in seen:
        seen[key] = True
        for requirement in map(Requirement, metadata.requires(name) or []):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                needed(requirement.name, requirement.extras, seen)
    return {name for name, _ in seen}


def test_every_declared_package_is_pinned_to_a_version_that_it_allows(pins):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_pins_are_the_dependency_tree_and_nothing_else(pins):
    assert needed("medmtl", ("dev",)) - {"medmtl"} == set(pins)


def test_torch_and_torchvision_go_together(pins):
    assert (pins["torch"], pins["torchvision"]) == ("2.14.1", "0.29.1")
