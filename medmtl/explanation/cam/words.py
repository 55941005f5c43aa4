"""What a page says of the method that made its maps."""

from __future__ import annotations

from medmtl.explanation.scale import OWN


def method_words(name: str | None) -> str:
    """The method's title and source, its unit, what it normalizes, and that the scale was not chosen for it.

    Args:
        name: A name in ``CAM_METHODS``; None for the head's own maps.

    Raises:
        ConfigError: The name is not known.
    """
    if name is None:
        return OWN
    from medmtl.explanation.cam.methods import cam_method  # most heat maps need no library

    method = cam_method(name, where="--method")
    words = [f"{method.title} ({method.source}), not stretched to the image"]
    if method.normalized:
        words.append(f"by its definition, {method.normalized}")
    if not method.by_class:
        words.append("it knows no class: every class has the same map")
    if method.unit == "logit":
        words.append("the scale is that of the head's own maps and was not chosen for this method")
    else:
        kind = "random" if method.unit == "none" else f"in units of {method.unit}"
        words.append(
            f"its values are {kind}, not logits: threshold and colors, those of the head's own maps, say little"
        )
    return "; ".join(words)
