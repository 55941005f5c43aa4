"""From candidates and truth in anybody's files to lesion-level figures, tables and pages; no network is needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from medmtl.errors import ConfigError
from medmtl.evaluation import Counting, EvaluationResult, HitRule, Matches, TaskResult
from medmtl.evaluation.froc import Duplicates
from medmtl.evaluation.lesions import OtherClass
from medmtl.explanation.candidates import COORDINATES
from medmtl.files import atomic_folder
from medmtl.lesionfiles.candidatetable import OutsideField
from medmtl.lesionfiles.extraction import CandidateSource, Extraction, open_candidates
from medmtl.lesionfiles.figures import FigureOptions
from medmtl.lesionfiles.gathering import GatheredImage, GatherOptions, gather
from medmtl.lesionfiles.notes import gathered_notes, rule_sentences
from medmtl.lesionfiles.official import official_table
from medmtl.lesionfiles.pages import PageFacts
from medmtl.lesionfiles.pairing import Pair, pair_classes
from medmtl.lesionfiles.provenance import digest
from medmtl.lesionfiles.ruletexts import parse_rule, rule_text
from medmtl.lesionfiles.scoring import Scored, ScoreOptions, score
from medmtl.lesionfiles.truth import Truth, TruthOptions, open_truth
from medmtl.lesionfiles.writing import INDEX_FILE, Evaluation, write_metrics, write_pages, write_tables
from medmtl.progress import Progress
from medmtl.run import code_version, now


@dataclass(frozen=True)
class LesionOptions:
    """All choices of a lesion-level evaluation.

    Attributes:
        rules: Hit rules as texts (``peak_in_lesion:tolerance=10``) or objects; the first is the primary one.
        classes: ``[NAME:]TRUTH[+TRUTH ...][=CANDIDATES]``; none: every class with its namesake.
        truth: How the truth is read.
        extraction: How heat maps are cut into candidates.
        outside_field: What becomes of candidates of a table outside the field of view.
        min_area: Least pixels of a lesion.
        other_class: What becomes of candidates that hit lesions of another class only.
        duplicates: Whether a further hit on a found lesion is ``neither`` or a ``false_positive``.
        lenient: A candidate finds every lesion it hits, not one; tables give both in any case.
        rates: False positives per image to read curves at.
        sizes: Edges of lesion areas in pixels for a table by size; True: thirds; False: none.
        image_threshold: Score from which an image is called positive, chosen elsewhere; None: none was chosen.
        draws: Bootstrap draws.
        seed: Seed of the bootstrap and of random points.
        sanity: Also score detectors that know nothing.
        diaretdb1: Also DIARETDB1's own protocol.
        show_rate: The overlays show candidates at or above the threshold of this rate.
        overlays: Draw overlays and a page for each image whose picture is there.
    """

    rules: tuple[str | HitRule, ...] = ("peak_in_lesion",)
    classes: tuple[str, ...] = ()
    truth: TruthOptions = field(default_factory=TruthOptions)
    extraction: Extraction = field(default_factory=Extraction)
    outside_field: OutsideField = "refuse"
    min_area: int = 1
    other_class: OtherClass = "false_positive"
    duplicates: Duplicates = "neither"
    lenient: bool = False
    rates: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)
    sizes: tuple[float, ...] | bool = False
    image_threshold: float | None = None
    draws: int = 2000
    seed: int = 0
    sanity: bool = True
    diaretdb1: bool = False
    show_rate: float = 2.0
    overlays: bool = True


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
    options: LesionOptions | None = None,
    progress: Progress | None = None,
) -> LesionResult:
    """Scores candidates against lesions.

    Args:
        candidates: A table of candidates, or a folder of heat maps.
        truth: A manifest with masks, a table of boxes, circles or points, a COCO file, or a folder of masks.
        out: Folder to make; None: nothing is written.
        against: Other candidates on the same images, to compare with.
        options: All choices.
        progress: Where to say how far it is.

    Raises:
        MedmtlError: What is wrong with the files or the options; nothing is written then.
    """
    options, progress = options or LesionOptions(), progress or Progress()
    rules = _rules(options)
    known = open_truth(Path(truth), options.truth)
    sources = [
        open_candidates(Path(path), known.index, options.extraction, options.outside_field)
        for path in (candidates, against)
        if path is not None
    ]
    pairs = _pairs(known, sources, options)
    with _output(out) as folder:
        images = _gathered(known, sources, pairs, options, progress)
        scored = score(images, pairs, _score_options(rules, options))
        if options.diaretdb1:
            scored = _with_official(scored, sources[0], images)
        evaluation = _evaluation(Path(truth), Path(candidates), against, known, sources, pairs, images, scored, options)
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


def _rules(options: LesionOptions) -> tuple[HitRule, ...]:
    _check_numbers(options)
    rules = tuple(parse_rule(rule) if isinstance(rule, str) else rule for rule in options.rules)
    texts = [rule_text(rule) for rule in rules]
    if not rules or len(set(texts)) < len(texts):
        found = ", ".join(texts) or "none"
        raise ConfigError("rules must be different", where="--rule", found=found, remedy="name each rule once")
    return rules


def _check_numbers(options: LesionOptions) -> None:
    checks: list[tuple[str, Sequence[float], float]] = [
        ("--rate", options.rates, 0.0),
        ("--show-rate", [options.show_rate], 0.0),
        ("--min-area", [options.min_area], 1),
        ("--draws", [options.draws], 1),
        ("--seed", [options.seed], 0),
    ]
    for name, values, least in checks:
        for value in values:
            if not (math.isfinite(value) and value >= least and (value > 0 or name not in {"--rate", "--show-rate"})):
                bound = "above 0" if name in {"--rate", "--show-rate"} else f"of at least {least:g}"
                raise ConfigError("not a usable number", where=name, found=value, remedy=f"give a number {bound}")
    _check_sizes(options)
    if not options.rates or len(set(options.rates)) < len(options.rates):
        raise ConfigError("rates must be different", where="--rate", found=options.rates, remedy="name each rate once")


def _check_sizes(options: LesionOptions) -> None:
    edges = [] if isinstance(options.sizes, bool) else list(options.sizes)
    rising = all(low < high for low, high in pairwise(edges))
    if not isinstance(options.sizes, bool) and (len(edges) < 2 or not rising or edges[0] < 0):
        remedy = "give at least two rising numbers of pixels, such as 0 50 500 inf"
        raise ConfigError("not edges of areas", where="--size-edge", found=edges, remedy=remedy)
    threshold = options.image_threshold
    if threshold is not None and not math.isfinite(threshold):
        remedy = "give a finite score"
        raise ConfigError("not a usable number", where="--image-threshold", found=threshold, remedy=remedy)


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
    sources: Sequence[CandidateSource],
    pairs: Sequence[Pair],
    options: LesionOptions,
    progress: Progress,
) -> tuple[GatheredImage, ...]:
    settings = GatherOptions(options.min_area, options.sanity, options.seed, flagged=options.diaretdb1)
    numbers = progress.track(range(len(truth.index.images)), "reading candidates and lesions")
    against = sources[1] if len(sources) > 1 else None
    return gather(truth, sources[0], against, pairs, settings, numbers)


def _with_official(
    scored: Sequence[Scored], source: CandidateSource, images: Sequence[GatheredImage]
) -> tuple[Scored, ...]:
    """Adds the table of DIARETDB1's protocol to each class, under its first rule: no hit rule plays a part in it."""
    done: set[str] = set()
    extended = []
    for one in scored:
        if one.pair.name not in done:
            table = official_table(source, images, one.pair)
            one = replace(one, findings=replace(one.findings, tables=(*one.findings.tables, table)))
        done.add(one.pair.name)
        extended.append(one)
    return tuple(extended)


