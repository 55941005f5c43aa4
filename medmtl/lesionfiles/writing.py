"""The folder of an evaluation: figures, tables, outcomes, curves as pictures, and pages to leaf through."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from medmtl.evaluation import Counting, Curve, EvaluationResult, pooled_froc
from medmtl.evaluation.plainvalues import plain
from medmtl.evaluation.results import FORMAT
from medmtl.explanation.shown import safe_names
from medmtl.files import atomic_write, write_text
from medmtl.lesionfiles.drawing import Bytes, Shown, draw_outcomes
from medmtl.lesionfiles.gathering import GatheredImage
from medmtl.lesionfiles.outcomes import candidate_frame, froc_frame, image_frame, lesion_frame
from medmtl.lesionfiles.pages import Figure, ImagePage, PageFacts, render_image, render_index
from medmtl.lesionfiles.pairing import Pair
from medmtl.lesionfiles.ruletexts import rule_text
from medmtl.lesionfiles.sanity import compares_areas
from medmtl.lesionfiles.scoring import Scored
from medmtl.reporting.artifacts import artifacts, slug, write_artifacts
from medmtl.reporting.figures import froc_png
from medmtl.reporting.summary import RunSummary
from medmtl.reporting.tables import csv_text, format_number

METRICS_FILE, INDEX_FILE = "metrics.json", "index.html"
_QUALITY = 88


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that is written.

    Attributes:
        result: The figures.
        scored: Each class under each rule, in the order of the result's tasks.
        images: What was gathered.
        pairs: The classes.
        provenance: Inputs, options and versions, as JSON values.
        facts: What the page says beside the figures.
        counting: How outcomes were counted: curves and thresholds of pictures go by it as tables do.
    """

    result: EvaluationResult
    scored: tuple[Scored, ...]
    images: tuple[GatheredImage, ...]
    pairs: tuple[Pair, ...]
    provenance: Mapping[str, Any]
    facts: PageFacts
    counting: Counting

    def in_ledger(self, row: str) -> Evaluation:
        """The same with the row of the ledger that tells of it, in figures, provenance and page.

        Args:
            row: ``FILE:ROW``.
        """
        facts = replace(self.facts, facts={**self.facts.facts, "Ledger row": row})
        provenance = {**self.provenance, "ledger_row": row}
        return replace(self, result=replace(self.result, ledger_row=row), provenance=provenance, facts=facts)


def write_tables(folder: Path, evaluation: Evaluation) -> dict[int, str]:
    """Writes all CSV files and the FROC pictures.

    Returns:
        The CSV file of each curve and table, by ``id`` of the object.

    Raises:
        OutputError: A file cannot be written.
    """
    files = artifacts([evaluation.result], _no_run())
    write_artifacts(folder, files)
    frames = {
        "candidates": candidate_frame(evaluation.scored),
        "lesions": lesion_frame(evaluation.scored),
        "images": image_frame(evaluation.images, evaluation.pairs),
        "froc": froc_frame(evaluation.scored, evaluation.counting),
    }
    for name, frame in frames.items():
        write_text(folder / f"{name}.csv", csv_text(frame))
    names = safe_names([f"froc-{slug(task.task)}" for task in evaluation.result.tasks])
    for name, task, one in zip(names, evaluation.result.tasks, evaluation.scored, strict=True):
        title = f"{one.pair.name}, {rule_text(one.rule)}"
        curves = [replace(curve, title=title) for curve in task.curves if curve.kind == "froc"][:1]
        if curves:
            with atomic_write(folder / f"{name}.png") as temporary:
                temporary.write_bytes(froc_png([*curves, *_row_curves(one, evaluation.counting)]))
    return {id(file.owner): file.path for file in files if file.owner is not None}


