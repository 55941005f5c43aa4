"""What the doctor found in a manifest: counts, problems with row and remedy, as text and as a dictionary."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from medmtl.data.problems import Problem

Counts = dict[str, dict[str, dict[str, int]]]
"""Column → class → split → number of samples."""

UNLABELED = "unlabeled"
NO_SPLIT = "no split"
SHOWN = 40


@dataclass(frozen=True)
class SelfTest:
    """A published count of a data set beside the count found here.

    Attributes:
        name: What is counted.
        expected: The number that is right here.
        found: The number found.
        note: Why ``expected`` is not the published number, where it is not.
    """

    name: str
    expected: int
    found: int
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the count is the expected one."""
        return self.expected == self.found

    def __str__(self) -> str:
        verdict = "ok" if self.passed else f"expected {self.expected}"
        return f"{self.name}: {self.found} ({verdict}{'; ' + self.note if self.note else ''})"


@dataclass
class Inspection:
    """The findings.

    Attributes:
        manifest: Path of the manifest.
        content_hash: SHA-256 of its canonical table.
        samples: Number of rows.
        patients: Number of patients.
        splits: Samples in each split.
        counts: Samples by column, class and split; for masks the classes are present, empty, absent and unlabeled.
        formats: Images by format.
        sizes: Images by size (``width x height``).
        depths: Images by channels and bits.
        mask_values: Pixels by value for each mask column; values above 255 do not occur.
        cache_bytes: Memory that the cache of all samples will need.
        problems: What must be mended.
        notes: What is worth knowing and breaks nothing.
        self_tests: Published counts.
    """

    manifest: str
    content_hash: str = ""
    samples: int = 0
    patients: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    depths: dict[str, int] = field(default_factory=dict)
    mask_values: dict[str, dict[int, int]] = field(default_factory=dict)
    cache_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    self_tests: list[SelfTest] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing must be mended."""
        return not self.problems and all(test.passed for test in self.self_tests)

    def count(self, column: str, name: str, split: str | None = None) -> int:
        """Returns the samples of a class in a column, in one split or in all."""
        splits = self.counts.get(column, {}).get(name, {})
        return sum(splits.values()) if split is None else splits.get(split, 0)

    def to_dict(self) -> dict[str, Any]:
        """Returns all findings as plain values, for JSON."""
        plain = dataclasses.asdict(self)
        plain["mask_values"] = {
            key: {str(value): pixels for value, pixels in sorted(values.items())}
            for key, values in self.mask_values.items()
        }
        return plain | {"ok": self.ok}

    def to_text(self) -> str:
        """Returns all findings as lines for people; long lists are cut, :meth:`to_dict` has them whole."""
        lines = [
            f"{self.manifest}: {self.samples} samples, {self.patients} patients ({_listed(self.splits)})",
            f"formats: {_listed(self.formats)}",
            f"sizes: {_listed(self.sizes)}",
            f"depth: {_listed(self.depths)}",
            *_count_lines(self.counts),
            *(f"{key} values: {_shares(values)}" for key, values in self.mask_values.items()),
            f"memory of a cache of all samples: {self.cache_bytes / 2**30:.2f} GiB",
            *(f"published count, {test}" for test in self.self_tests),
            *_section("note", self.notes),
            *_section("problem", self.problems),
        ]
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        counts = sum(not test.passed for test in self.self_tests)
        number = len(self.problems) + counts
        if not number:
            return "no problems found"
        text = "1 problem" if number == 1 else f"{number} problems"
        return f"{text}, {counts} of them in published counts" if counts else text


def _listed(numbers: Mapping[str, int]) -> str:
    ranked = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{name}: {number}" for name, number in ranked[:8])
    return (text or "none") + (f", and {len(ranked) - 8} more" if len(ranked) > 8 else "")


def _shares(values: Mapping[int, int]) -> str:
    total = sum(values.values())
    ranked = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:12]
    return ", ".join(f"{value}: {100 * pixels / total:.2f} %" for value, pixels in sorted(ranked))


def _count_lines(counts: Counts) -> Iterable[str]:
    for column, classes in counts.items():
        yield f"{column}"
        for name, splits in sorted(classes.items(), key=lambda item: (item[0] == UNLABELED, item[0])):
            yield f"  {name}: {sum(splits.values())} ({_listed(splits)})"


def _section(title: str, problems: list[Problem]) -> Iterable[str]:
    yield from (f"{title}: {problem}" for problem in problems[:SHOWN])
    if len(problems) > SHOWN:
        yield f"{title}: and {len(problems) - SHOWN} more"
