from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1, RLELossless

from medmtl.data.pixels import ImageInfo
from medmtl.data.raster import orient
from medmtl.data.reading import is_image_name, read_image, read_image_info
from medmtl.errors import ImageError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 33)).astype(np.uint8)
RGB = RNG.integers(0, 256, (20, 33, 3)).astype(np.uint8)
RGBA = RNG.integers(0, 256, (20, 33, 4)).astype(np.uint8)
GREY16 = RNG.integers(0, 65536, (20, 33)).astype(np.uint16)
RGB16 = RNG.integers(0, 65536, (20, 33, 3)).astype(np.uint16)


def write_dicom(path: Path, values: np.ndarray, *, save: bool = True, **tags) -> pydicom.Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = values.shape[:2]
    data.SamplesPerPixel = 3 if values.ndim == 3 else 1
    data.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
    if values.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = values.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    for name, value in tags.items():
        setattr(data, name, value)
    data.HighBit = data.BitsStored - 1
    data.PixelData = values.tobytes()
    data["PixelData"].VR = "OW"
    if save:
        data.save_as(path, enforce_file_format=True)
    return data


def by_pillow(path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(path)


def by_cv2(path: Path, values: np.ndarray) -> None:
    assert cv2.imwrite(str(path), values[..., [2, 1, 0, 3][: values.shape[2]]] if values.ndim == 3 else values)


def by_nibabel(path: Path, values: np.ndarray) -> None:
    if values.ndim == 3:
        kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
        values = np.ascontiguousarray(values).view(kind)[..., 0]
    nibabel.save(nibabel.Nifti1Image(values.T, np.eye(4)), path)


def by_sitk(path: Path, values: np.ndarray) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=values.ndim == 3 and values.shape[-1] <= 4), str(path))


ROUND_TRIPS: list[tuple[str, np.ndarray, Callable[[Path, np.ndarray], object], str]] = [
    *[(f"a.{s}", GREY, by_pillow, f) for s, f in
      [("png", "PNG"), ("tif", "TIFF"), ("tiff", "TIFF"), ("pgm", "PPM"), ("gif", "GIF"), ("bmp", "BMP")]],
    *[(f"a.{s}", RGB, by_pillow, f) for s, f in [("png", "PNG"), ("tif", "TIFF"), ("ppm", "PPM"), ("bmp", "BMP")]],
    *[(f"a.{s}", RGBA, by_pillow, f) for s, f in [("png", "PNG"), ("tif", "TIFF")]],
    *[(f"a.{s}", GREY16, by_pillow, f) for s, f in [("png", "PNG"), ("tif", "TIFF"), ("pgm", "PPM")]],
    *[(f"a.{s}", RGB16, by_cv2, f) for s, f in [("png", "PNG"), ("tif", "TIFF"), ("ppm", "PPM")]],
    ("a.png", np.dstack([RGB16, GREY16]), by_cv2, "PNG"),
    ("a.tif", RGB16, lambda p, v: tifffile.imwrite(p, v, photometric="rgb"), "TIFF"),
    ("a.dcm", GREY, write_dicom, "DICOM"),
    ("a.dcm", RGB, write_dicom, "DICOM"),
    ("a.dcm", GREY16, write_dicom, "DICOM"),
    *[(f"a.{s}", v, w, "NIfTI") for s in ("nii", "nii.gz") for v in (GREY, GREY16, RGB) for w in (by_nibabel,)],
    ("a.nii", RGB, by_sitk, "NIfTI"),
    *[(f"a.{s}", v, by_sitk, f) for s, f in [("mha", "MHA"), ("mhd", "MHA"), ("nrrd", "NRRD")]
      for v in (GREY, GREY16, RGB, RGB16, RGBA)],
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values", "write", "kind"),
    ROUND_TRIPS,
    ids=[f"{name}-{'x'.join(map(str, v.shape))}-{v.dtype}-{i}" for i, (name, v, _, _) in enumerate(ROUND_TRIPS)],
)
def test_lossless_round_trips(tmp_path: Path, name: str, values: np.ndarray, write, kind: str):
    path = tmp_path / name
    write(path, values)
    image, info = read_image(path)
    top = 65535 if values.dtype == np.uint16 else 255
    want = (values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2))[..., :3] / top
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, want, atol=1e-7)
    channels = 1 if values.ndim == 2 else values.shape[2]
    assert info == ImageInfo(20, 33, channels, values.dtype.itemsize * 8, kind)
    assert read_image_info(path) == info
    assert is_image_name(path)


