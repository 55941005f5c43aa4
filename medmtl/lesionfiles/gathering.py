"""Everything an evaluation needs in memory: of each image and class the candidates and the lesions, no whole maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation import Candidates, Targets
from medmtl.evaluation.sanity import covered_share
from medmtl.lesionfiles.exclusion import excluded_places, outside
from medmtl.lesionfiles.fields import EffectiveField, Origin
from medmtl.lesionfiles.images import EvaluatedImage, Shape
from medmtl.lesionfiles.lesiontruth import Truth
from medmtl.lesionfiles.limits import check_whole, told_of_memory
from medmtl.lesionfiles.pairing import Pair
from medmtl.lesionfiles.sanity import sanity_rows, trick_rows
from medmtl.lesionfiles.sources import CandidateSource

Field = npt.NDArray[np.bool_]
_POINTS = "evaluate points only: --no-sanity, and rules that compare no areas"


@dataclass(frozen=True)
class GatheredImage:
    """One image as it is scored.

    Attributes:
        image: The image.
        shape: Height and width; of an image of unknown size, one that holds all that is told of it.
        sized: The size is known.
        fielded: A field of view was given: only lesions and candidates inside it count.
        candidates: By pair.
        rows: Of further sources, by row and pair.
        targets: Lesions by pair; None: not known.
        sanity: Candidates of detectors that know nothing, by row.
        tricks: Candidates that rules of overlap reward, by pair and row.
        excluded: How many candidates lay in places where none counts, by pair.
        outside: How many candidates were left out because they lay outside the field of view, by pair.
        covered: Share of the field of view that the candidates' regions cover, by pair; of points none.
        flagged: The same of the candidates at or above the threshold of flagging.
        pictured: The picture is there.
        origin: Where the field comes from that shares and the rows beside the candidates go by; None: none was needed.
    """

    image: EvaluatedImage
    shape: Shape
    sized: bool
    fielded: bool
    candidates: Mapping[str, Candidates]
    rows: Mapping[str, Mapping[str, Candidates]]
    targets: Mapping[str, Targets | None]
    sanity: Mapping[str, Candidates] = field(default_factory=dict)
    tricks: Mapping[str, Mapping[str, Candidates]] = field(default_factory=dict)
    excluded: Mapping[str, int] = field(default_factory=dict)
    outside: Mapping[str, int] = field(default_factory=dict)
    covered: Mapping[str, float] = field(default_factory=dict)
    flagged: Mapping[str, float] = field(default_factory=dict)
    pictured: bool = False
    origin: Origin | None = None


@dataclass(frozen=True)
class GatherOptions:
    """How images are gathered.

    Attributes:
        min_area: Least pixels of a lesion.
        sanity: Also make the rows of detectors that know nothing.
        seed: Seed of the random ones.
        covered: Also measure how much of the field of view the candidates cover.
        flagged: Also measure how much of it those at or above ``flag_from`` cover.
        flag_from: Score from which a candidate flags its pixels; None: all do.
    """

    min_area: int = 1
    sanity: bool = True
    seed: int = 0
    covered: bool = False
    flagged: bool = False
    flag_from: float | None = None


def gather(
    truth: Truth,
    source: CandidateSource,
    rows: Mapping[str, CandidateSource],
    pairs: Sequence[Pair],
    options: GatherOptions,
    track: Iterable[int],
) -> tuple[GatheredImage, ...]:
    """Reads image by image.

    Args:
        truth: The lesions.
        source: The candidates.
        rows: Other candidates on the same images, by name of their row.
        pairs: Which classes belong together.
        options: How.
        track: Numbers of the images, in order.

    Raises:
        ManifestError: A candidate or a lesion lies outside its image.
        ImageError: A map, mask or picture is wrong.
        EvaluationError: There is no lesion in all of the truth, or an image is too large for memory.
    """
    images = []
    for number in track:
        with told_of_memory(truth.index.images[number], truth.shape(number)):
            images.append(_gathered(truth, source, rows, pairs, options, number))
    _check_lesions(images, pairs)
    return tuple(images)


def _gathered(
    truth: Truth,
    source: CandidateSource,
    rows: Mapping[str, CandidateSource],
    pairs: Sequence[Pair],
    options: GatherOptions,
    number: int,
) -> GatheredImage:
    image = truth.index.images[number]
    known = truth.shape(number) or source.shape(number)
    sources = [source, *rows.values()]
    shape = known or _guessed(truth, sources, number)
    inside, barred = image.field(shape) if known else None, excluded_places(image, known)
    targets = {pair.name: truth.targets(number, pair.truth, shape, inside, options.min_area) for pair in pairs}
    found = [_candidates(one, pairs, number, shape, inside, bounded=known is not None) for one in sources]
    kept = [_outside(one, barred) for one in found]
    gathered = GatheredImage(
        image,
        shape,
        known is not None,
        inside is not None,
        kept[0],
        dict(zip(rows, kept[1:], strict=True)),
        targets,
        excluded={name: len(candidates) - len(kept[0][name]) for name, candidates in found[0].items()},
        outside={
            pair.name: 0 if pair.candidates is None else source.dropped(number, pair.candidates, inside)
            for pair in pairs
        },
        pictured=image.picture is not None and image.picture.is_file(),
    )
    return gathered if known is None else _with_rows(gathered, inside, barred, pairs, options)


def _with_rows(
    gathered: GatheredImage, inside: Field | None, barred: Field | None, pairs: Sequence[Pair], options: GatherOptions
) -> GatheredImage:
    """Adds what needs the field of view: the rows beside the candidates, and how much of it these cover."""
    if not (options.covered or options.flagged or options.sanity):
        return gathered
    image = gathered.image
    check_whole(image, gathered.shape, "rows that know nothing and shares of the field", _POINTS)
    picture = image.pixels() if options.sanity or inside is None else None
    effective = EffectiveField.of(inside, picture, gathered.shape)
    where, gathered = effective.mask, replace(gathered, origin=effective.origin)
    if options.covered:
        gathered = replace(gathered, covered=_shares(gathered.candidates, where))
    if options.flagged:
        gathered = replace(gathered, flagged=_shares(gathered.candidates, where, options.flag_from))
    if not options.sanity:
        return gathered
    rows = sanity_rows(where, picture, options.seed, image.id)
    tricks = {pair.name: trick_rows(gathered.candidates[pair.name], where, options.seed, image.id) for pair in pairs}
    return replace(
        gathered, sanity=_outside(rows, barred), tricks={key: _outside(part, barred) for key, part in tricks.items()}
    )


def _outside(rows: Mapping[str, Candidates], barred: Field | None) -> dict[str, Candidates]:
    return {name: outside(candidates, barred) for name, candidates in rows.items()}


def _shares(found: Mapping[str, Candidates], where: Field, least: float | None = None) -> dict[str, float]:
    """Share of the field that the regions of candidates cover; classes whose candidates are points are left out."""
    return {
        name: covered_share([one if least is None else one.take(one.score >= least)], [where])
        for name, one in found.items()
        if not len(one) or one.regions is not None or one.radius is not None
    }


def _guessed(truth: Truth, sources: Sequence[CandidateSource], number: int) -> Shape:
    reach = [truth.reach(number), *(source.reach(number) for source in sources)]
    height, width = (max(0, math.ceil(max(part))) + 2 for part in zip(*reach, strict=True))
    return height, width


def _candidates(
    source: CandidateSource, pairs: Sequence[Pair], number: int, shape: Shape, inside: Field | None, *, bounded: bool
) -> dict[str, Candidates]:
    read: dict[str, Candidates] = {}
    for label in dict.fromkeys(pair.candidates for pair in pairs if pair.candidates is not None):
        read[label] = source.candidates(number, label, shape, inside, bounded=bounded)
    return {pair.name: read[pair.candidates] if pair.candidates else Candidates.none() for pair in pairs}


def _check_lesions(images: Sequence[GatheredImage], pairs: Sequence[Pair]) -> None:
    """Refuses a truth in which nothing is to be found: every figure would be undefined."""
    known = {pair.name: [image.targets[pair.name] for image in images] for pair in pairs}
    if any(targets is not None and targets.count for column in known.values() for targets in column):
        return
    names = ", ".join(known)
    if not any(targets is not None for column in known.values() for targets in column):
        remedy = "fill the mask cells: empty means not known, `absent` that there is no lesion"
        raise EvaluationError("the lesions are known in no image", found=f"classes {names}", remedy=remedy)
    dropped = sum(targets.dropped for column in known.values() for targets in column if targets is not None)
    small = f", {dropped} dropped as too small or outside the field of view" if dropped else ""
    remedy = "check that the truth is that of these images, and what its values mean"
    raise EvaluationError(
        "the truth is empty everywhere: there is no lesion to find",
        found=f"{len(images)} images, classes {names}{small}",
        remedy=remedy,
    )
