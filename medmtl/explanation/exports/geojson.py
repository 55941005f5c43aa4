"""Regions as polygons and candidates as points in GeoJSON (RFC 7946), in original pixels, as QuPath reads them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from medmtl.explanation.candidates import COORDINATES
from medmtl.explanation.exports.base import EXPORTS, PerImage, plain_row
from medmtl.explanation.panel import RESEARCH_ONLY
from medmtl.explanation.regions import Region, map_regions
from medmtl.explanation.scale import ClassScale
from medmtl.explanation.shown import ShownClass, ShownImage
from medmtl.files import write_text


def write_geojson(folder: Path, image: ShownImage) -> list[Path]:
    """Writes ``NAME.geojson``: a polygon a region, a point a candidate.

    A polygon runs half a pixel about the centers of its pixels. Coordinates are pixels of the whole image, not of a
    part of it, and not degrees; the file says so in members of its own.

    Args:
        folder: Where to.
        image: The image.

    Raises:
        OutputError: It cannot be written.
    """
    features = [feature for entry in image.classes for feature in _features(entry)]
    content = {
        "type": "FeatureCollection",
        "image": {"file": image.source, "width": image.width, "height": image.height},
        "coordinates": COORDINATES,
        "use": RESEARCH_ONLY,
        "scales": [_scale(entry.scale) for entry in image.classes],
        "features": features,
    }
    path = folder / f"{image.name}.geojson"
    write_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
    return [path]


def _scale(scale: ClassScale) -> dict[str, Any]:
    return {"class": scale.name, "threshold": scale.threshold, "method": scale.made_by, "unit": scale.unit}


def _features(entry: ShownClass) -> list[dict[str, Any]]:
    regions, _ = map_regions(entry.evidence, entry.scale, entry.candidates)
    polygons = [_polygon(entry.scale.name, region) for region in regions]
    return polygons + [_point(entry.scale.name, row) for row in entry.candidates.to_dict("records")]


def _polygon(name: str, region: Region) -> dict[str, Any]:
    rings = [[[float(x), float(y)] for x, y in ring] for ring in region.rings()]
    properties = {"kind": "region", "area_px": region.area, "candidates": region.candidates["number"].tolist()}
    return _feature(name, {"type": "Polygon", "coordinates": rings}, properties)


def _point(name: str, row: dict[Any, Any]) -> dict[str, Any]:
    place = {"type": "Point", "coordinates": [float(row["x"]), float(row["y"])]}
    told = {key: value for key, value in plain_row(row).items() if key not in {"x", "y", "class", "image"}}
    return _feature(name, place, {"kind": "candidate", **told})


def _feature(name: str, geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """With the members by which QuPath names and colors an annotation."""
    said = {"objectType": "annotation", "classification": {"name": name}, "class": name}
    return {"type": "Feature", "geometry": geometry, "properties": {**said, **properties}}


EXPORTS.register("geojson")(partial(PerImage, write=write_geojson))
