"""The table of methods and measures over a manifest with lesion masks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from medmtl.errors import ConfigError
from medmtl.progress import Progress
from medmtl.workflows import mapquality as module
from medmtl.workflows.mapquality import MEASURES, map_quality, quality_lines

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def found(small_run: Path, small_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> module.MapQuality:
    out = tmp_path_factory.mktemp("quality") / "q"
    return map_quality(
        small_run, small_manifest, methods=["head", "gradcam", "randomcam"], split="val", out=out, progress=QUIET
    )


def test_a_row_a_method_lesion_and_measure_with_images_that_have_the_lesion(found, small_manifest):
    rows = pd.read_csv(found.folder / "samples.csv")
    assert set(found.table["measure"]) == set(MEASURES)
    assert set(found.table["method"]) == {"head", "gradcam", "randomcam"}
    for (_, lesion), part in rows.groupby(["method", "lesion"]):
        assert part["sample"].is_unique
        assert (part["chance"] > 0).all(), lesion
    chance = rows.pivot_table(index=["sample", "lesion"], columns="method", values="chance")
    assert (chance["head"] == chance["gradcam"]).all()  # the masks do not depend on the method
    assert rows["pointing"].between(0, 1).all()
    assert rows["randomized"].dropna().between(-1, 1).all()


def test_the_summary_is_the_mean_of_the_samples(found):
    rows = pd.read_csv(found.folder / "samples.csv")
    for row in found.table.itertuples():
        values = rows[(rows["method"] == row.method) & (rows["lesion"] == row.lesion)][row.measure].dropna()
        assert row.images == len(values)
        assert row.value == pytest.approx(values.mean(), nan_ok=True)
        assert math.isnan(row.low) or row.low <= row.value <= row.high


def test_a_perfect_map_points_and_a_map_that_ignores_the_weights_is_unmasked(
    small_run, small_manifest, tmp_path, monkeypatch
):
    """The image itself as map: it is what it is whatever the weights are."""

    def image_itself(view, image, name, channels, field):
        return dict.fromkeys(channels, image.mean(0).cpu().numpy())

    monkeypatch.setattr(module, "_maps", image_itself)
    out = map_quality(
        small_run, small_manifest, methods="gradcam", split="val", out=tmp_path / "q", progress=QUIET
    ).table
    assert (out[out["measure"] == "randomized"]["value"] == 1).all()


def test_the_look_is_in_the_ledger(found):
    ledger = pd.read_csv(found.folder.parent / "ledger.csv")
    assert ledger["split"].tolist() == ["val"]


def test_lines_say_what_is_measured(found):
    lines = quality_lines(found.table)
    assert len(lines) == len(MEASURES) + found.table[["method", "lesion"]].drop_duplicates().shape[0]
    assert any(line.startswith("gradcam  lesions hard_exudates  n=") for line in lines)
    assert np.isfinite(found.table["value"]).any()


def test_wrong_wishes_are_one_line(small_run, small_manifest, tmp_path):
    with pytest.raises(ConfigError, match=r"--method: unknown class activation method.*'gradcam'"):
        map_quality(small_run, small_manifest, methods=["gradcan"], out=tmp_path / "q", progress=QUIET)
    bare = tmp_path / "bare.csv"
    rows = pd.read_csv(small_manifest)
    rows["image"] = [str(small_manifest.parent / name) for name in rows["image"]]
    rows[["image", "split"]].to_csv(bare, index=False)
    with pytest.raises(ConfigError, match="no image of the split 'val' has a lesion mask"):
        map_quality(small_run, bare, out=tmp_path / "q", progress=QUIET)
    assert not (tmp_path / "q").exists()


def test_the_command_prints_the_table(small_run, small_manifest, tmp_path):
    from medmtl.cli import app

    arguments = [
        "mapquality",
        str(small_run),
        "--manifest",
        str(small_manifest),
        "--out",
        str(tmp_path / "q"),
        "--quiet",
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "head  lesions hard_exudates" in done.output
    assert (tmp_path / "q" / "quality.csv").is_file()
