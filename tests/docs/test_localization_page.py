"""What docs/localization.md shows can be built, and its table of receptive fields names encoders that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from medmtl.config import parse_config
from medmtl.inference.network import build_network, build_tasks
from medmtl.models.encoders import encoders

PAGE = (Path(__file__).parents[2] / "docs" / "localization.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_configurations_make_networks(text):
    data = {"model": {"encoder": {"weights": "none"}}, **yaml.safe_load(text)}
    config = parse_config(data)
    network = build_network(config, build_tasks(config)).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 64, 64))["lesions"].maps.shape[-1] in {4, 8}


@pytest.mark.parametrize("override", sorted(set(re.findall(r"`((?:model\.encoder|inference)\.\w+: [\w\d]+)`", PAGE))))
def test_named_keys_are_accepted(override):
    key, value = override.split(": ")
    inner = {key.split(".")[-1]: yaml.safe_load(value)}
    encoder = {"weights": "none", **inner} if key.startswith("model") else {"weights": "none"}
    inference = inner if key.startswith("inference") else {}
    task = {"type": "localization", "classes": ["a"], "stride": 8, "inference": inference}
    config = parse_config({"model": {"encoder": encoder}, "tasks": {"les": task}})
    assert build_tasks(config)
    assert config.model.encoder.name in encoders


def test_poolings_of_the_page_are_those_of_the_schema():
    from medmtl.tasks.localization_config import LocalizationConfig

    named = re.findall(r"^\| `(\w+)`(?: \(default\))? \| ", PAGE, re.MULTILINE)
    schema = LocalizationConfig.model_json_schema()["properties"]["pooling"]["enum"]
    assert sorted(set(named) - {"pooling"}) == sorted(schema)  # the first row is the head