def _score_options(rules: tuple[HitRule, ...], options: LesionOptions) -> ScoreOptions:
    figures = FigureOptions(
        tuple(sorted(options.rates)),
        Counting(options.lenient, options.duplicates),
        options.sizes,
        options.image_threshold,
        options.draws,
        options.seed,
    )
    return ScoreOptions(rules, options.other_class, figures)


def _evaluation(
    truth_path: Path,
    path: Path,
    against: str | Path | None,
    truth: Truth,
    sources: Sequence[CandidateSource],
    pairs: tuple[Pair, ...],
    images: tuple[GatheredImage, ...],
    scored: tuple[Scored, ...],
    options: LesionOptions,
) -> Evaluation:
    hashes = {"candidates": digest(sources[0].files), "truth": digest(truth.files)}
    several = len({rule_text(one.rule) for one in scored}) > 1
    tasks = tuple(
        TaskResult.of(
            f"{one.pair.name}, {rule_text(one.rule)}" if several else one.pair.name,
            "lesions",
            truth_path.stem,
            one.findings,
        )
        for one in scored
    )
    result = EvaluationResult(
        run=path.name,
        run_hash=hashes["candidates"],
        manifest=truth_path.name,
        manifest_hash=hashes["truth"],
        split=options.truth.split or "all",
        date=now(),
        samples=len(images),
        tasks=tasks,
    )
    counting = Counting(options.lenient, options.duplicates)
    rules = rule_sentences(scored, pairs, options.min_area, counting, options.other_class)
    notes = gathered_notes(truth, sources, images, pairs, options.sanity)
    provenance = _provenance(result, truth, sources, pairs, rules, notes, options, against)
    facts = PageFacts(
        title=f"Lesions: {path.name} against {truth_path.name}",
        lead=f"{len(images)} images, {len(pairs)} class{'es' if len(pairs) != 1 else ''}",
        rules=rules,
        notes=notes,
        facts=_facts(result, truth, sources),
        classes=tuple(pair.name for pair in pairs),
        shown_rate=options.show_rate,
    )
    return Evaluation(result, scored, images, pairs, provenance, facts)


