"""The schema of a comparison: one YAML file, data only, nothing in it is evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from medmtl.blocks import Block, Seed, validate_block
from medmtl.config import RunConfig
from medmtl.errors import ConfigError, suggestion
from medmtl.yamlfile import parse_override, read_yaml

SINGLE_TASK = "single_task"
"""Name of the row that trains every task alone."""

_ROW = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,59}")
_MOST_CANDIDATES = 500
_ALONE = ("training", "model", "views", "data")

LearningRate = Annotated[float, Field(gt=0, le=10)]
Weight = Annotated[float, Field(ge=0)]


class RowBlock(BaseModel):
    """One row: keys of a run's configuration, laid over the base, and what of them is tuned on validation."""

    model_config = ConfigDict(extra="allow", frozen=True)

    variants: list[dict[str, Any]] = Field(
        default_factory=list, description="Further keys to lay over the row, one list entry a candidate."
    )
    grid: dict[str, list[Weight]] = Field(
        default_factory=dict,
        description="Fixed weights to try, by task (1 for those left out); every combination is a candidate.",
    )
    seeds: list[Seed] = Field(
        default_factory=list, description="Those of the comparison's seeds that this row has; empty = all of them."
    )

    @property
    def overrides(self) -> dict[str, Any]:
        """The keys that are laid over the configuration."""
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _one_kind(self) -> RowBlock:
        if self.variants and self.grid:
            raise ValueError("has both variants and a grid; split it into two rows")
        unknown = [key for key in self.overrides if key not in RunConfig.model_fields]
        if unknown:
            known = [*RunConfig.model_fields, *type(self).model_fields]
            raise ValueError(f"unknown key '{unknown[0]}'; {suggestion(unknown[0], known)}")
        if any(not weights for weights in self.grid.values()):
            raise ValueError("a task of the grid has no weight; list at least one number")
        return self


class EvaluateBlock(Block):
    """What the chosen cells are evaluated on."""

    manifest: Path = Field(description="Manifest, relative to the working folder.")
    split: Literal["train", "val", "test", "all"] = Field("test", description="Its split; `all` = every row.")

    @property
    def name(self) -> str:
        """Name of the results' folder in a run."""
        return f"{self.manifest.stem}-{self.split}"


