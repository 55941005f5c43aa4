"""A tiny data set, configuration and run folder that the bad-input cases break in one place each."""

from __future__ import annotations

import csv
import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

SIZE = 40
ROWS = 8


def picture(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 250, (size, size, 3)).astype(np.uint8)


def encoded(kind: str, values: np.ndarray | None = None) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(99) if values is None else values).save(stream, kind)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def bmp_header(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 100, 0, 0, 54) + info + b"\0" * 100


def jpeg_header(width: int, height: int) -> bytes:
    data = bytearray(encoded("JPEG"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@dataclass
class World:
    """Files that work as they are; a case changes one thing and :meth:`train` writes the rest."""

    folder: Path
    rows: list[dict[str, str]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    resume: list[str] = field(default_factory=list)
    raw_manifest: bytes | None = None
    raw_config: bytes | None = None
    trained: Path | None = None
    trained_on: Path | None = None

    @classmethod
    def make(cls, folder: Path) -> World:
        folder.mkdir(parents=True, exist_ok=True)
        world = cls(folder)
        for number in range(ROWS):
            Image.fromarray(picture(number)).save(folder / f"{number}.png")
            mask = (np.random.default_rng(number).random((SIZE, SIZE)) > 0.7).astype(np.uint8) * (1 + number % 2)
            Image.fromarray(mask).save(folder / f"{number}-mask.png")
            world.rows.append(
                {
                    "image": f"{number}.png",
                    "split": "train" if number < 6 else "val",
                    "label:ref": str(number % 2),
                    "label:grade": str(number % 3),
                    "mask:vessel": f"{number}-mask.png",
                }
            )
        world.config = {
            "data": {"manifests": [str(world.manifest)], "workers": 0},
            "views": {"field": {"size": 32, "batch_size": 4}},
            "model": {"encoder": {"weights": "none"}},
            "tasks": {
                "vessel": {
                    "type": "segmentation",
                    "column": "vessel",
                    "classes": {"artery": {"values": [1]}, "vein": {"values": [2]}},
                    "decoder_channels": [8, 8, 8, 8, 8],
                },
                "ref": {"type": "classification"},
                "grade": {"type": "classification", "mode": "ordinal", "classes": [0, 1, 2]},
            },
            "training": {"epochs": 1, "device": "cpu", "channels_last": False},
        }
        return world

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.csv"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def put(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def first_image(self, name: str, content: bytes) -> None:
        self.put(name, content)
        self.rows[0]["image"] = name

    def csv(self, encoding: str = "utf-8", line: str = "\n") -> bytes:
        stream = io.StringIO(newline="")
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        writer = csv.DictWriter(stream, columns, lineterminator=line)
        writer.writeheader()
        writer.writerows(self.rows)
        return stream.getvalue().encode(encoding)

    def write(self) -> None:
        self.manifest.write_bytes(self.raw_manifest if self.raw_manifest is not None else self.csv())
        text = yaml.safe_dump(self.config).encode()
        (self.folder / "config.yaml").write_bytes(self.raw_config if self.raw_config is not None else text)

    def train(self, *more: str) -> list[str]:
        self.write()
        return ["train", str(self.folder / "config.yaml"), "--out", str(self.out), "--quiet", *more]

    def run_folder(self, name: str = "run", **record: Any) -> Path:
        """What looks like a run up to the point that a case breaks."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(self.config))
        (folder / "run.json").write_text(json.dumps({"format": 1, "run_hash": "x", **record}))
        return folder


def make_folder(world: World, out: Path) -> list[str]:
    """The command that makes a manifest of the world's images and a CSV of labels."""
    labels = world.folder / "labels.csv"
    labels.write_text("image,grade\n" + "".join(f"{number}.png,{number % 3}\n" for number in range(ROWS)))
    options = ["--option", f"labels={labels}"]
    return ["data", "make", "folder", "--root", str(world.folder), *options, "--out", str(out)]


Break = Callable[[World], "list[str] | None"]


@dataclass(frozen=True)
class Case:
    """One way to break the world: what is done, and what the one line must name."""

    category: str
    name: str
    do: Break
    says: tuple[str, ...]
