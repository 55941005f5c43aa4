from __future__ import annotations

import multiprocessing
import os
import shutil
from dataclasses import replace

import cv2
import pytest
import torch

from medmtl.config import AugmentConfig, ViewConfig
from medmtl.data import workers
from medmtl.data.loading import ViewDataset, collate, evaluation_loader, training_loader
from medmtl.data.manifest import Manifest
from medmtl.data.sampling import ViewStream
from medmtl.data.targets import LabelClass, LabelTarget, MaskLayer, MaskTarget
from medmtl.errors import ImageError, OutputError

VIEW = ViewConfig(size=48, batch_size=4, augment=AugmentConfig(rotate=15.0))
TARGETS = [
    MaskTarget("vessels", (MaskLayer("vessel", "vessels"),)),
    LabelTarget("referable", (LabelClass("referable", "referable"),)),
]


@pytest.fixture
def samples(small_manifest, tmp_path):
    shutil.copytree(small_manifest.parent, tmp_path / "data")
    return list(Manifest.read(tmp_path / "data/manifest.csv").samples[:6])


def dataset(samples, tmp_path, cache="disk", view=VIEW, targets=TARGETS, training=True):
    return ViewDataset(samples, view, targets, training=training, cache=cache, cache_dir=tmp_path / "cache")


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[key].nan_to_num(7), second[key].nan_to_num(7))
        if torch.is_tensor(first[key])
        else first[key] == second[key]
        for key in first
    )


def files(tmp_path):
    return sorted((tmp_path / "cache").glob("*.pt"))


def test_caches_give_the_same_bits_as_none(samples, tmp_path):
    plain, memory = dataset(samples, tmp_path, "none"), dataset(samples, tmp_path, "memory")
    disk = dataset(samples, tmp_path)
    for index in range(len(samples)):
        for seed in (1, 2**40):
            expected = plain[index, seed]
            assert same(memory[index, seed], expected)
            assert same(disk[index, seed], expected)  # first written, then read
            assert same(disk[index, seed], expected)
    assert len(files(tmp_path)) == len(samples)


def test_showing_a_sample_leaves_the_cache_as_it_was(samples, tmp_path):
    memory = dataset(samples, tmp_path, "memory")
    before = {key: torch.as_tensor(value).clone() for key, value in memory.fixed[0].items()}
    for seed in range(5):
        item = memory[0, seed]
        for value in item.values():
            if torch.is_tensor(value) and value.dtype == torch.float32:
                value.mul_(2)
    after = {key: torch.as_tensor(value) for key, value in memory.fixed[0].items()}
    assert same(
        {k: v for k, v in before.items() if k != "referable"}, {k: v for k, v in after.items() if k != "referable"}
    )


@pytest.mark.parametrize("change", ["image", "mask", "fov", "label", "size", "crop", "target"])
def test_the_disk_cache_is_never_stale(change, samples, tmp_path):
    sample, view, targets = samples[0], VIEW, TARGETS
    before = dataset([sample], tmp_path, training=False)[0]
    if change in {"image", "mask", "fov"}:
        path = {"image": sample.image, "mask": sample.masks["vessels"].path, "fov": sample.fov}[change]
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        picture[20:50, 20:50] = 0 if picture[30, 30].any() else 1
        cv2.imwrite(str(path), picture)
    elif change == "label":
        flipped = "0" if sample.labels["referable"] == "1" else "1"
        sample = replace(sample, labels={**sample.labels, "referable": flipped})
    elif change == "target":
        targets = [MaskTarget("vessels", (MaskLayer("vessel", "vessels", (2,)),)), TARGETS[1]]
    else:
        view = VIEW.model_copy(update={"size": 56} if change == "size" else {"crop": "none"})
    after = dataset([sample], tmp_path, view=view, targets=targets, training=False)[0]
    assert same(after, dataset([sample], tmp_path, "none", view, targets, training=False)[0])
    assert not same(before, after)


@pytest.mark.parametrize("harm", [b"", b"rubbish", "half"])
def test_a_damaged_cache_file_is_made_again(harm, samples, tmp_path):
    first = dataset(samples[:1], tmp_path)[0, 3]
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if harm == "half" else harm)
    assert same(dataset(samples[:1], tmp_path)[0, 3], first)
    assert len(path.read_bytes()) == len(whole)


def test_a_full_disk_is_one_line(samples, tmp_path, monkeypatch):
    import pathlib

    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    item = dataset(samples[:1], tmp_path)[0, 0]
    assert isinstance(item["error"], OutputError)
    assert "full" in str(item["error"])
    assert not list(tmp_path.glob("cache/*"))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["none", "disk"])
def test_an_unreadable_image_is_said_with_its_row(workers, cache, samples, tmp_path):
    samples[2].image.write_bytes(b"no image")
    loader = evaluation_loader(dataset(samples, tmp_path, cache), "v", batch_size=2, workers=workers)
    with pytest.raises(ImageError, match=f"line {samples[2].row}"):
        list(loader)


def test_an_unreadable_image_is_said_while_the_memory_cache_fills(samples, tmp_path):
    samples[2].image.write_bytes(b"no image")
    with pytest.raises(ImageError, match=f"line {samples[2].row}"):
        dataset(samples, tmp_path, "memory")


def test_the_number_of_workers_changes_nothing_and_the_global_stream_stands_still(samples, tmp_path):
    data = dataset(samples, tmp_path, "memory")
    stream = ViewStream({"a": [True] * len(samples)}, 4, {"a": 1}, seed=0, view="v")
    state = torch.get_rng_state()
    loads = {
        w: list(training_loader(data, lambda: map(stream.batch, range(3, 7)), "v", workers=w, pin=False))
        for w in (0, 1, 2)
    }
    assert torch.equal(torch.get_rng_state(), state)
    for batches in loads.values():
        assert [batch.index.tolist() for batch in batches] == [
            [index for index, _ in stream.batch(n)] for n in range(3, 7)
        ]
        for batch, expected in zip(batches, loads[0], strict=True):
            assert torch.equal(batch.image, expected.image)
            assert torch.equal(batch.targets["vessels"], expected.targets["vessels"])


def test_what_is_unknown_stays_unknown_in_a_batch(samples, tmp_path):
    bare = replace(samples[0], labels={}, masks={})
    data = dataset([bare, samples[1]], tmp_path, "none", training=False)
    batch = collate("v", [data[0], data[1]])
    assert batch.targets["vessels"][0].eq(255).all()
    assert not batch.targets["vessels"][1].eq(255).any()
    assert batch.targets["referable"].isnan().tolist() == [[True], [False]]


def test_monai_pipelines_of_others_keep_their_meta_tensors(samples, tmp_path):
    from monai.data import get_track_meta

    dataset(samples, tmp_path, "memory")[0, 1]
    assert get_track_meta()


def test_a_worker_whose_parent_is_gone_ends():
    """Also one whose parent was killed before it could ask who that is."""
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=workers._obey_parent, args=(os.getppid(),))  # its parent is this process
    worker.start()
    worker.join(10)
    assert worker.exitcode == 0