class Spec(Block):
    """A comparison of rows (methods, weights, networks) over seeds and learning rates."""

    name: str = Field("comparison", description="Name, for titles.")
    base: list[Path] = Field(
        min_length=1, description="Configurations, later ones over earlier ones, relative to this file."
    )
    set: list[str] = Field(default_factory=list, description="`key.path=value` on top of them.")
    seeds: list[Seed] = Field(min_length=1, description="Seeds of every chosen row.")
    tune_seed: Seed | None = Field(
        None, description="Seed on which learning rates and variants are chosen; empty = the first of the seeds."
    )
    learning_rates: list[LearningRate] = Field(
        default_factory=list, description="Values of training.lr to choose from; empty = the configuration's own."
    )
    rows: dict[str, RowBlock] = Field(
        default_factory=dict, description="Rows by name, each with keys to lay over the configuration."
    )
    single_task: bool = Field(
        False, description=f"Also train every task alone, as the row `{SINGLE_TASK}` that Δm is measured against."
    )
    alone: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Keys to lay over a task's own network, by task: more epochs, where few samples make few updates.",
    )
    reference: str | None = Field(
        None, description="Row that the paired differences are against; empty = the single-task row, else the first."
    )
    evaluate: list[EvaluateBlock] = Field(min_length=1, description="What the chosen cells are evaluated on, once.")
    metrics: dict[str, list[str]] = Field(
        default_factory=dict, description="Metrics that count, by task; default: the first of each task."
    )
    exclude_tasks: dict[str, list[str]] = Field(
        default_factory=dict, description="Further forms of Δm by name, each with the tasks that it leaves out."
    )

    @field_validator("seeds", "learning_rates", "metrics", "exclude_tasks")
    @classmethod
    def _distinct(cls, value: Any) -> Any:
        for items in value.values() if isinstance(value, dict) else [value]:
            twice = [item for place, item in enumerate(items) if item in items[:place]]
            if twice:
                raise ValueError(f"{twice[0]} stands twice; list each once")
            if isinstance(value, dict) and not items:
                raise ValueError("an entry lists nothing; name at least one, or drop it")
        return value

    @field_validator("set")
    @classmethod
    def _overrides(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                parse_override(text)
            except ConfigError as error:
                raise ValueError(f"'{text}' is no key.path=value; {error.remedy}") from None
        return value

    @model_validator(mode="after")
    def _rows_are_named(self) -> Spec:
        if not self.rows and not self.single_task:
            raise ValueError("nothing is compared: there are no rows; name at least one, or set single_task: true")
        for name in self.rows:
            if not _ROW.fullmatch(name):
                raise ValueError(f"'{name}' is no row's name; use letters, digits, '_', '-', '+' and '.'")
        if self.single_task and SINGLE_TASK in self.rows:
            raise ValueError(f"the row '{SINGLE_TASK}' is made by single_task: true; rename it")
        names = self.row_names
        if self.reference is not None and self.reference not in names:
            raise ValueError(f"reference names the row '{self.reference}'; {suggestion(self.reference, names)}")
        self._seeds_of_rows_are_known()
        folders = [item.name for item in self.evaluate]
        twice = [name for place, name in enumerate(folders) if name in folders[:place]]
        if twice:
            raise ValueError(f"two entries of evaluate have the same results' folder '{twice[0]}'; rename a manifest")
        return self

    def _seeds_of_rows_are_known(self) -> None:
        for name, row in self.rows.items():
            for place, seed in enumerate(row.seeds):
                if seed not in self.seeds:
                    known = ", ".join(map(str, self.seeds))
                    raise ValueError(f"rows.{name}.seeds names {seed}; choose among the comparison's seeds: {known}")
                if seed in row.seeds[:place]:
                    raise ValueError(f"rows.{name}.seeds: {seed} stands twice; list each once")

    @model_validator(mode="after")
    def _alone_is_about_single_tasks(self) -> Spec:
        if self.alone and not self.single_task:
            raise ValueError("alone is about tasks that are trained alone; set single_task: true, or drop it")
        for task, keys in self.alone.items():
            for key in keys:
                if key not in _ALONE:
                    raise ValueError(f"alone.{task}: unknown key '{key}'; {suggestion(key, _ALONE)}")
        return self

    @property
    def row_names(self) -> tuple[str, ...]:
        """Names of all rows, in the order of the tables."""
        return (*((SINGLE_TASK,) if self.single_task else ()), *self.rows)

    def seeds_of(self, row: str) -> tuple[int, ...]:
        """Seeds of a row, in the order of the comparison's."""
        own = self.rows[row].seeds if row in self.rows else []
        return tuple(seed for seed in self.seeds if not own or seed in own)

    @property
    def tuned_on(self) -> int:
        """The seed on which candidates are compared."""
        return self.seeds[0] if self.tune_seed is None else self.tune_seed

    @property
    def compared_with(self) -> str:
        """The row that the paired differences are against."""
        return self.reference or self.row_names[0]


def read_spec(path: Path) -> Spec:
    """Reads a comparison.

    Raises:
        ConfigError: The file cannot be read, a key is unknown, or a value does not fit; with file and key.
    """
    data = read_yaml(path)
    if not data:
        raise ConfigError("the comparison is empty", where=path, remedy="state base, seeds, rows and evaluate")
    try:
        spec = validate_block(Spec, data, "")
        for name, weights in ((name, row.grid) for name, row in spec.rows.items()):
            _check_size(name, spec, weights.values())
    except ConfigError as error:
        raise _with_file(error, path) from None
    return spec


def _check_size(name: str, spec: Spec, weights: Iterable[list[float]]) -> None:
    size = max(1, len(spec.learning_rates))
    for choices in weights:
        size *= len(choices)
    if size > _MOST_CANDIDATES:
        found = f"{size} candidates"
        remedy = f"at most {_MOST_CANDIDATES}: list fewer weights or learning rates"
        raise ConfigError("the grid is too large", where=f"rows.{name}.grid", found=found, remedy=remedy)


def _with_file(error: ConfigError, path: Path) -> ConfigError:
    """The error with the file in front of its key."""
    whole = error.where in {None, "configuration"}
    place = str(path) if whole else f"{path}: {error.where}"
    return ConfigError(error.what, where=place, found=error.found, remedy=error.remedy)
