from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from medmtl.explanation.exports import EXPORTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "heat-maps.md"


def test_the_tables_are_those_of_the_code():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "make_heatmap_reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    text = PAGE.read_text(encoding="utf-8")
    assert reference.filled(text) == text, "run python scripts/make_heatmap_reference.py"
    assert "`gradcam`" in text
    assert "`randomized`" in text


def test_every_export_is_told():
    told = re.findall(r"^\| `(\w+)` \| [^|]* \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(EXPORTS) <= set(told)