def test_jpeg(tmp_path: Path):
    smooth = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "g.jpg", quality=95)
    Image.fromarray(np.dstack([smooth, smooth[::-1], smooth[:, ::-1]])).save(
        tmp_path / "c.jpg", quality=95, subsampling=0
    )
    grey, info = read_image(tmp_path / "g.jpg")
    np.testing.assert_allclose(grey[..., 1], smooth / 255, atol=4 / 255)
    assert info == ImageInfo(64, 48, 1, 8, "JPEG")
    color, info = read_image(tmp_path / "c.jpg")
    np.testing.assert_allclose(color[..., 1], smooth[::-1] / 255, atol=6 / 255)
    assert info.channels == 3


def test_bitmaps_palettes_and_grey_with_alpha(tmp_path: Path):
    bits = GREY > 99
    for suffix in ("png", "tif", "bmp", "pbm"):
        Image.fromarray(bits).save(tmp_path / f"b.{suffix}")
        image, info = read_image(tmp_path / f"b.{suffix}")
        np.testing.assert_array_equal(image[..., 0], bits.astype(np.float32))
        assert info.bit_depth in {1, 8}
    palette = Image.fromarray(GREY % 3)
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    for suffix in ("png", "gif", "tif"):
        palette.save(tmp_path / f"p.{suffix}")
        image, _ = read_image(tmp_path / f"p.{suffix}")
        colors = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])
        np.testing.assert_allclose(image * 255, colors[GREY % 3], atol=1e-4)
    Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY // 2)]).save(tmp_path / "la.png")
    image, info = read_image(tmp_path / "la.png")
    np.testing.assert_allclose(image[..., 2], GREY / 255, atol=1e-7)
    assert info.channels == 2


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_exif_orientation(tmp_path: Path, name: str, turn: int):
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(RGB).save(tmp_path / name, exif=exif, **({"quality": 95} if name == "a.jpg" else {}))
    with Image.open(tmp_path / name) as opened:
        want = np.asarray(ImageOps.exif_transpose(opened))
    image, info = read_image(tmp_path / name)
    np.testing.assert_array_equal(np.round(image * 255), want)
    assert (info.height, info.width) == want.shape[:2] == image.shape[:2]
    assert read_image_info(tmp_path / name) == info
    assert want.shape[0] == (33 if turn >= 5 else 20)


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_of_16_bit_color(tmp_path: Path, turn: int):
    tifffile.imwrite(tmp_path / "a.tif", RGB16, photometric="rgb", extratags=[(274, "H", 1, turn, True)])
    image, info = read_image(tmp_path / "a.tif")
    np.testing.assert_allclose(image, orient(RGB16, turn) / 65535, atol=1e-7)
    assert read_image_info(tmp_path / "a.tif") == info
    assert image.shape[:2] == (info.height, info.width)


def test_orient_is_pillows():
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        image = Image.fromarray(RGB)
        image.info["exif"] = exif.tobytes()
        np.testing.assert_array_equal(orient(RGB, turn), np.asarray(ImageOps.exif_transpose(image)))


