"""All that is written of an evaluation, put together: figures, where they come from, and what the page says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medmtl.evaluation import Counting, EvaluationResult, TaskResult
from medmtl.explanation.candidates import COORDINATES
from medmtl.lesionfiles.gathering import GatheredImage
from medmtl.lesionfiles.lesiontruth import Truth
from medmtl.lesionfiles.notes import gathered_notes, row_notes, rule_sentences
from medmtl.lesionfiles.options import LesionOptions
from medmtl.lesionfiles.pages import PageFacts
from medmtl.lesionfiles.pairing import Pair
from medmtl.lesionfiles.provenance import digest
from medmtl.lesionfiles.ruletexts import parse_rule, rule_text
from medmtl.lesionfiles.scoring import AGAINST, Scored
from medmtl.lesionfiles.sources import CandidateSource, OpenedSource
from medmtl.lesionfiles.writing import Evaluation
from medmtl.run import code_version, now


def assemble(
    truth_path: Path,
    truth: Truth,
    opened: Mapping[str, OpenedSource],
    pairs: tuple[Pair, ...],
    images: tuple[GatheredImage, ...],
    scored: tuple[Scored, ...],
    options: LesionOptions,
) -> Evaluation:
    """Puts together what is written.

    Args:
        truth_path: The truth as named.
        truth: The lesions.
        opened: The candidates under no name, and others by the name of their row.
        pairs: The classes.
        images: What was gathered.
        scored: Each class under each rule.
        options: All choices.
    """
    path, sources = opened[""].path, [one.source for one in opened.values()]
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
    notes = gathered_notes(truth, sources, images, pairs, options.sanity) + row_notes(scored)
    provenance = _provenance(result, truth, opened, pairs, rules, notes, options)
    facts = PageFacts(
        title=f"Lesions: {path.name} against {truth_path.name}",
        lead=f"{len(images)} images, {len(pairs)} class{'es' if len(pairs) != 1 else ''}",
        rules=rules,
        notes=notes,
        facts=_facts(result, truth, sources),
        classes=tuple(pair.name for pair in pairs),
        shown_rate=float(options.show_rate),
    )
    return Evaluation(result, scored, images, pairs, provenance, facts, counting)


def _provenance(
    result: EvaluationResult,
    truth: Truth,
    opened: Mapping[str, OpenedSource],
    pairs: Sequence[Pair],
    rules: Sequence[str],
    notes: Sequence[str],
    options: LesionOptions,
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "medmtl": code_version(),
        "date": result.date,
        "candidates": {"name": result.run, "kind": opened[""].source.kind, "sha256": result.run_hash},
        "truth": {"name": result.manifest, "kind": truth.kind, "sha256": result.manifest_hash, "split": result.split},
        "images": [image.id for image in truth.index.images],
        "coordinates": COORDINATES,
        "rules": list(rules),
        "notes": list(notes),
        "classes": [asdict(pair) for pair in pairs],
        "options": _plain_options(options),
    }
    others = {
        name: {"name": one.path.name, "kind": one.source.kind, "sha256": digest(one.source.files)}
        for name, one in opened.items()
        if name
    }
    if AGAINST in others:
        said["against"] = others.pop(AGAINST)
    return said | ({"beside": others} if others else {})


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
