from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medmtl.data.sources import Source, list_sources, make_manifest, resolve_options, sources
from medmtl.errors import ConfigError, ManifestError

NAMES = ["diaretdb1", "drive_av", "folder", "hrf_av", "idrid", "messidor2"]
NEEDED = {"folder": {"labels": "labels.csv"}}


def test_every_source_is_listed_with_what_a_person_needs() -> None:
    listed = list_sources()
    assert [source.name for source in listed] == NAMES
    for source in listed:
        texts = (source.title, source.description, source.url, source.terms, source.citation, source.expected_layout)
        assert all(texts)
        assert "\n" not in source.description
        for option in source.options:
            assert option.help
            assert option.default in option.choices or not option.choices


def test_unknown_source_option_and_value_are_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'idrid'"):
        make_manifest("idirid", tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'part'"):
        make_manifest("idrid", tmp_path, {"prat": "all"})
    with pytest.raises(ConfigError, match="did you mean 'grading'"):
        make_manifest("idrid", tmp_path, {"part": "gradng"})
    with pytest.raises(ConfigError, match="option 'labels' is needed"):
        make_manifest("folder", tmp_path)


def test_defaults_are_filled_in() -> None:
    chosen = resolve_options(sources.get("idrid"), {"part": "all"})
    assert chosen["part"] == "all"
    assert chosen["no_box"] == "unknown"
    assert set(chosen) == {option.name for option in sources.get("idrid").options}


@pytest.mark.parametrize("name", NAMES)
def test_a_root_that_is_missing_or_a_file_is_said_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for root, found in ((tmp_path / "nowhere", "nothing there"), (tmp_path / "file", "a file")):
        with pytest.raises(ManifestError, match=found) as caught:
            make_manifest(name, root, NEEDED.get(name))
        assert "\n" not in str(caught.value)
        assert str(root) in str(caught.value)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "folder"])
def test_a_wrong_root_says_what_was_looked_for_what_is_there_and_what_is_expected(name: str, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").write_bytes(b"x")
    with pytest.raises(ManifestError) as caught:
        make_manifest(name, tmp_path)
    message = str(caught.value)
    assert "in the two levels below" in message
    assert "found holiday/" in message
    assert "expected: " in message
    assert isinstance(sources.get(name), Source)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "folder"])
def test_an_empty_folder_is_said_to_be_empty(name: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="an empty folder"):
        make_manifest(name, tmp_path)


def test_the_sources_need_no_torch() -> None:
    code = "import sys, medmtl.data.sources; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
