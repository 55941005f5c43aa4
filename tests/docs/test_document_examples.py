"""The table and the configuration that the documents show are read as the documents say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from medmtl.config import parse_config
from medmtl.data.manifest import Manifest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def samples(tmp_path):
    text = re.search(r"```\n(image,.*?)```", (DOCS / "data-format.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    path = tmp_path / "mine.csv"
    path.write_text(text)
    return Manifest.read(path).samples


def test_the_table_of_the_data_format(samples):
    first, second, third = samples
    assert dict(first.labels) == {"dr_grade": "2", "lesions.hard_exudates": "1", "lesions.haemorrhages": "0"}
    assert first.masks["lesions.hard_exudates"].absent
    assert (first.id, first.dataset, first.laterality) == ("17_L", "mine", "L")
    assert not second.labels
    assert not second.masks
    assert set(third.labels) == {"dr_grade"}
    assert set(third.masks) == {"vessels"}


@pytest.mark.parametrize(
    "reference",
    [
        "m.png",
        "m.png#any",
        "m.png#=3",
        "m.png#>=189",
        "m.png#rgb",
        "x_*_plain.xml#Hard_exudates",
        "x_*_plain.xml#Hard_exudates:any",
        "absent",
    ],
)
def test_every_form_of_a_mask_reference(tmp_path, reference):
    assert f"`{reference}`" in (DOCS / "data-format.md").read_text(encoding="utf-8")
    path = tmp_path / "m.csv"
    path.write_text(f"image,mask:x\na.png,{reference}\n")
    assert "x" in Manifest.read(path).samples[0].masks


def test_the_configuration_of_bring_your_own_data():
    from medmtl.tasks.base import build_task

    text = re.search(r"```yaml\n(.*?)```", (DOCS / "bring-your-own-data.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    config = parse_config(yaml.safe_load(text))
    for name, block in config.tasks.items():
        (found,) = build_task(name, block).target.classes
        assert (found.column, found.positive) == ("dr_grade", ("1", "2", "3", "4"))
    assert {block.type for block in config.tasks.values()} == {"classification", "localization"}
