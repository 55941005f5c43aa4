"""A recalibrated run: the same weights, other looks, thresholds chosen anew; what the training depends on is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import medmtl
from medmtl.errors import ConfigError, RunError
from medmtl.run import RunFolder
from medmtl.training.checkpoint import load_checkpoint, weights_hash


def recalibrated(run: Path, out: Path, *overrides: str) -> RunFolder:
    return RunFolder.open(medmtl.recalibrate(run, out, overrides=overrides, quiet=True).run)


def test_without_a_change_it_is_the_same_run(small_run: Path, tmp_path: Path):
    again, before = recalibrated(small_run, tmp_path / "again"), RunFolder.open(small_run)
    assert json.loads(again.operating.read_text()) == json.loads(before.operating.read_text())
    assert again.config == before.config
    assert again.record["run_hash"] == before.record["run_hash"] == again.record["recalibrated_from"]["run_hash"]
    assert again.record["minutes"] == before.record["minutes"]


def test_other_looks_have_the_same_weights_and_their_own_thresholds(
    small_run: Path, small_manifest: Path, tmp_path: Path
):
    changes = ("name=looks", "tasks.vessels.inference.flips=true", "tasks.lesions.inference.scales=[1,2]")
    made, before = recalibrated(small_run, tmp_path / "made", *changes), RunFolder.open(small_run)
    weights = [load_checkpoint(run.selected)["network"] for run in (made, before)]
    assert weights_hash(weights[0]) == weights_hash(weights[1]) == made.record["weights_sha256"]
    assert made.record["run_hash"] != before.record["run_hash"]
    chosen = [json.loads(run.operating.read_text())["thresholds"]["lesions"] for run in (made, before)]
    assert chosen[0].keys() == chosen[1].keys()
    assert all(chosen[0][label] != chosen[1][label] for label in chosen[0])
    assert made.config.name == "looks"
    # it is an ordinary run: it can be evaluated, and going on with it ends at once
    result = medmtl.evaluate(made.path, small_manifest, split="val", out=tmp_path / "e", quiet=True)
    assert result.results[0].run_hash == made.record["run_hash"]
    assert medmtl.train(made.config, made.path, resume=True, quiet=True).run_hash == made.record["run_hash"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("training.lr=0.1", "--set training.lr"),
        ("seed=3", "--set seed"),
        ("tasks.lesions.pooling=max", "--set tasks.lesions.pooling"),
        ("tasks.vessels.decoder_channels=[8,8,8,8,8]", "--set tasks.vessels.decoder_channels"),
        ("tasks.vessels=null", "--set tasks.vessels"),
        ("views.field.size=96", "--set views.field.size"),
        ("data.validation_fraction=0.5", "--set data.validation_fraction"),
        ("tasks.lesions.candidates.limit=0", "tasks.lesions.candidates.limit"),
        ("tasks.lesions.candidate.limit=3", "tasks.lesions"),
    ],
)
def test_what_the_training_depends_on_is_refused_and_nothing_is_written(
    small_run: Path, tmp_path: Path, change: str, where: str
):
    with pytest.raises(ConfigError) as caught:
        recalibrated(small_run, tmp_path / "made", change)
    assert where in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_places_and_runs_that_cannot_be(small_run: Path, tmp_path: Path):
    with pytest.raises(RunError, match="exists already"):
        recalibrated(small_run, small_run)
    copy = shutil.copytree(small_run, tmp_path / "copy")
    data = json.loads((copy / "data.json").read_text())
    data["manifests"] = dict.fromkeys(data["manifests"], "0" * 12)
    (copy / "data.json").write_text(json.dumps(data))
    with pytest.raises(RunError, match="manifest changed"):
        recalibrated(copy, tmp_path / "made")
    RunFolder.open(copy).update_record(status="new")
    with pytest.raises(RunError, match="interrupted"):
        recalibrated(copy, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_thresholds_of_other_samples(small_run: Path, small_manifest: Path, tmp_path: Path):
    """Those that scikit-learn's curve gives on the named samples, and nothing of the weights changes."""
    from sklearn.metrics import roc_curve

    made = medmtl.recalibrate(
        small_run, tmp_path / "made", overrides=["name=theirs"], manifest=small_manifest, split="train", quiet=True
    )
    run, before = RunFolder.open(made.run), RunFolder.open(small_run)
    assert run.record["weights_sha256"] == before.record["weights_sha256"]
    assert run.record["run_hash"] != before.record["run_hash"]
    told = run.record["thresholds_chosen_on"]
    assert (told["manifest"], told["split"]) == (small_manifest.name, "train")
    done = medmtl.evaluate(made.run, small_manifest, split="train", out=tmp_path / "e", quiet=True)
    frame = pd.read_csv(done.folder / "samples" / "lesions.csv").dropna(subset=["label.haemorrhages"])
    assert len(frame) == told["samples"]
    fpr, tpr, levels = roc_curve(frame["label.haemorrhages"], frame["score.haemorrhages"], drop_intermediate=False)
    best = int((tpr[1:] - fpr[1:]).argmax()) + 1
    below = [*levels, 0.0][best + 1]  # where the lowest score is the best place to cut, nothing but 0 lies below
    assert below < made.thresholds["lesions"]["haemorrhages"] <= levels[best]
    scale = json.loads(run.operating.read_text())["scales"]["lesions"]["haemorrhages"]
    assert scale["origin"].startswith(f"{small_manifest.name}, train: ")
    assert medmtl.train(run.config, run.path, resume=True, quiet=True)


def test_samples_that_thresholds_cannot_be_chosen_on(small_run: Path, small_manifest: Path, tmp_path: Path):
    out = tmp_path / "made"
    named = {"overrides": ["name=theirs"], "manifest": small_manifest, "quiet": True}
    for split in ("test", None):
        with pytest.raises(ConfigError, match="never chosen on test samples"):
            medmtl.recalibrate(small_run, out, **named | {"split": split})
    with pytest.raises(ConfigError, match="needs another name"):
        medmtl.recalibrate(small_run, out, **named | {"overrides": []})
    bare = tmp_path / "bare.csv"
    picture = next(iter(small_manifest.parent.rglob("*.png")))
    bare.write_text(f"image,split\n{picture},train\n")
    with pytest.raises(RunError, match="says anything of a task"):
        medmtl.recalibrate(small_run, out, **named | {"manifest": bare})
    assert not out.exists()