def test_planar_16_bit_tiff(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB16, 2, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(read_image(tmp_path / "a.tif")[0], RGB16 / 65535, atol=1e-7)


def test_dicom_range_follows_the_bits_and_not_the_window(tmp_path: Path):
    values = (GREY16 >> 4).astype(np.uint16)
    plain = {"BitsStored": 12, "WindowCenter": 100, "WindowWidth": 10}
    write_dicom(tmp_path / "a.dcm", values, **plain)
    image, info = read_image(tmp_path / "a.dcm")
    np.testing.assert_allclose(image[..., 0], values / 4095, atol=1e-6)
    assert info.bit_depth == 12
    write_dicom(tmp_path / "b.dcm", values, **plain, RescaleSlope=2, RescaleIntercept=-1000)
    np.testing.assert_array_equal(read_image(tmp_path / "b.dcm")[0], image)
    write_dicom(tmp_path / "c.dcm", values, **plain, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(read_image(tmp_path / "c.dcm")[0], 1 - image, atol=1e-6)
    write_dicom(tmp_path / "d.dcm", values, **plain, RescaleSlope=-1, RescaleIntercept=0)
    np.testing.assert_allclose(read_image(tmp_path / "d.dcm")[0], 1 - image, atol=1e-6)
    signed = (GREY.astype(np.int32) * 256 - 32768).astype(np.int16)
    write_dicom(tmp_path / "e.dcm", signed)
    np.testing.assert_allclose(read_image(tmp_path / "e.dcm")[0][..., 0], (signed + 32768.0) / 65535, atol=1e-6)


def test_dicom_run_length(tmp_path: Path):
    data = write_dicom(tmp_path / "a.dcm", RGB, save=False)
    data.compress(RLELossless)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_allclose(read_image(tmp_path / "a.dcm")[0], RGB / 255, atol=1e-7)


def test_single_slices(tmp_path: Path):
    nibabel.save(nibabel.Nifti1Image(GREY.T[:, :, None], np.eye(4)), tmp_path / "a.nii")
    by_sitk(tmp_path / "a.mha", GREY[None])
    for name in ("a.nii", "a.mha"):
        np.testing.assert_allclose(read_image(tmp_path / name)[0][..., 0], GREY / 255, atol=1e-7)


def test_floats_between_0_and_1(tmp_path: Path):
    by_sitk(tmp_path / "a.mha", (GREY / 255).astype(np.float32))
    np.testing.assert_allclose(read_image(tmp_path / "a.mha")[0][..., 0], GREY / 255, atol=1e-6)


def test_content_counts_and_not_the_name(tmp_path: Path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    image, info = read_image(tmp_path / "a.jpg")
    np.testing.assert_allclose(image, RGB / 255, atol=1e-7)
    assert info.format == "PNG"


def test_all_black_can_be_read(tmp_path: Path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    assert not read_image(tmp_path / "a.png")[0].any()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def bmp_bomb(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 100, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )


def made(path: Path, values: np.ndarray, write=by_pillow, **options) -> bytes:
    write(path, values, **options)
    return path.read_bytes()


CONTENTS: list[tuple[str, bytes, str]] = [
    ("zero.png", b"", "empty"),
    ("zero.dcm", b"", "empty"),
    ("zero.nii.gz", b"", "empty"),
    ("zeros.png", bytes(1000), "zeros only"),
    ("text.png", b"hello, I am a text\n" * 20, "not an image"),
    ("page.jpg", b"<!DOCTYPE html><html>404</html>", "HTML"),
    ("xml.jpg", b"  \n<?xml version='1.0'?>", "HTML or XML"),
    ("paper.png", b"%PDF-1.7 ....", "PDF"),
    ("archive.png", b"PK\x03\x04" + bytes(100), "ZIP"),
    ("photo.jpg", b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
    ("phone.jpg", b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
    ("pointer.png", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    ("one.png", b"\x89", "not an image"),
    ("magic.png", b"\x89PNG\r\n\x1a\n", "cannot be decoded"),
    ("magic.jpg", b"\xff\xd8\xff\xe0", "cannot be decoded"),
    ("magic.tif", b"II*\0\x08\0\0\0", "cannot be decoded|without pixels"),
    ("magic.gif", b"GIF89a", "cannot be decoded"),
    ("magic.bmp", b"BM" + bytes(60), "cannot be decoded"),
    ("magic.ppm", b"P6\n", "cannot be decoded"),
    ("magic.dcm", bytes(128) + b"DICM", "without an image|cannot be decoded"),
    ("magic.nii", struct.pack("<i", 348) + bytes(340) + b"n+1\0", "decoded|two-dimensional|without pixels"),
    ("magic.nrrd", b"NRRD0004\n", "cannot be decoded"),
    ("magic.mha", b"ObjectType = Image\n", "cannot be decoded"),
    ("noise.nii.gz", b"\x1f\x8b" + bytes(range(200)), "not an image"),
    ("noise.jpg", b"\xff\xd8\xff\xe0" + bytes(RNG.integers(0, 255, 3000).astype(np.uint8)), "cannot be decoded"),
    ("bomb.png", png_bomb(50_000, 50_000), "too large"),
    ("bomb2.png", png_bomb(200_000, 1_000), "too large"),
    ("bomb3.png", png_bomb(2**31 - 1, 2**31 - 1), "too large|cannot be decoded"),
    ("bomb.bmp", bmp_bomb(60_000, 60_000), "too large"),
    ("bomb.ppm", b"P6 100000 100000 255\n", "too large"),
    ("bomb.pgm", b"P5 400000 400000 65535\n", "too large"),
    ("bomb.nrrd", b"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 90000 90000\nencoding: raw\n\n", "too large"),
    ("bomb.mha", b"ObjectType = Image\nNDims = 2\nDimSize = 90000 90000\nElementType = MET_UCHAR\n"
                 b"ElementDataFile = LOCAL\n", "too large"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), CONTENTS, ids=[name for name, _, _ in CONTENTS])
def test_bad_content(tmp_path: Path, name: str, content: bytes, words: str):
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_image, read_image_info) if "noise" not in name else (read_image,):
        with pytest.raises(ImageError, match=words) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.remedy


BIG = RNG.integers(0, 256, (90, 80, 3)).astype(np.uint8)
WRITERS = [("a.png", by_pillow), ("a.jpg", by_pillow), ("a.tif", by_pillow), ("a.bmp", by_pillow), ("a.ppm", by_pillow),
           ("a.dcm", write_dicom), ("a.nii", by_nibabel), ("a.nii.gz", by_nibabel), ("a.mha", by_sitk),
           ("a.nrrd", by_sitk)]  # fmt: skip


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(("name", "write"), WRITERS, ids=[name for name, _ in WRITERS])
def test_truncated(tmp_path: Path, name: str, write, share: float):
    data = made(tmp_path / name, BIG, write)
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_truncated_16_bit_color(tmp_path: Path):
    for name in ("a.png", "a.tif", "a.ppm"):
        data = made(tmp_path / name, RNG.integers(0, 65536, (90, 80, 3)).astype(np.uint16), by_cv2)
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(ImageError, match="cannot be decoded"):
            read_image(tmp_path / name)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_is_an_image_error_or_an_image(tmp_path_factory, data):
    name, write = data.draw(st.sampled_from(WRITERS))
    folder = tmp_path_factory.mktemp("damage")
    content = bytearray(made(folder / name, RGB, write))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(bytes(content))
    try:
        image, info = read_image(folder / name)
    except ImageError as error:
        if "\n" in str(error):
            pytest.fail(str(error))
        return
    assert image.shape == (info.height, info.width, 3)
    assert np.isfinite(image).all()
    assert 0 <= image.min() <= image.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 15), (15, 15)])
def test_too_small(tmp_path: Path, size: tuple[int, int]):
    Image.new("RGB", size).save(tmp_path / "a.png")
    for read in (read_image, read_image_info):
        with pytest.raises(ImageError, match=f"too small; found {size[0]}x{size[1]}"):
            read(tmp_path / "a.png")


def test_a_device_is_no_image():
    """It would be read for ever, as a pipe would that nobody writes to."""
    with pytest.raises(ImageError, match=r"/dev/zero: not a file; found a pipe or a device"):
        read_image(Path("/dev/zero"))


def test_missing_and_folder(tmp_path: Path):
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ImageError, match="a folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be opened"):
        read_image(tmp_path / ("a" * 300 + ".png"))


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png"])
def test_several_frames(tmp_path: Path, name: str):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="several frames; found 2 frames"):
        read_image(tmp_path / name)


def test_several_slices_and_unknown_ranges(tmp_path: Path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((20, 30, 4), np.uint8), np.eye(4)), tmp_path / "a.nii")
    by_sitk(tmp_path / "a.mha", np.zeros((4, 30, 20), np.uint8))
    by_sitk(tmp_path / "b.mha", np.full((30, 20), 2.0, np.float32))
    by_sitk(tmp_path / "c.nrrd", np.full((30, 20), -5, np.int16))
    Image.fromarray(np.full((30, 20), 0.5, np.float32)).save(tmp_path / "d.tif")
    Image.fromarray(np.full((30, 20), 70000, np.int32)).save(tmp_path / "e.tif")
    for name, words in [("a.nii", "20x30x4"), ("a.mha", "20x30x4"), ("b.mha", "range"), ("c.nrrd", "range"),
                        ("d.tif", "range"), ("e.tif", "range")]:  # fmt: skip
        with pytest.raises(ImageError, match=words):
            read_image(tmp_path / name)


