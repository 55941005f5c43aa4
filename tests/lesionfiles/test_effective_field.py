"""Shares, flagged pixels and the pixel-based curve go by the field of the picture where none was given."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_curve

import medmtl
from medmtl.evaluation import image_roc

WIDTH, HEIGHT, RADIUS = 160, 120, 50
LESIONS = {"a": (60, 50), "b": (90, 70)}
MARKS = {"a": [(60, 50, 3.0), (95, 60, 2.0)], "b": [(70, 60, 1.5)], "c": [(80, 40, 1.0)], "d": []}
yy, xx = np.mgrid[:HEIGHT, :WIDTH]
FIELD = (xx - 80) ** 2 + (yy - 60) ** 2 <= RADIUS**2


def ball(x, y, radius):
    return (xx - x) ** 2 + (yy - y) ** 2 <= radius**2


def lesions_of(name):
    return ball(*LESIONS[name], 4) if name in LESIONS else np.zeros((HEIGHT, WIDTH), bool)


def heat(name):
    """Blobs in the field, and in the black surround what a network says of it: little, but not always the same."""
    values = np.where(FIELD, 0.01 * np.sin(xx / 7) - 1, -3 + 0.01 * np.cos(yy / 5))
    for x, y, score in MARKS[name]:
        values[ball(x, y, 5)] = score
    return values


@pytest.fixture
def files(tmp_path):
    for folder in ("maps", "masks", "fields"):
        (tmp_path / folder).mkdir()
    Image.fromarray((FIELD * 255).astype(np.uint8)).save(tmp_path / "fields" / "fov.png")
    rows = []
    for name in MARKS:
        picture = np.where(FIELD[..., None], np.uint8([170, 110, 60]), np.uint8(0)).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        Image.fromarray((lesions_of(name) * 255).astype(np.uint8)).save(tmp_path / "masks" / f"{name}.png")
        np.save(tmp_path / "maps" / f"{name}_ex.npy", heat(name))
        rows.append({"image": f"{name}.png", "id": name, "mask:ex": f"masks/{name}.png"})
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    pd.DataFrame(rows).assign(fov="fields/fov.png").to_csv(tmp_path / "given.csv", index=False)
    return tmp_path


def scored(files, truth="manifest.csv", **more):
    options = {"extract": "components", "threshold": 0.0, "diaretdb1": True, "sanity": False, "draws": 5} | more
    return medmtl.lesions(files / "maps", files / truth, rules=["any_overlap"], **options)


def protocol(result):
    (found,) = [one for one in result.result.tasks[0].tables if one.name.startswith("diaretdb1")]
    return found


def covered(result):
    return next(one.interval.value for one in result.result.tasks[0].metrics if one.name == "covered_field.ex")


def test_the_field_of_the_picture_gives_what_the_same_field_gives_as_a_mask(files):
    found, given = scored(files), scored(files, "given.csv")
    pd.testing.assert_frame_equal(protocol(found).frame, protocol(given).frame)
    assert covered(found) == covered(given)


def test_shares_and_pixels_are_those_of_the_disc_that_was_painted(files):
    result = scored(files)
    shares = [
        sum(np.count_nonzero(ball(x, y, 5)) for x, y, _ in marks) / np.count_nonzero(FIELD) for marks in MARKS.values()
    ]
    assert covered(result) == pytest.approx(np.mean(shares), rel=1e-12)
    frame = protocol(result).frame.set_index("by")
    by_image = image_roc([True, True, False, False], np.array(shares))
    assert frame.loc["image", "wer_1"] == by_image.weighted_error(1.0)
    ill = np.concatenate([lesions_of(name)[FIELD] for name in MARKS])
    false, true, _ = roc_curve(ill, np.concatenate([heat(name)[FIELD] for name in MARKS]), drop_intermediate=False)
    assert frame.loc["pixel", "wer_1"] == pytest.approx((((1 - true) + false)[:-1] / 2).min())
    assert frame.loc["pixel", "wer_10"] == pytest.approx((((1 - true) + 10 * false)[:-1] / 11).min())
    misses = 1 - true
    assert frame.loc["pixel", "eer"] == pytest.approx(np.interp(0, (misses - false)[::-1], misses[::-1]))
    assert frame.loc["pixel", "healthy"] == 4 * np.count_nonzero(FIELD) - ill.sum()


def test_what_counts_is_not_changed_by_a_field_that_was_only_found(files):
    """A lesion and a candidate in the surround: by a given field neither counts, by a found one both do."""
    corner = ball(5, 5, 3)
    Image.fromarray((corner * 255).astype(np.uint8)).save(files / "masks" / "d.png")
    np.save(files / "maps" / "d_ex.npy", np.where(corner, 5.0, heat("d")))
    found, given = scored(files), scored(files, "given.csv")
    assert [one.result.tasks[0].metrics[0].n for one in (found, given)] == [3, 2]
    assert [len(one.matches["ex", "any_overlap"][3].score) for one in (found, given)] == [1, 0]
    assert covered(found) == covered(given)  # it covers nothing of the field
    pixels = protocol(found).frame.set_index("by").loc["pixel"]
    assert pixels["ill"] == 2 * ball(60, 50, 4).sum() + corner.sum()  # cases, though beyond the field
    assert pixels["healthy"] == 4 * FIELD.sum() - 2 * ball(60, 50, 4).sum()


def test_the_notes_say_which_field_it_was(files):
    assert "found in the picture in 4" in " ".join(scored(files).notes)
    assert "Fields of view of 4 images: found in the picture in 4." in protocol(scored(files)).note
    assert "Fields of view of 4 images: given in 4." in protocol(scored(files, "given.csv")).note
    assert not [note for note in scored(files, "given.csv").notes if "field of view" in note]
    (files / "b.png").unlink()
    mixed = pd.read_csv(files / "manifest.csv").assign(fov=["", "", "fields/fov.png", ""])
    mixed.to_csv(files / "mixed.csv", index=False)
    told = scored(files, "mixed.csv")
    words = "given in 1, found in the picture in 2, all of the image in 1."
    assert f"Fields of view of 4 images: {words}" in protocol(told).note
    said = "3 of 4 images have no field of view: all of the image counts; shares of the field and rows that know nothing go by"
    assert f"{said} a field found in the picture in 2, all of the image in 1" in told.notes
    assert math.isfinite(covered(told))


def test_rows_that_know_nothing_use_the_same_field(files):
    tables = [
        scored(files, name, sanity=True).result.tasks[0].tables[0].frame for name in ("manifest.csv", "given.csv")
    ]
    assert "constant map" in set(tables[0]["candidates"])
    pd.testing.assert_frame_equal(*tables)
