from __future__ import annotations

import re

import pytest
from programs import ROOT, program

from medmtl.explanation.exports import EXPORTS

PAGE = ROOT / "docs" / "heat-maps.md"


def test_the_tables_are_those_of_the_code():
    reference = program("scripts/make_heatmap_reference.py")
    text = PAGE.read_text(encoding="utf-8")
    assert reference.filled(text) == text, "run python scripts/make_heatmap_reference.py"
    assert "`gradcam`" in text
    assert "`randomized`" in text


def test_check_tells_stale_tables(tmp_path, monkeypatch):
    reference = program("scripts/make_heatmap_reference.py")
    stale = tmp_path / "heat-maps.md"
    stale.write_text(PAGE.read_text(encoding="utf-8").replace("| `road` |", "| `rod` |"), encoding="utf-8")
    monkeypatch.setattr(reference, "TARGET", stale)
    with pytest.raises(SystemExit):
        reference.main(check=True)
    reference.main(check=False)
    reference.main(check=True)
    assert stale.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")


def test_every_export_is_told():
    told = re.findall(r"^\| `(\w+)` \| [^|]* \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(EXPORTS) <= set(told)