def _provenance(
    result: EvaluationResult,
    truth: Truth,
    sources: Sequence[CandidateSource],
    pairs: Sequence[Pair],
    rules: Sequence[str],
    notes: Sequence[str],
    options: LesionOptions,
    against: str | Path | None,
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "medmtl": code_version(),
        "date": result.date,
        "candidates": {"name": result.run, "kind": sources[0].kind, "sha256": result.run_hash},
        "truth": {"name": result.manifest, "kind": truth.kind, "sha256": result.manifest_hash, "split": result.split},
        "images": [image.id for image in truth.index.images],
        "coordinates": COORDINATES,
        "rules": list(rules),
        "notes": list(notes),
        "classes": [asdict(pair) for pair in pairs],
        "options": _plain_options(options),
    }
    if against is not None:
        other = sources[1]
        said["against"] = {"name": Path(against).name, "kind": other.kind, "sha256": digest(other.files)}
    return said


def _plain_options(options: LesionOptions) -> dict[str, Any]:
    values = asdict(options) | {"rules": [rule_text(parse_rule(r) if isinstance(r, str) else r) for r in options.rules]}
    values["truth"] = {k: v.name if isinstance(v, Path) else v for k, v in values["truth"].items()}
    return values


def _facts(result: EvaluationResult, truth: Truth, sources: Sequence[CandidateSource]) -> dict[str, str]:
    return {
        "Candidates": f"{result.run}: {sources[0].kind}",
        "Candidates, SHA-256": result.run_hash,
        "Truth": f"{result.manifest}: {truth.kind}",
        "Truth, SHA-256": result.manifest_hash,
        "Split": result.split,
        "Coordinates": COORDINATES,
        "Evaluated": f"{result.date} by medmtl {code_version()}",
    }


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
