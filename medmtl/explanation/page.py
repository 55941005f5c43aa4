"""One page for all images of a run of ``explain``: opens without network, without scripts, next to its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmtl.explanation.anatomy import Anatomy
from medmtl.explanation.color import color_table, probability
from medmtl.explanation.measured import NOT_MEASURED
from medmtl.explanation.panel import NOTHING, RESEARCH_ONLY
from medmtl.explanation.scale import OWN, ClassScale
from medmtl.explanation.writing import WrittenImage
from medmtl.files import write_text

NOT_THIS = (
    "Not a diagnosis and not a medical device. A finding must be confirmed, and excluded, on the picture itself.",
    "Not an outline. The network learned from labels of whole images; a region shows where its evidence lies, coarsely, "
    "and neither its border nor its area is the lesion's.",
    "Not proof of health. A blank map says that nothing reached the threshold. Lesions of a few pixels, such as "
    "microaneurysms, are often missed.",
    "Not a chance of disease at a spot. The probability is the network's own number for its evidence there.",
    "Not free of its origin. Threshold and colors were chosen on the validation images of one training; pictures from "
    "another camera or population may be read worse than any figure says.",
)


@dataclass(frozen=True)
class PageFacts:
    """What the page says about how it was made.

    Attributes:
        run: Name of the run.
        model_hash: Hash of the weights, in full.
        version: Version of medmtl.
        made: Date and time, as text.
        method: How the maps were made.
        title: Title of the page.
        missing: Classes without a map, and why.
        anatomy: Where disc, fovea and side of the eyes are known from.
        exports: Files of all images in formats of other programs, relative to the page.
    """

    run: str
    model_hash: str
    version: str
    made: str
    method: str = OWN
    title: str = "Heat maps"
    missing: Sequence[tuple[str, str]] = ()
    anatomy: str = ""
    exports: Sequence[str] = ()


def render_page(images: Sequence[WrittenImage], facts: PageFacts) -> str:
    """Lays out the page as HTML text; all names are escaped, all links are relative.

    Args:
        images: What was written, in the order of the page.
        facts: How it was made.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    loader = PackageLoader("medmtl.explanation", "templates")
    environment = Environment(
        loader=loader,
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(percent=_percent, gradient=_gradient(), eye=_eye, distance=_distance)
    return environment.get_template("index.html").render(**_content(images, facts))


def write_page(out: Path, images: Sequence[WrittenImage], facts: PageFacts) -> Path:
    """Writes ``out/index.html``.

    Returns:
        Its path.

    Raises:
        OutputError: The file cannot be written.
    """
    path = out / "index.html"
    write_text(path, render_page(images, facts))
    return path


def _content(images: Sequence[WrittenImage], facts: PageFacts) -> dict[str, Any]:
    scales: dict[ClassScale, Sequence[str]] = {
        entry.scale: entry.measured for image in images for entry in image.classes
    }
    return {
        "facts": facts,
        "images": images,
        "scales": scales,
        "unit": ", ".join(dict.fromkeys("logit, probability" if one.in_logits else one.unit for one in scales)),
        "most_layers": max((len(image.layers) for image in images), default=0),
        "total": sum(len(entry.candidates) for image in images for entry in image.classes),
        "not_this": NOT_THIS,
        "nothing": NOTHING,
        "not_measured": NOT_MEASURED,
        "research_only": RESEARCH_ONLY,
    }


def _percent(logit: float) -> str:
    value = float(probability(logit))
    return "> 99.9 %" if value > 0.9995 else "< 0.1 %" if value < 0.0005 else f"{100 * value:.1f} %"


def _eye(anatomy: Anatomy) -> str:
    """What is known of an eye, in words; empty for nothing."""
    side = {"R": "right eye", "L": "left eye", None: ""}[anatomy.laterality]
    points = (("optic disc", anatomy.disc), ("fovea", anatomy.fovea))
    said = [f"{name} at ({point[0]:.0f}, {point[1]:.0f})" for name, point in points if point is not None]
    if anatomy.disc_diameter is not None:
        said.append(f"disc diameter {anatomy.disc_diameter:.0f} pixels")
    if anatomy.contradiction:
        said.append("disc and laterality contradict each other: is the picture mirrored? No side of the nose is named")
    return ", ".join([side, *said] if side else said)


def _distance(value: float) -> str:
    return "–" if value != value else f"{value:.1f}"


def _gradient() -> str:
    table = color_table()
    stops = table[:: (len(table) - 1) // 5]
    return ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in stops)
