"""From candidates and truth in anybody's files to lesion-level figures, tables and pages; no network is needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from medmtl.errors import ConfigError
from medmtl.evaluation import EvaluationResult, Matches
from medmtl.files import atomic_folder
from medmtl.lesionfiles.assembly import assemble
from medmtl.lesionfiles.gathering import GatheredImage, GatherOptions, gather
from medmtl.lesionfiles.lesiontruth import Truth
from medmtl.lesionfiles.official import flag_threshold, official_table
from medmtl.lesionfiles.options import LesionOptions, checked_rules, score_options
from medmtl.lesionfiles.pairing import Pair, pair_classes
from medmtl.lesionfiles.ruletexts import rule_text
from medmtl.lesionfiles.sanity import ROWS, compares_areas
from medmtl.lesionfiles.scoring import AGAINST, Scored, score
from medmtl.lesionfiles.sources import CandidateSource, OpenedSource, open_candidates
from medmtl.lesionfiles.truth import open_truth
from medmtl.lesionfiles.writing import INDEX_FILE, Evaluation, write_metrics, write_pages, write_tables
from medmtl.progress import Progress
from medmtl.workflows.ledger import Look, read_ledger, recorded_look

OWN_ROWS = ("model", AGAINST, *ROWS)
"""Rows that every evaluation may have: no other candidates are called so."""


@dataclass(frozen=True, eq=False)
class LesionResult:
    """What a lesion-level evaluation found.

    Attributes:
        result: All figures, a task for each class and rule.
        matches: What became of the candidates, image by image, by class and rule.
        images: Ids of the images that ``matches`` is of, by class.
        folder: Where everything was written; None: nowhere.
        index: The first page; None: nowhere.
        notes: What a reader of the figures must know.
    """

    result: EvaluationResult
    matches: dict[tuple[str, str], tuple[Matches, ...]]
    images: dict[str, tuple[str, ...]]
    folder: Path | None
    index: Path | None
    notes: tuple[str, ...]


def evaluate_lesions(
    candidates: str | Path,
    truth: str | Path,
    *,
    out: str | Path | None = None,
    against: str | Path | None = None,
    beside: Mapping[str, str | Path] | None = None,
    ledger: Path | None = None,
    options: LesionOptions | None = None,
    progress: Progress | None = None,
) -> LesionResult:
    """Scores candidates against lesions.

    Args:
        candidates: A table of candidates, or a folder of heat maps.
        truth: A manifest with masks, a table of boxes, circles or points, a COCO file, or a folder of masks.
        out: Folder to make; None: nothing is written.
        against: Other candidates on the same images, to compare with.
        beside: Further candidates on the same images, each a row of its name in all tables.
        ledger: CSV that this look is recorded in; None: nowhere.
        options: All choices.
        progress: Where to say how far it is.

    Raises:
        MedmtlError: What is wrong with the files or the options; nothing is written then.
    """
    options, progress = options or LesionOptions(), progress or Progress()
    rules = checked_rules(options)
    if ledger is not None:
        _check_ledger(ledger, out)
    known = open_truth(Path(truth), options.truth)
    opened = {
        name: OpenedSource(
            Path(path), open_candidates(Path(path), known.index, options.extraction, options.outside_field)
        )
        for name, path in _named(candidates, against, beside or {}).items()
    }
    sources = {name: one.source for name, one in opened.items()}
    pairs = _pairs(known, list(sources.values()), options)
    with _output(out) as folder:
        images = _gathered(known, sources, pairs, options, progress)
        scored = score(images, pairs, score_options(rules, options))
        if options.diaretdb1:
            scored = _with_official(scored, sources[""], images, options.image_threshold)
        assembled = assemble(Path(truth), known, opened, pairs, images, scored, options)
        with _recorded(assembled, ledger) as evaluation:
            if folder is not None:
                _write(folder, evaluation, options, progress)
    return LesionResult(
        evaluation.result,
        {(one.pair.name, rule_text(one.rule)): one.matches for one in scored},
        {one.pair.name: tuple(image.image.id for image in one.images) for one in scored},
        None if out is None else Path(out),
        None if out is None else Path(out) / INDEX_FILE,
        evaluation.facts.notes,
    )


@contextmanager
def _output(out: str | Path | None) -> Iterator[Path | None]:
    """The folder to fill, which becomes ``out`` once all is well."""
    if out is None:
        yield None
        return
    with atomic_folder(Path(out)) as temporary:
        yield temporary


def _check_ledger(ledger: Path, out: str | Path | None) -> None:
    """What is wrong with a ledger is said now, not after the work."""
    read_ledger(ledger)
    if out is not None and Path(out).resolve() in ledger.resolve().parents:
        remedy = "keep the ledger outside --out: that folder is new each time"
        raise ConfigError("the ledger lies in the folder to be made", where="--ledger", found=ledger, remedy=remedy)


@contextmanager
def _recorded(evaluation: Evaluation, ledger: Path | None) -> Iterator[Evaluation]:
    """The evaluation with its row of the ledger, which is added once all is written."""
    if ledger is None:
        yield evaluation
        return
    with recorded_look(ledger, Look.of_candidates(evaluation.result)) as row:
        yield evaluation.in_ledger(row)


def _named(
    candidates: str | Path, against: str | Path | None, beside: Mapping[str, str | Path]
) -> dict[str, str | Path]:
    """The candidates by the name of their row; the evaluated ones have none."""
    taken = next((name for name in beside if not name.strip() or name in OWN_ROWS), None)
    if taken is not None:
        remedy = "give the row another name, such as untrained=FILE"
        raise ConfigError("not a name for a row of its own", where="--beside", found=f"'{taken}'", remedy=remedy)
    return {"": candidates} | ({} if against is None else {AGAINST: against}) | dict(beside)


def _pairs(truth: Truth, sources: Sequence[CandidateSource], options: LesionOptions) -> tuple[Pair, ...]:
    pairs = pair_classes(truth.classes, sources[0].classes, options.classes)
    for other in sources[1:]:
        pair_classes(truth.classes, other.classes, options.classes)
    wanted = list(dict.fromkeys(pair.candidates for pair in pairs if pair.candidates is not None))
    for source in sources:
        source.check(wanted)
    return pairs


def _gathered(
    truth: Truth,
    sources: Mapping[str, CandidateSource],
    pairs: Sequence[Pair],
    options: LesionOptions,
    progress: Progress,
) -> tuple[GatheredImage, ...]:
    covered = any(compares_areas(rule) for rule in checked_rules(options))
    flag_from = flag_threshold(sources[""], options.image_threshold) if options.diaretdb1 else None
    settings = GatherOptions(
        options.min_area, options.sanity, options.seed, covered=covered, flagged=options.diaretdb1, flag_from=flag_from
    )
    numbers = progress.track(range(len(truth.index.images)), "reading candidates and lesions")
    rows = {name: source for name, source in sources.items() if name}
    return gather(truth, sources[""], rows, pairs, settings, numbers)


def _with_official(
    scored: Sequence[Scored],
    source: CandidateSource,
    images: Sequence[GatheredImage],
    flag_from: float | None,
) -> tuple[Scored, ...]:
    """Adds the table of DIARETDB1's protocol to each class, under its first rule: no hit rule plays a part in it."""
    done: set[str] = set()
    extended = []
    for one in scored:
        if one.pair.name not in done:
            table = official_table(source, images, one.pair, flag_from)
            one = replace(one, findings=replace(one.findings, tables=(*one.findings.tables, table)))
        done.add(one.pair.name)
        extended.append(one)
    return tuple(extended)


def _write(folder: Path, evaluation: Evaluation, options: LesionOptions, progress: Progress) -> None:
    files = write_tables(folder, evaluation)
    drawn = evaluation.images if options.overlays else ()
    write_pages(folder, evaluation, files, progress.track(drawn, "drawing overlays"))
    write_metrics(folder, evaluation)


def result_lines(result: LesionResult) -> list[str]:
    """The figures as lines of text, the notes, and where the page is."""
    lines = []
    for task in result.result.tasks:
        for metric in task.metrics:
            value = metric.interval
            interval = f"({value.low:.3f} to {value.high:.3f})" if math.isfinite(value.low) else f"({value.method})"
            lines.append(f"{task.task}  {metric.label}  {value.value:.3f}  {interval}  n={metric.n}")
    lines += [f"note: {note}" for note in result.notes]
    return [*lines, f"page {result.index}"] if result.index is not None else lines
