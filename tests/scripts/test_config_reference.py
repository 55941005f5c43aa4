from __future__ import annotations

import pytest
from programs import ROOT, program

from medmtl.config import RunConfig, TrainingConfig
from medmtl.optim import argument_names, methods
from medmtl.tasks.base import tasks


@pytest.fixture(scope="module")
def script():
    return program("scripts/make_config_reference.py")


def test_the_committed_reference_is_what_the_schema_says(script):
    committed = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert committed == script.reference(), "run scripts/make_config_reference.py"


def test_every_key_of_every_block_stands_in_it(script):
    text = script.reference()
    blocks = [RunConfig]
    for block in blocks:
        blocks += [inner for field in block.model_fields.values() for inner in script.blocks_in(field.annotation)]
    assert TrainingConfig in blocks
    keys = {key for block in blocks for key in block.model_fields}
    keys |= {key for name in tasks for key in tasks.get(name).config_type.model_fields}
    keys |= {key for name in methods for key in argument_names(methods.get(name))}
    assert [key for key in sorted(keys) if f"| `{key}` |" not in text and key != "type"] == []
    assert all(f"type: {name}`" in text for name in tasks)
    assert all(f"### `{name}`" in text for name in methods)


def test_every_type_is_told_in_words(script):
    text = script.reference()
    assert "typing." not in text
    assert "FieldInfo" not in text
    assert "| `ignore` | list of whole number, ≥ 0, ≤ 255 |" in text


def test_every_table_is_whole(script):
    widths = []
    for line in script.reference().splitlines():
        if not line.startswith("|"):
            widths = []
            continue
        widths.append(line.replace("\\|", "").count("|"))
        assert len(set(widths)) == 1, line


def test_check_tells_a_stale_file(script, tmp_path, monkeypatch):
    target = tmp_path / "configuration.md"
    monkeypatch.setattr(script, "TARGET", target)
    with pytest.raises(SystemExit):
        script.main(check=True)
    script.main(check=False)
    script.main(check=True)
    target.write_text(target.read_text() + "\n")
    with pytest.raises(SystemExit):
        script.main(check=True)


def test_a_new_key_changes_the_text(script, monkeypatch):
    before = script.reference()
    monkeypatch.setattr(TrainingConfig.model_fields["epochs"], "description", "Something else.")
    assert script.reference() != before
