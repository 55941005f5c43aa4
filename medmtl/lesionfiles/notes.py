"""What stands beside the numbers in words: how it was counted, and what a reader must know of the inputs."""

from __future__ import annotations

from collections.abc import Sequence

from medmtl.evaluation import Counting
from medmtl.evaluation.lesions import OtherClass
from medmtl.explanation.candidates import COORDINATES
from medmtl.lesionfiles.fields import origins_text
from medmtl.lesionfiles.gathering import GatheredImage
from medmtl.lesionfiles.lesiontruth import Truth
from medmtl.lesionfiles.pairing import Pair
from medmtl.lesionfiles.ruletexts import rule_text
from medmtl.lesionfiles.sanity import AS_DISCS, compares_areas, median_radius
from medmtl.lesionfiles.scoring import Scored
from medmtl.lesionfiles.sources import CandidateSource


def rule_sentences(
    scored: Sequence[Scored], pairs: Sequence[Pair], min_area: int, counting: Counting, other_class: OtherClass
) -> tuple[str, ...]:
    """How it was counted, a sentence each.

    Args:
        scored: Each class under each rule.
        pairs: The classes.
        min_area: Least pixels of a lesion.
        counting: How outcomes were counted.
        other_class: What became of hits on another class only.
    """
    named = ", ".join(dict.fromkeys(name for pair in pairs for name in pair.truth))
    apart = "A candidate that hits lesions of another class only is a false positive."
    if other_class == "ignored":
        apart = (
            f"A candidate that hits lesions of another class only counts neither way; the classes are {named}"
            " (`--class NAME=` names one without candidates)."
        )
    rules = {rule_text(one.rule): one.rule.caption for one in scored}
    joined = [
        f"{pair.name}: lesions {' or '.join(pair.truth)}, candidates {pair.candidates or 'none'}."
        for pair in pairs
        if pair.truth != (pair.name,) or pair.candidates != pair.name
    ]
    return (
        *(f"{name}. {caption}" for name, caption in rules.items()),
        *joined,
        f"By falling score each candidate takes the best lesion that is free. {counting.caption}",
        apart,
        "Lesions of a mask are its 8-connected components inside the field of view"
        + (f" of at least {min_area} pixels" if min_area > 1 else "")
        + "; boxes, circles and points are a lesion each.",
        "False positives are per evaluated image, with lesions or without; a lesion-free image has no lesion of the class, also none that counts neither way. Intervals are of a bootstrap over patients.",
        f"Coordinates: {COORDINATES}.",
    )


def gathered_notes(
    truth: Truth,
    sources: Sequence[CandidateSource],
    images: Sequence[GatheredImage],
    pairs: Sequence[Pair],
    sanity: bool,
) -> tuple[str, ...]:
    """What a reader must know of the inputs: what was left out, what was not there."""
    notes = [*truth.notes, *(note for source in sources for note in source.notes)]
    notes += [note for pair in pairs for note in _class_notes(images, pair)]
    notes += _exclusion_notes(images, pairs)
    notes += _image_notes(images, sanity)
    return tuple(dict.fromkeys(notes))


def row_notes(scored: Sequence[Scored]) -> tuple[str, ...]:
    """What became of rows of points under rules that compare areas.

    Args:
        scored: Each class under each rule.
    """
    notes = []
    for one in scored:
        name, text = one.pair.name, rule_text(one.rule)
        discs = [row for row in AS_DISCS if row in one.rows]
        radius = median_radius([image.candidates[name] for image in one.images])
        if discs and radius is not None and compares_areas(one.rule):
            notes.append(
                f"{name}: {' and '.join(discs)} are discs of {radius:.3g} pixels under rules that compare areas, "
                "the median radius of the candidates"
            )
        if one.left_out:
            notes.append(f"{name}, {text}: no row of {', '.join(one.left_out)}: these are points without an area")
    return tuple(dict.fromkeys(notes))


def _class_notes(images: Sequence[GatheredImage], pair: Pair) -> list[str]:
    known = [targets for image in images if (targets := image.targets[pair.name]) is not None]
    dropped = sum(targets.dropped for targets in known)
    notes = []
    unclear = sum(not targets.count and targets.dropped + targets.ignored > 0 for targets in known)
    if known and all(targets.count + targets.dropped + targets.ignored for targets in known):
        rest = f" ({unclear} only such as count neither way)" if unclear else ""
        notes.append(f"{pair.name}: every image has such a lesion{rest}, so nothing is known of lesion-free images")
    if unclear:
        notes.append(
            f"{pair.name}: all such lesions of {unclear} of {len(known)} images count neither way; these images are neither "
            "with nor without a lesion: figures by image and of lesion-free images leave them out"
        )
    if known and not any(targets.count for targets in known):
        notes.append(f"{pair.name}: no image has such a lesion")
    if len(known) < len(images):
        notes.append(
            f"{pair.name}: not known in {len(images) - len(known)} of {len(images)} images, which are left out"
        )
    if dropped:
        notes.append(
            f"{pair.name}: {dropped} lesions were too small or outside the field of view; they count neither way"
        )
    if pair.candidates is None:
        notes.append(f"{pair.name}: there are no candidates of this class, as was said; every lesion is missed")
    return notes


def _exclusion_notes(images: Sequence[GatheredImage], pairs: Sequence[Pair]) -> list[str]:
    names = list(images[0].image.excluded)
    unknown = {name: sum(image.image.excluded[name] is None for image in images) for name in names}
    notes = [
        f"{name}: not known in {count} of {len(images)} images; candidates there are kept wherever they lie"
        for name, count in unknown.items()
        if count
    ]
    if names:
        counts = ", ".join(f"{pair.name} {sum(image.excluded[pair.name] for image in images)}" for pair in pairs)
        notes.append(
            f"candidates on {' or '.join(names)} were left out: {counts}; a lesion that only they hit is missed"
        )
    if any(image.outside[pair.name] for image in images for pair in pairs):
        counts = ", ".join(f"{pair.name} {sum(image.outside[pair.name] for image in images)}" for pair in pairs)
        notes.append(f"candidates outside the field of view were left out: {counts}")
    return notes


def _image_notes(images: Sequence[GatheredImage], sanity: bool) -> list[str]:
    notes = []
    unsized = sum(not image.sized for image in images)
    if unsized:
        notes.append(
            f"the size of {unsized} images is not known: candidates outside them could not be told, and there are no "
            "sanity rows (give pictures, or columns width and height in --images)"
        )
    without = [image for image in images if not image.fielded]
    if without:
        needed = [image.origin for image in without if image.origin is not None]
        told = (
            f"; shares of the field and rows that know nothing go by a field {origins_text(needed)}" if needed else ""
        )
        notes.append(f"{len(without)} of {len(images)} images have no field of view: all of the image counts{told}")
    blobs = sum(any("LoG" in name for name in image.sanity) for image in images)
    if sanity and not unsized and blobs < len(images):
        notes.append(f"no rows of blob detectors: {len(images) - blobs} of {len(images)} pictures are not there")
    return notes
