"""Configurations: files that compose, keys that are checked, and errors of one line with path and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from medmtl.config import RunConfig, load_config, merge, parse_config, parse_override, read_yaml
from medmtl.errors import ConfigError, MedmtlError, suggestion
from medmtl.registry import Registry
from medmtl.run import dump_config

TASKS = {"tasks": {"grade": {"type": "classification"}}}


def config(**blocks: Any) -> RunConfig:
    return parse_config({**TASKS, **blocks})


def test_defaults_are_written_out_and_read_back_the_same():
    first = config()
    assert first.training.epochs == 20
    assert parse_config(yaml.safe_load(dump_config(first))) == first


def test_later_files_and_overrides_win_key_by_key(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("training: {epochs: 3, lr: 1e-3}\ntasks: {a: {type: x}, b: {type: y}}\n")
    (tmp_path / "b.yaml").write_text("training: {epochs: 4}\ntasks: {b: null}\n")
    read = load_config([tmp_path / "a.yaml", tmp_path / "b.yaml"], ["training.lr=2.0e-3", "views.field.size=64"])
    assert (read.training.epochs, read.training.lr, read.views["field"].size) == (4, 2e-3, 64)
    assert list(read.tasks) == ["a"]


def test_a_number_that_yaml_reads_as_text_is_still_a_number():
    """YAML 1.1 takes 1e-4 (no dot) for text."""
    assert config(**parse_override("training.lr=1e-4")).training.lr == 1e-4


@pytest.mark.parametrize("text", ["\ufeffname: x\n", "name: x\r\nseed: 1\r\n"])
def test_bom_and_crlf_are_read(tmp_path: Path, text: str):
    (tmp_path / "c.yaml").write_bytes(text.encode())
    assert read_yaml(tmp_path / "c.yaml")["name"] == "x"


def test_merge_keys_and_anchors_work(tmp_path: Path):
    (tmp_path / "c.yaml").write_text("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n")
    assert read_yaml(tmp_path / "c.yaml")["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("blocks", "place", "said"),
    [
        ({"trainin": {}}, "trainin", "did you mean 'training'?"),
        ({"training": {"epoch": 3}}, "training.epoch", "did you mean 'epochs'?"),
        ({"views": {"field": {"sise": 64}}}, "views.field.sise", "did you mean 'size'?"),
        ({"views": {"size": {"batchsize": 64}}}, "views.size.batchsize", "did you mean 'batch_size'?"),
        ({"views": {"field": {"augment": {"flips": True}}}}, "views.field.augment.flips", "did you mean 'flip'?"),
        ({"model": {"encoder": {"nam": "x"}}}, "model.encoder.nam", "did you mean 'name'?"),
        ({"training": {"epochs": 0}}, "training.epochs", "greater than or equal to 1; found 0"),
        ({"training": {"epochs": "many"}}, "training.epochs", "integer"),
        ({"training": {"epochs": True}}, "training.epochs", "not yes or no"),
        ({"training": {"epochs": 2.5}}, "training.epochs", "integer"),
        ({"training": {"compile": "maybe"}}, "training.compile", "true or false"),
        ({"training": {"compile": 1}}, "training.compile", "true or false"),
        ({"training": {"lr": float("nan")}}, "training.lr", "finite"),
        ({"training": {"clip_norm": float("inf")}}, "training.clip_norm", "finite"),
        ({"training": {"device": "gpu"}}, "training.device", "auto, cpu, cuda or cuda:N"),
        ({"training": {"precision": "fp8"}}, "training.precision", "'fp32', 'bf16' or 'fp16'"),
        ({"training": None}, "training", "a block of keys; found None"),
        ({"training": [1]}, "training", "a block of keys"),
        ({"data": {"manifests": "m.csv"}}, "data.manifests", "write ['m.csv']"),
        ({"data": {"exclude_patients": [7]}}, "data.exclude_patients.0", "quotes"),
        ({"data": {"cache": "ram"}}, "data.cache", "'memory'"),
        ({"data": {"validation_split": "test"}}, "data.validation_split", "'train' or 'val'"),
        ({"name": 5}, "name", "quotes"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"seed": 2**63}, "seed", "less than or equal to 9223372036854775807"),
        ({"evaluation": {"seed": 2**63}}, "evaluation.seed", "less than or equal to 9223372036854775807"),
        ({"evaluation": {"seed": -1}}, "evaluation.seed", "greater than or equal to 0"),
        ({"views": {"field": {"size": 64, "patch": 128}}}, "views.field", "larger than the view's size (64)"),
        ({"views": {"field": {"patches_per_image": 4}}}, "views.field", "there is no patch"),
        ({"views": {}}, "views", "at least one entry"),
        ({"tasks": {}}, "tasks", "at least one entry"),
        ({"tasks": {"a b": {"type": "x"}}}, "tasks", "'a b' is no name"),
        ({"tasks": {"a\n": {"type": "x"}}}, "tasks", "is no name"),
        ({"tasks": {"image": {"type": "x"}}}, "tasks", "the word is taken"),
        ({"tasks": {"geometry": {"type": "x"}}}, "tasks", "the word is taken"),
        ({"tasks": {"a": {}}}, "tasks.a.type", "a required key is missing"),
        ({"tasks": {"a": {"type": "x", "view": "feild"}}}, "", "did you mean 'field'?"),
        ({"tasks": {"a": 5}}, "tasks.a", "a block of keys; found 5"),
        ({7: 8}, "7", "text"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(blocks: dict[Any, Any], place: str, said: str):
    with pytest.raises(ConfigError) as caught:
        parse_config({**TASKS, **blocks})
    line = str(caught.value)
    assert said.lower() in line.lower()
    assert line.startswith(f"{place}: " if place else "configuration: ")
    assert "\n" not in line


def test_no_tasks_at_all():
    with pytest.raises(ConfigError, match="tasks: a required key is missing"):
        parse_config({"seed": 1})


def test_long_values_are_cut():
    with pytest.raises(ConfigError) as caught:
        config(training={"epochs": "9" * 10000})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1, 2\n", "line"),
        (b"a: 1\na: 2\n", "line 2"),
        (b"x:\n  b: 1\n  b: 2\n", "the key 'b' stands twice"),
        (b"- 1\n", "must be a mapping"),
        (b"just text\n", "must be a mapping"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("größe: 1".encode("latin-1"), "not UTF-8"),
        (b"a: \x00", "not valid YAML"),
        (b"a: 2001-99-99\n", "put text in quotes"),
        (b"[" * 5000, "too deep"),
        (b"? [a]\n: 1\n", "a key must be text"),
        (b"? {a: 1}\n: 1\n", "a key must be text"),
        (b"a: !!python/object/apply:os.system ['true']\n", "python/object"),
        (b"a: *nobody\n", "undefined alias"),
        (b"a:\n\t- 1\n", "line 2"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, said: str):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config([path])
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_folder_and_empty_file(tmp_path: Path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_config([path])
    (tmp_path / "e.yaml").write_text("# nothing\n")
    with pytest.raises(ConfigError, match="empty"):
        load_config([tmp_path / "e.yaml"])


@pytest.mark.parametrize("text", ["training.epochs", "=3", "training..epochs=3", ".a=1", "a.=1", "", " =1"])
def test_overrides_of_another_form(text: str):
    with pytest.raises(ConfigError, match=r"--set needs key\.path=value"):
        parse_override(text)


def test_override_values_are_yaml():
    assert parse_override("a.b=[1, x]") == {"a": {"b": [1, "x"]}}
    assert parse_override("a=b=c") == {"a": "b=c"}
    assert parse_override("a=") == {"a": None}
    for text in ("a=[1", "a=2001-99-99", "a={x: 1, x: 2}"):
        with pytest.raises(ConfigError, match="not valid YAML"):
            parse_override(text)


TREES = st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3))
MAPS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


@given(MAPS, MAPS, MAPS)
def test_merging_is_associative_and_idempotent(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]):
    assert merge(a, a) == a
    assert merge(a, {}) == merge({}, a) == a
    # A scalar laid between two blocks hides the first one; without scalars over blocks the order of laying is free.
    if not clashes(a, b) and not clashes(b, c) and not clashes(a, c):
        assert merge(merge(a, b), c) == merge(a, merge(b, c))


def clashes(a: dict[str, Any], b: dict[str, Any]) -> bool:
    for key in a.keys() & b.keys():
        if isinstance(a[key], dict) != isinstance(b[key], dict):
            return True
        if isinstance(a[key], dict) and clashes(a[key], b[key]):
            return True
    return False


def test_merge_leaves_its_arguments_alone():
    base: dict[str, Any] = {"a": {"b": 1}}
    merge(base, {"a": {"b": 2, "c": 3}})
    assert base == {"a": {"b": 1}}


def test_suggestion():
    assert suggestion("epoch", ["epochs", "lr"]) == "did you mean 'epochs'?"
    assert suggestion("zzz", ["b", "a"]) == "known: a, b"
    assert suggestion("zzz", []) == "known: none"


@given(st.text(), st.text(), st.text(), st.text())
def test_an_error_is_one_line(what: str, where: str, found: str, remedy: str):
    error = MedmtlError(what, where=where, found=found, remedy=remedy)
    assert len(str(error).splitlines()) <= 1


def test_registry_refuses_duplicates_and_suggests():
    registry: Registry[int] = Registry("thing")
    registry.register("one")(1)
    assert ("one" in registry, list(registry), len(registry), registry.get("one")) == (True, ["one"], 1, 1)
    with pytest.raises(ValueError, match="twice"):
        registry.register("one")(2)
    with pytest.raises(ConfigError, match="here: unknown thing; found 'on'; did you mean 'one'"):
        registry.get("on", where="here")
