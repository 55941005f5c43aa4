from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medmtl.data.sources import make_manifest, sources
from medmtl.data.sources.arteries import av_from_rgb, av_reference

GREY = (np.arange(400).reshape(20, 20) % 4).astype(np.uint8)


def _save(path: Path, array: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((20, 24), np.uint8) if array is None else array).save(path)
    return path


def test_colors_become_classes() -> None:
    colors = [(0, 0, 0), (255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 255), (255, 0, 255), (10, 10, 10)]
    image = np.array([colors], np.uint8)
    assert av_from_rgb(image).tolist() == [[0, 1, 2, 3, 3, 3, 0]]
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        av_from_rgb(np.zeros((2, 2), np.uint8))


def test_only_colored_labels_are_marked_as_colored(tmp_path: Path) -> None:
    grey = _save(tmp_path / "grey.png", GREY)
    three = _save(tmp_path / "three.png", np.repeat(GREY[..., None], 3, axis=2))
    red = np.zeros((20, 20, 3), np.uint8)
    red[0, 0, 0] = 255
    colored = _save(tmp_path / "colored.png", red)
    assert av_reference(grey) == str(grey)
    assert av_reference(three) == str(three)
    assert av_reference(colored) == f"{colored}#rgb"


def _hrf_names() -> list[tuple[int, str]]:
    return [(number, disease) for number in range(1, 16) for disease in ("h", "dr", "g")]


def _hrf_split(root: Path) -> None:
    for number, disease in _hrf_names():
        part = root / ("training" if number <= 8 else "test")
        name = f"{number:02d}_{disease}"
        for folder, suffix in (("images", "jpg"), ("fov", "png"), ("av", "png")):
            _save(part / folder / f"{name}.{suffix}")


def _hrf_published(root: Path) -> None:
    red = np.zeros((20, 24, 3), np.uint8)
    red[0, 0, 0] = 255
    for number, disease in _hrf_names():
        name = f"{number:02d}_{disease}"
        _save(root / "images" / f"{name}.{'JPG' if disease == 'dr' else 'jpg'}")
        _save(root / "mask" / f"{name}_mask.tif")
        _save(root / "manual1" / f"{name}.tif")
        if (number, disease) != (1, "h"):
            _save(root / "labels" / f"{name}_AVmanual.png", red)


def test_hrf_in_split_folders(tmp_path: Path) -> None:
    _hrf_split(tmp_path / "up" / "hrf")
    for root in (tmp_path, tmp_path / "up", tmp_path / "up" / "hrf"):
        frame = make_manifest("hrf_av", root)
        assert all(check.ok for check in sources.get("hrf_av").check(frame))
        row = frame[frame["id"] == "09_dr"].iloc[0]
        folder = tmp_path / "up" / "hrf" / "test"
        assert row["image"] == str(folder / "images" / "09_dr.jpg")
        assert row["fov"] == str(folder / "fov" / "09_dr.png")
        assert row["mask:av"] == str(folder / "av" / "09_dr.png")
        assert row["mask:vessels"] == f"{row['mask:av']}#any"
        assert (row["split"], row["label:disease"]) == ("test", "diabetic_retinopathy")


def test_hrf_as_published(tmp_path: Path) -> None:
    _hrf_published(tmp_path)
    frame = make_manifest("hrf_av", tmp_path).set_index("id")
    assert frame.loc["08_g", "split"] == "train"
    assert frame.loc["08_g", "mask:av"].endswith("08_g_AVmanual.png#rgb")
    assert frame.loc["08_g", "fov"].endswith("08_g_mask.tif")
    assert frame.loc["01_h", "mask:av"] == ""
    assert frame.loc["01_h", "mask:vessels"] == f"{tmp_path / 'manual1' / '01_h.tif'}#any"
    bad = [check for check in sources.get("hrf_av").check(frame.reset_index()) if not check.ok]
    assert [(check.expected, check.found) for check in bad] == [("45", "44")]


def test_drive_in_one_folder(tmp_path: Path) -> None:
    for number in range(1, 41):
        for folder in ("images", "fov", "av"):
            _save(tmp_path / folder / f"{number:02d}_{'test' if number <= 20 else 'training'}.png")
    frame = make_manifest("drive_av", tmp_path)
    assert all(check.ok for check in sources.get("drive_av").check(frame))
    assert frame.iloc[0][["id", "split"]].tolist() == ["01_test", "test"]
    assert frame.iloc[39]["mask:av"] == str(tmp_path / "av" / "40_training.png")


def test_drive_and_rite_as_published(tmp_path: Path) -> None:
    red = np.zeros((20, 24, 3), np.uint8)
    red[0, 0, 0] = 255
    for number, word in ((1, "test"), (21, "training")):
        _save(tmp_path / "DRIVE" / word / "images" / f"{number:02d}_{word}.tif")
        _save(tmp_path / "DRIVE" / word / "mask" / f"{number:02d}_{word}_mask.gif")
        _save(tmp_path / "DRIVE" / word / "1st_manual" / f"{number:02d}_manual1.gif")
        _save(tmp_path / "RITE" / word / "av" / f"{number:02d}_{word}.png", red)
    frame = make_manifest("drive_av", tmp_path)
    assert frame["split"].tolist() == ["test", "train"]
    assert frame.iloc[1]["mask:av"] == f"{tmp_path / 'RITE' / 'training' / 'av' / '21_training.png'}#rgb"
    assert frame.iloc[1]["fov"].endswith("21_training_mask.gif")
    alone = make_manifest("drive_av", tmp_path / "DRIVE")
    assert alone["mask:av"].tolist() == ["", ""]
    assert alone.iloc[1]["mask:vessels"].endswith("21_manual1.gif#any")
    assert [check.ok for check in sources.get("drive_av").check(alone)] == [False, False, False]
