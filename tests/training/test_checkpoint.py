from __future__ import annotations

import pathlib
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medmtl.errors import CheckpointError, OutputError
from medmtl.training.checkpoint import FORMAT, load_checkpoint, save_checkpoint, weights_hash

STATE = {"network": {"w": torch.arange(300.0)}, "standing": {"best_score": float("-inf"), "step": 3}}


@pytest.fixture
def path(tmp_path):
    save_checkpoint(tmp_path / "last.pt", STATE)
    return tmp_path / "last.pt"


def test_round_trip(path):
    state = load_checkpoint(path)
    assert state["standing"] == STATE["standing"]
    assert torch.equal(state["network"]["w"], STATE["network"]["w"])
    assert [entry.name for entry in path.parent.iterdir()] == ["last.pt"]


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_damage_is_one_line_or_changes_nothing(path, data):
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    harmed = (
        whole[:place] if data.draw(st.booleans()) else whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :]
    )
    other = path.with_name("harmed.pt")
    other.write_bytes(harmed)
    said = None
    try:
        state = load_checkpoint(other, needs=("network", "standing"))
    except CheckpointError as error:
        said = str(error)
    if said is None:
        assert weights_hash(state["network"]) == weights_hash(STATE["network"])
    else:
        assert "\n" not in said
        assert "harmed.pt" in said


def test_a_flipped_bit_in_the_weights_is_noticed(path):
    whole = bytearray(path.read_bytes())
    place = whole.find(torch.tensor([150.0, 151.0]).numpy().tobytes())
    whole[place] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="read"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ({"format": FORMAT + 1, "network": {}}, "newer version"),
        ({"format": "one"}, "not a checkpoint"),
        ({"network": {}}, "not a checkpoint"),
        ([1, 2], "not a checkpoint"),
        ({"format": FORMAT}, "no 'network'"),
    ],
)
def test_other_files_are_refused(state, what, tmp_path):
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=what):
        load_checkpoint(tmp_path / "x.pt")


def test_a_missing_one_and_another_archive_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "x.pt")


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_code_in_a_checkpoint_is_not_run(tmp_path, capsys):
    torch.save({"format": 1, "network": Evil()}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "x.pt")
    assert capsys.readouterr().out == ""


def test_a_full_disk_leaves_the_last_one(path, monkeypatch):
    def full(self, data):
        with self.open("wb") as stream:
            stream.write(bytes(data)[:100])
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_bytes", full)
        with pytest.raises(OutputError, match="the disk is full"):
            save_checkpoint(path, {"network": {"w": torch.zeros(3)}})
    assert torch.equal(load_checkpoint(path)["network"]["w"], STATE["network"]["w"])
    assert [entry.name for entry in path.parent.iterdir()] == ["last.pt"]


def test_the_hash_sees_names_types_shapes_and_values():
    base = {"a": torch.zeros(2, 3), "b": torch.ones(())}
    others = [
        {"a": torch.zeros(3, 2), "b": torch.ones(())},
        {"a": torch.zeros(2, 3).double(), "b": torch.ones(())},
        {"c": torch.zeros(2, 3), "b": torch.ones(())},
        {"a": torch.zeros(2, 3), "b": torch.tensor(-1.0)},
    ]
    assert len({weights_hash(item) for item in [base, *others]}) == 5
    assert weights_hash(base) == weights_hash(dict(reversed(base.items())))
    assert weights_hash({"a": torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))}) == weights_hash(
        {"a": torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last)}
    )