def test_dicom_refusals(tmp_path: Path):
    write_dicom(tmp_path / "frames.dcm", np.zeros((3, 20, 30), np.uint8), NumberOfFrames=3, SamplesPerPixel=1,
                Rows=20, Columns=30, PhotometricInterpretation="MONOCHROME2")  # fmt: skip
    bomb = write_dicom(tmp_path / "bomb.dcm", GREY, save=False, Rows=60000, Columns=60000)
    bomb.save_as(tmp_path / "bomb.dcm", enforce_file_format=True)
    data = write_dicom(tmp_path / "x.dcm", GREY, save=False)
    data.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    data.save_as(tmp_path / "coded.dcm", enforce_file_format=True)
    report = write_dicom(tmp_path / "x.dcm", GREY, save=False, Modality="SR")
    del report.Rows, report.PixelData
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    for name, words in [("frames", "multi-frame.*3 frames"), ("bomb", "too large"), ("coded", "JPEG Lossless.*pylibjpeg"),
                        ("report", "without an image; found SR")]:  # fmt: skip
        with pytest.raises(ImageError, match=words):
            read_image(tmp_path / f"{name}.dcm")


def test_importing_is_light():
    program = (
        "import sys, medmtl.data.reading, medmtl.data.masks, medmtl.data.inspect, medmtl.data.splits\n"
        "heavy = {'torch', 'monai', 'pydicom', 'nibabel', 'SimpleITK', 'cv2', 'tifffile', 'pandas'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_damaged_dicom_element_that_is_decoded_late(tmp_path: Path):
    content = bytearray(made(tmp_path / "a.dcm", RGB, write_dicom))
    place = content.index(b"\x28\x00\x10\x00US") + 4  # the value representation of Rows, read when it is looked at
    content[place + 1] = 0
    (tmp_path / "a.dcm").write_bytes(bytes(content))
    for read in (read_image, read_image_info):
        with pytest.raises(ImageError, match="cannot be decoded"):
            read(tmp_path / "a.dcm")