def _row_curves(one: Scored, counting: Counting) -> list[Curve]:
    """The curves of the other rows, without a band; those with less than two points are no line."""
    curves = []
    for name, matches in one.rows.items():
        froc = pooled_froc(matches, counting)
        if froc.lesions and len(froc.fppi) > 1:
            axes = ("False positives per image", "Lesion sensitivity")
            curves.append(Curve("froc", name, tuple(froc.fppi), tuple(froc.sensitivity), *axes))
    return curves


def _no_run() -> RunSummary:
    """No run made these figures: nothing of it is written."""
    return RunSummary("", "", "", "", "", 0, 0.0, "", {}, pd.DataFrame(), pd.DataFrame())


def write_pages(
    folder: Path, evaluation: Evaluation, files: Mapping[int, str], images: Iterable[GatheredImage]
) -> None:
    """Writes the overlays and the page of each image whose picture is there, and the first page.

    Args:
        folder: Where to.
        evaluation: What was found.
        files: CSV file of each curve and table, by ``id`` of the object.
        images: The images to draw, in order; none: no pictures.

    Raises:
        ImageError: A picture is broken.
        OutputError: A file cannot be written.
    """
    shown = {one.pair.name: one for one in reversed(evaluation.scored)}  # the first rule of each class is drawn
    rate, counting = evaluation.facts.shown_rate, evaluation.counting
    thresholds = {
        name: pooled_froc(one.matches, counting).sensitivity_at(rate).threshold for name, one in shown.items()
    }
    pages: list[ImagePage] = []
    names = _page_names(evaluation.images)
    lenient = evaluation.counting.lenient
    for image in images:
        picture = image.image.pixels()
        if picture is None:
            continue
        name = names[image.image.id]
        figures = [
            _figure(folder, name, image, shown[pair.name], thresholds[pair.name], picture, lenient=lenient)
            for pair in evaluation.pairs
        ]
        pages.append(ImagePage(image.image.id, f"images/{name}.html", tuple(figures)))
    for number, page in enumerate(pages):
        write_text(folder / page.page, render_image(pages, number))
    write_text(folder / INDEX_FILE, render_index(evaluation.result, evaluation.facts, pages, files))


def _page_names(images: Sequence[GatheredImage]) -> dict[str, str]:
    ids = [image.image.id for image in images]
    return dict(zip(ids, safe_names(ids), strict=True))


def _figure(
    folder: Path, name: str, image: GatheredImage, one: Scored, threshold: float, picture: Bytes, *, lenient: bool
) -> Figure:
    targets = image.targets[one.pair.name]
    if targets is None:
        return Figure(one.pair.name, "lesions not known", "")
    place = next(index for index, other in enumerate(one.images) if other is image)
    found, outlined = image.candidates[one.pair.name], compares_areas(one.rule)
    shown = Shown(found, one.matches[place], targets, threshold, outlined, lenient)
    if not targets.count and not shown.visible:
        return Figure(one.pair.name, "no lesion, nothing above threshold", "")
    title = f"{one.pair.name}, {rule_text(one.rule)}, score ≥ {format_number(threshold)}"
    file = f"{name}.{slug(one.pair.name)}.jpg"
    with atomic_write(folder / "images" / file) as temporary:
        Image.fromarray(draw_outcomes(picture, shown, title)).save(temporary, quality=_QUALITY, subsampling=0)
    return Figure(one.pair.name, shown.said, file)


def write_metrics(folder: Path, evaluation: Evaluation) -> None:
    """Writes ``metrics.json``, last of all: whoever finds it finds the rest.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(folder / METRICS_FILE, metrics_text(evaluation.provenance, evaluation.result))


def metrics_text(provenance: Mapping[str, Any], result: EvaluationResult) -> str:
    """The figures of an evaluation, and where they come from, as JSON text."""
    content = {"format": FORMAT, "provenance": plain_mapping(provenance), "results": [result.to_dict()]}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def plain_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as JSON values; what is not finite becomes None."""
    return {key: plain_mapping(value) if isinstance(value, Mapping) else plain(value) for key, value in values.items()}
