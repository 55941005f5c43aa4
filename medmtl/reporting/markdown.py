"""Collected results as Markdown: means and standard deviations over seeds, then every seed by itself."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd

from medmtl.evaluation.results import Interval
from medmtl.reporting.tables import DASH, decimals, format_interval, format_number, markdown_cell, markdown_table

_RUN = ["run", "config"]
_FIGURE = ["evaluation", "dataset", "split", "task", "metric"]


def aggregate(frame: pd.DataFrame) -> pd.DataFrame:
    """Gives mean and standard deviation of every figure over the runs of one name and one configuration.

    Args:
        frame: What :func:`medmtl.reporting.results.collect_results` gave.

    Returns:
        A row per run name, configuration, evaluation, data set, split, task and metric, in the order of first
        appearance, with ``label``, ``mean``, ``sd`` (with n - 1; NaN for one value), ``values`` (runs with a value),
        ``runs``, ``seeds``, ``n_low``, ``n_high`` (units counted) and ``method``.
    """
    rows = [
        dict(zip(_RUN + _FIGURE, key, strict=True)) | _summary(group)
        for key, group in frame[frame["metric"].notna()].groupby(_RUN + _FIGURE, sort=False, dropna=False)
    ]
    return pd.DataFrame(rows)


def _summary(group: pd.DataFrame) -> dict[str, object]:
    values = group["value"].astype(float).dropna().to_numpy()
    return {
        "label": group["label"].iloc[0],
        "mean": float(values.mean()) if len(values) else math.nan,
        "sd": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        "values": len(values),
        "runs": group["folder"].size,
        "seeds": group["seed"].nunique(),
        "n_low": int(group["n"].min()),
        "n_high": int(group["n"].max()),
        "method": group.loc[group["value"].isna(), "method"].min() if len(values) < len(group) else "",
    }


def render_results(frame: pd.DataFrame) -> str:
    """Renders collected results as Markdown: per run name a table of means, and below it every seed with its interval.

    Nothing is left out: poor figures, missing ones (with their reason) and runs without evaluation are listed.

    Args:
        frame: What :func:`medmtl.reporting.results.collect_results` gave.

    Returns:
        Markdown with all text from run folders escaped.
    """
    if frame.empty:
        return "No runs.\n"
    sections = [
        _section(str(name), str(config), group, frame) for (name, config), group in frame.groupby(_RUN, sort=False)
    ]
    return "\n".join(sections)


def _section(name: str, config: str, group: pd.DataFrame, frame: pd.DataFrame) -> str:
    shared = frame.loc[frame["run"] == name, "config"].nunique() > 1
    title = f"### {markdown_cell(name)}{f' (configuration {config})' if shared else ''}\n"
    parts = [title, "\n".join(_facts(group)) + "\n"]
    if group["metric"].notna().any():
        known = group.groupby(_FIGURE, dropna=False)["value"].transform("count") > 0
        parts += [_means(group[known]), _without_value(group[~known])] if known.any() else [_without_value(group)]
        parts += [_details(group[known])] if known.any() else []
    return "\n".join(part for part in parts if part)


def _facts(group: pd.DataFrame) -> Iterator[str]:
    runs = group.drop_duplicates("folder" if group["run_hash"].isna().all() else ["folder", "run_hash"])
    minutes, processor = (_average(runs[column]) for column in ("minutes", "processor_minutes"))
    span = f"{minutes}, {processor} of processor time" if processor else minutes or "unknown"
    yield f"- Runs: {len(runs)} (seeds {_listed(runs['seed'])}); training minutes: {span}"
    yield f"- Code: {_listed(runs['code_version'])}; git: {_listed(runs['git'])}"
    for folder, seed in runs.loc[runs["metric"].isna(), ["folder", "seed"]].itertuples(index=False):
        yield f"- {markdown_cell(folder)} (seed {markdown_cell(seed)}): **not evaluated**"


def _average(minutes: pd.Series) -> str:
    known = minutes.astype(float).dropna()
    return "" if known.empty else f"{format_number(float(known.mean()), 1)} on average"


def _listed(values: pd.Series) -> str:
    return ", ".join(markdown_cell(value) for value in dict.fromkeys(values)) or DASH


def _places(group: pd.DataFrame) -> pd.Series:
    """Names data set and split, and the evaluation where one name stands for several."""
    place = group["dataset"].astype(str) + " · " + group["split"].astype(str)
    several = group.groupby(["dataset", "split", "task", "metric"])["evaluation"].transform("nunique") > 1
    return place.where(~several, place + " (" + group["evaluation"].astype(str) + ")")


def _means(group: pd.DataFrame) -> str:
    table = aggregate(group)
    columns = ("Data set · split", "Task", "Metric", "Mean ± SD", "Seeds", "n")
    rows = (
        (place, row["task"], row["label"], _mean_text(row), _seeds_text(row), _range(row["n_low"], row["n_high"]))
        for place, row in zip(_places(table), table.to_dict("records"), strict=True)
    )
    return markdown_table(columns, rows, numeric=("Mean ± SD", "Seeds", "n"))


def _without_value(group: pd.DataFrame) -> str:
    """Lists the figures that no run has, by their reason: a row each would hide those that there are."""
    table = group[group["metric"].notna()]
    if table.empty:
        return ""
    table = table.assign(place=_places(table), reason=[_reason(method) for method in table["method"]])
    rows = [
        (place, task, ", ".join(dict.fromkeys(labels)), reason)
        for (place, task, reason), labels in table.groupby(["place", "task", "reason"], sort=False)["label"]
    ]
    body = markdown_table(("Data set · split", "Task", "Metrics", "Why"), rows)
    count = len(table.drop_duplicates(_FIGURE))
    return f"<details>\n<summary>Figures without a value: {count}</summary>\n\n{body}\n</details>\n"


def _reason(method: object) -> str:
    return str(method) if isinstance(method, str) and method else "reason not recorded"


def _mean_text(row: Mapping[Hashable, Any]) -> str:
    places = decimals(row["mean"])
    return f"{format_number(row['mean'], places)} ± {format_number(row['sd'], places)}"


def _seeds_text(row: Mapping[Hashable, Any]) -> str:
    seeds, runs, values = row["seeds"], row["runs"], row["values"]
    text = str(seeds) if seeds == runs else f"{seeds} in {runs} runs"
    return text if values == runs else f"{text}, {values} with a value"


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}{DASH}{high}"


_DETAILS = {
    "Run folder": "folder",
    "Seed": "seed",
    "Code": "code_version",
    "Minutes": "minutes",
    "Data set · split": "place",
    "Task": "task",
    "Metric": "label",
    "Value (95 % interval)": "text",
    "n": "n",
    "Ledger row": "ledger_row",
}


def _details(group: pd.DataFrame) -> str:
    table = group[group["metric"].notna()]
    records = table.assign(place=_places(table)).to_dict("records")
    rows = ([(row | {"text": _value(row)})[key] for key in _DETAILS.values()] for row in records)
    body = markdown_table(list(_DETAILS), rows, numeric=("Seed", "Minutes", "Value (95 % interval)", "n"))
    return f"<details>\n<summary>Every seed</summary>\n\n{body}\n</details>\n"


def _value(row: Mapping[Hashable, Any]) -> str:
    if not math.isfinite(row["value"]):
        return f"{DASH} ({_reason(row['method'])})"
    return format_interval(Interval(row["value"], row["low"], row["high"]))
