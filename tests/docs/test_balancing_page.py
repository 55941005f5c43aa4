"""What docs/balancing.md shows can be run: its configurations, its Python, its names of methods and keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from medmtl.config import parse_config
from medmtl.optim import make_method, methods

PAGE = (Path(__file__).parents[2] / "docs" / "balancing.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_configurations_are_accepted(text):
    base = {"data": {"manifests": ["m.csv"]}, "tasks": {"dr": {"type": "classification"}}}
    config = parse_config({**base, **yaml.safe_load(text)})
    assert make_method(config.method.name, **config.method.arguments).info.name == config.method.name


def test_the_python_trains():
    (text,) = blocks("python")

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.a, self.b = nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(3, 1)

        def forward(self, x):
            return {"a": self.a(self.trunk(x)), "b": self.b(self.trunk(x))}

    x = torch.randn(4, 2)
    labels = {"a": torch.tensor([[1.0], [2.0], [float("nan")], [0.0]]), "b": x[:, :1]}
    losses = dict.fromkeys("ab", lambda output, label: (output - label) ** 2)
    names = {"network": Network(), "losses": losses, "loader": [(x, labels)] * 2}
    exec(compile(text, "balancing.md", "exec"), names)
    assert names["report"].counts == {"a": 3, "b": 4}


def test_named_methods_exist():
    words = set(re.findall(r"`(\w+)`", PAGE))
    named = {
        "equal",
        "fixed",
        "uw_o",
        "gls",
        "imtl_l",
        "uw_so",
        "mao",
        "pcgrad",
        "upgrad",
        "cagrad",
        "nash_mtl",
        "mtcl",
    }
    assert named <= words
    assert named <= set(methods)


@pytest.mark.parametrize("override", re.findall(r"`((?:method|model)\.[\w.]+=\w+)`", PAGE))
def test_named_overrides_are_accepted(override):
    key, value = override.split("=")
    data: dict = {
        "data": {"manifests": ["m.csv"]},
        "tasks": {"dr": {"type": "classification"}},
        "method": {"name": "mtcl"},
    }
    place = data
    *path, last = key.split(".")
    for part in path:
        place = place.setdefault(part, {})
    place[last] = value
    config = parse_config(data)
    make_method(config.method.name, **config.method.arguments)


def test_every_document_that_should_leads_here():
    root = Path(__file__).parents[2]
    for page, links in {
        "README.md": ("docs/balancing.md", "docs/methods.md"),
        "docs/architecture.md": ("balancing.md", "methods.md"),
    }.items():
        text = (root / page).read_text(encoding="utf-8")
        assert all(f"({link})" in text for link in links), page
