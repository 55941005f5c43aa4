"""What a report says of the run that made the model: who, when, with what, how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True, eq=False)
class RunSummary:
    """One training run as a report shows it; nothing here is computed from images.

    Args:
        title: Heading of the report.
        run_folder: Name of the run folder, without its parents (a report may leave the machine).
        run_hash: Hash that names the run in ledgers.
        code_version: Version of the package that trained.
        git: State of the code, such as ``1a2b3c4, clean``; empty if unknown.
        seed: Seed of the run.
        minutes: Wall-clock minutes of training; NaN if unknown.
        config: Resolved configuration as YAML text.
        environment: Versions of Python and packages, and hardware.
        log: Learning log: columns ``step``, ``epoch``, ``split`` (``train`` or ``val``) and numbers such as ``loss``,
            ``loss/<task>``, ``weight/<task>``, ``lr``, ``metric/<task>/<name>``; may be empty.
        probe: Looks at the tasks' gradients: columns ``step``, ``measure``, ``tasks``, ``layer``, ``statistic``, ``value``;
            may be empty.
        data_counts: Samples per data set, split, task and class; may be empty.
        ledger_row: Row of the test ledger that this report belongs to; empty if none.
        best_epoch: Epoch whose weights were evaluated; None marks the epoch of the lowest validation loss instead.
        cost: What the run cost beside minutes, such as parameters, peak memory, images a second; shown as given.
    """

    title: str
    run_folder: str
    run_hash: str
    code_version: str
    git: str
    seed: int
    minutes: float
    config: str
    environment: Mapping[str, str]
    log: pd.DataFrame
    data_counts: pd.DataFrame
    ledger_row: str = ""
    best_epoch: float | None = None
    cost: Mapping[str, object] = field(default_factory=dict)
    probe: pd.DataFrame = field(default_factory=pd.DataFrame)
