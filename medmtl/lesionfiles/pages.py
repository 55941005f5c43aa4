"""The pages of an evaluation: figures under their rules, and one page an image to leaf through; no network, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medmtl.evaluation import EvaluationResult
from medmtl.explanation.panel import RESEARCH_ONLY
from medmtl.reporting.layout import page_environment
from medmtl.reporting.page import task_views
from medmtl.reporting.tables import format_number


@dataclass(frozen=True)
class Figure:
    """One class's overlay of one image; no file where nothing is to be seen in it."""

    name: str
    said: str
    file: str


@dataclass(frozen=True)
class ImagePage:
    """One image's page.

    Attributes:
        name: The image.
        page: Path of the page, relative to the folder.
        figures: A class each, in the order of the classes.
    """

    name: str
    page: str
    figures: tuple[Figure, ...]

    @property
    def said(self) -> tuple[str, ...]:
        """The result of each class in words."""
        return tuple(figure.said for figure in self.figures)


@dataclass(frozen=True)
class PageFacts:
    """What the first page says beside the figures.

    Attributes:
        title: Its heading.
        lead: The line below it.
        rules: How it was counted, a sentence each.
        notes: What a reader must know.
        facts: Inputs and versions by name.
        classes: Names of the classes, in order.
        shown_rate: False positives per image at the threshold of the overlays.
    """

    title: str
    lead: str
    rules: tuple[str, ...]
    notes: tuple[str, ...]
    facts: Mapping[str, str]
    classes: tuple[str, ...]
    shown_rate: float


def render_index(
    result: EvaluationResult, facts: PageFacts, images: Sequence[ImagePage], files: Mapping[int, str]
) -> str:
    """Lays out the first page; everything shown is escaped.

    Args:
        result: The figures.
        facts: What else it says.
        images: Pages of images; none: there were no pictures.
        files: CSV file of each curve and table, by ``id`` of the object.
    """
    content: dict[str, Any] = {
        "title": facts.title,
        "lead": facts.lead,
        "rules": facts.rules,
        "notes": facts.notes,
        "facts": facts.facts,
        "classes": facts.classes,
        "shown_rate": format_number(facts.shown_rate, 0 if facts.shown_rate.is_integer() else None),
        "images": images,
        "tasks": task_views([result], files, {}),
        "research_only": RESEARCH_ONLY,
    }
    return page_environment("medmtl.lesionfiles").get_template("lesions.html").render(**content)


def render_image(images: Sequence[ImagePage], number: int) -> str:
    """Lays out the page of one image, with the way to the ones before and after.

    Args:
        images: All pages, in order.
        number: Which one.
    """
    names = [image.page.rsplit("/", 1)[-1] for image in images]
    content = {
        "image": images[number],
        "number": number + 1,
        "total": len(images),
        "before": names[number - 1] if number else "",
        "after": names[number + 1] if number + 1 < len(names) else "",
        "research_only": RESEARCH_ONLY,
    }
    return page_environment("medmtl.lesionfiles").get_template("image.html").render(**content)
