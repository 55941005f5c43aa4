"""The evaluated images: which there are, by what names others call them, whose they are, how large, and their field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medmtl.data.masks import read_mask
from medmtl.data.reading import IMAGE_SUFFIXES, read_image, read_image_info
from medmtl.data.samples import MaskReference
from medmtl.errors import ImageError, ManifestError, suggestion
from medmtl.explanation.shown import safe_names

Shape = tuple[int, int]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Disc:
    """A round place.

    Attributes:
        x: Column of its center, in pixels.
        y: Row of its center.
        diameter: In pixels.
    """

    x: float
    y: float
    diameter: float


@dataclass(frozen=True)
class EvaluatedImage:
    """One image of an evaluation.

    Attributes:
        id: Its name in all results.
        place: Where it is told of: file and row.
        patient: The person; the unit of every bootstrap. The id where nobody says.
        site: Hospital, camera or the like.
        picture: The image file; it need not be there.
        fov: Mask of the field of view.
        size: Height and width in pixels, where the table says them.
        excluded: Places where no candidate counts, by name: a mask, or a disc; None: not known.
    """

    id: str
    place: str
    patient: str
    site: str | None = None
    picture: Path | None = None
    fov: Path | None = None
    size: Shape | None = None
    excluded: Mapping[str, MaskReference | Disc | None] = field(default_factory=dict)

    def shape(self) -> Shape | None:
        """Height and width: as told, or by the header of the picture or of the field-of-view mask; None: not known.

        Raises:
            ImageError: The picture is broken, or of another size than told.
        """
        source = next((path for path in (self.picture, self.fov) if path is not None and path.is_file()), None)
        if source is None:
            return self.size
        info = read_image_info(source)
        found = (info.height, info.width)
        if self.size is not None and found != self.size:
            said = f"{found[1]}x{found[0]} in {source}, {self.size[1]}x{self.size[0]} in the table"
            remedy = "correct the columns width and height, or leave them out"
            raise ImageError("the image has another size than told", where=self.place, found=said, remedy=remedy)
        return found

    def field(self, shape: Shape) -> npt.NDArray[np.bool_] | None:
        """The field of view (H, W), or None where none is given.

        Raises:
            ImageError: It cannot be read, has another size than the image, or is empty.
        """
        if self.fov is None:
            return None
        inside = read_mask(MaskReference(self.fov), binary=True).astype(bool)
        if inside.shape != shape:
            found = f"{inside.shape[1]}x{inside.shape[0]} instead of {shape[1]}x{shape[0]}"
            remedy = "give the mask of this image's field of view"
            raise ImageError(
                f"the field of view of {self.place} has another size", where=self.fov, found=found, remedy=remedy
            )
        if not inside.any():
            remedy = "leave the cell empty where the field is not known"
            raise ImageError("the field of view is empty", where=self.fov, found="zeros only", remedy=remedy)
        return inside

    def pixels(self) -> Bytes | None:
        """The picture as 8-bit RGB (H, W, 3), or None where there is no file.

        Raises:
            ImageError: It is broken.
        """
        if self.picture is None or not self.picture.is_file():
            return None
        return np.rint(read_image(self.picture)[0] * 255).astype(np.uint8)


@dataclass(frozen=True)
class ImageIndex:
    """Finds evaluated images by whatever name a file or a cell gives them.

    Attributes:
        images: The evaluated ones, in order.
        others: Ids that are known and not evaluated (of another split).
        lookup: Image number by name; names that several images share are left out.
    """

    images: tuple[EvaluatedImage, ...]
    others: frozenset[str] = frozenset()
    lookup: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, images: Sequence[EvaluatedImage], others: Iterable[EvaluatedImage] = ()) -> ImageIndex:
        """Indexes images by id, by file name with and without suffix, and by the folder names of ``medmtl explain``.

        Raises:
            ManifestError: Two images have the same id.
        """
        twice = next((name for name, count in Counter(image.id for image in images).items() if count > 1), None)
        if twice is not None:
            first, second = [image for image in images if image.id == twice][:2]
            remedy = f"the first is {first.place}: name each image once"
            raise ManifestError("the same image twice", where=second.place, found=f"'{twice}'", remedy=remedy)
        aliases = [(name, number) for number, image in enumerate(images) for name in _aliases(image)]
        counts = Counter(name for name, _ in aliases)
        lookup = {name: number for name, number in aliases if counts[name] == 1}
        lookup |= {image.id: number for number, image in enumerate(images)}
        known = {name for image in others for name in _aliases(image)} - set(lookup)
        return cls(tuple(images), frozenset(known), lookup)

    def find(self, name: str) -> int | None:
        """Number of the image of this name, path or file name; None: there is none."""
        return next((self.lookup[key] for key in _keys(name) if key in self.lookup), None)

    def is_other(self, name: str) -> bool:
        """Whether the name is that of an image which is known and not evaluated."""
        return any(key in self.others for key in _keys(name))

    def unknown(self, name: str, where: str) -> ManifestError:
        """The error for a name that is none of the images."""
        known = [image.id for image in self.images]
        near = suggestion(name, known)
        hint = f"{near} " if near.startswith("did you mean") else f"known are {', '.join(known[:3])}, ... "
        remedy = f"{hint}every image must be told of by the truth, also one without lesions (--images)"
        return ManifestError("an image that the truth does not know", where=where, found=f"'{name}'", remedy=remedy)


def _keys(name: str) -> list[str]:
    path = name.replace("\\", "/")
    last = path.rsplit("/", 1)[-1]
    return list(dict.fromkeys((name, path, last, stem(last))))


def _aliases(image: EvaluatedImage) -> set[str]:
    names = {image.id, *safe_names([image.id])}
    if image.picture is not None:
        names |= {image.picture.name, stem(image.picture.name), *safe_names([stem(image.picture.name)])}
    return names


def stem(name: str) -> str:
    """A file name without its image suffix; other dots stay."""
    plain = name.removesuffix(".gz") if name.lower().endswith(".nii.gz") else name
    suffix = Path(plain).suffix
    return plain.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES | {".npy"} else plain


def with_pictures(index: ImageIndex, folder: Path) -> ImageIndex:
    """Finds the pictures of images that have none, by id, in a folder and below.

    Raises:
        ImageError: The folder does not exist.
    """
    if not folder.is_dir():
        raise ImageError("there is no such folder of pictures", where=folder, remedy="check the path")
    found = {stem(path.name): path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES}
    images = [
        image if image.picture is not None and image.picture.is_file() else replace(image, picture=found.get(image.id))
        for image in index.images
    ]
    return ImageIndex(tuple(images), index.others, index.lookup)
