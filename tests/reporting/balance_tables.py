"""Small tables of a run as `medmtl train` writes them: a log with three tasks, and a probe's looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

TASKS = ("a", "b", "c")


def make_log(steps: int = 12, tasks: tuple[str, ...] = TASKS) -> pd.DataFrame:
    """Weights that move, norms, cosines, and traced phases in turn: a phase of i lowers L_i and raises the others."""
    rows: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        row: dict[str, Any] = {"step": step, "epoch": (step + 1) // 2, "split": "train"}
        for index, task in enumerate(tasks):
            row |= {f"loss/{task}": 1 / step, f"weight/{task}": step * (index + 1.0)}
            row |= {f"gradient_norm/{task}": 10.0**index}
            row |= {f"cosine/{task}|{other}": 0.1 * index - 0.2 for other in tasks[index + 1 :]}
        turn = tasks[step % len(tasks)]
        row |= {f"flat/{turn}": 1 / step + 0.25, f"drift/{turn}": 0.01 * step}
        row |= {f"transfer/{turn}/{other}": -0.5 if other == turn else 0.125 for other in tasks}
        rows.append(row)
    rows.append({"step": steps, "epoch": steps // 2, "split": "val", "metric/a/dice": 0.5})
    return pd.DataFrame(rows)


def make_probe(
    looks: int = 4, layers: tuple[str, ...] = ("stem", "body.0"), tasks: tuple[str, ...] = TASKS
) -> pd.DataFrame:
    """Shares that task a takes over in the last layer, norms, and the three measures of conflict."""
    rows: list[dict[str, Any]] = []
    for step in range(0, 5 * looks, 5):
        rows += [_row(step, "gradient_norm", task, "value", 2.0) for task in tasks]
        for number, layer in enumerate(layers):
            first = (1 + number) / (len(tasks) + number)
            rest = (1 - first) / (len(tasks) - 1)
            values = [first, *[rest] * (len(tasks) - 1)]
            rows += [_row(step, "update_share", t, "value", v, layer) for t, v in zip(tasks, values, strict=True)]
        for measure in ("cosine", "magnitude", "opposed"):
            for pairs, names in (("inter_task", ["|".join(tasks)]), ("inter_sample", tasks)):
                for name in names:
                    values_ = {"mean": 0.5, "sd": 0.1, "low": 0.3, "high": 0.7}
                    rows += [_row(step, f"{pairs}_{measure}", name, kind, value) for kind, value in values_.items()]
    return pd.DataFrame(rows)


def _row(step: int, measure: str, tasks: str, statistic: str, value: float, layer: str = "") -> dict[str, Any]:
    empty = layer or np.nan  # an empty cell, as pandas reads it
    return {"step": step, "measure": measure, "tasks": tasks, "layer": empty, "statistic": statistic, "value": value}
