"""Dataclasses of figures as plain JSON values, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd


def plain(value: Any) -> Any:
    """Gives dataclasses, tables, arrays and numbers as JSON values; what is not finite becomes None."""
    if isinstance(value, pd.DataFrame):
        rows = value.astype(object).to_numpy().tolist()
        return {"columns": [str(column) for column in value.columns], "rows": plain(rows)}
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if value is pd.NA or value is pd.NaT else value


def known_fields(cls: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps the keys a class has (a later minor version may have added some) and turns lists into tuples."""
    names = {field.name for field in fields(cls)}
    return {key: tuple(item) if isinstance(item, list) else item for key, item in data.items() if key in names}


def number(value: float | None) -> float:
    """A number out of JSON; None, which stands for one that is not finite, becomes NaN."""
    return math.nan if value is None else float(value)
