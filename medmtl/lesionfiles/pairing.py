"""Which class of candidates is held against which lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medmtl.errors import ConfigError, EvaluationError, suggestion


@dataclass(frozen=True)
class Pair:
    """Lesions, and the candidates that are held against them.

    Attributes:
        name: What the pair is called in all results.
        truth: Classes of lesions; several count as one.
        candidates: Class of candidates; None: none, every lesion is missed.
    """

    name: str
    truth: tuple[str, ...]
    candidates: str | None


def pair_classes(truth: Sequence[str], candidates: Sequence[str], asked: Sequence[str]) -> tuple[Pair, ...]:
    """Pairs classes by name, or as asked.

    Args:
        truth: Classes of lesions.
        candidates: Classes of candidates.
        asked: ``[NAME:]TRUTH[+TRUTH ...][=CANDIDATES]``; nothing behind ``=`` means no candidates. Empty: every class
            with the candidates of its own name; then no class may be missing on either side.

    Raises:
        EvaluationError: A class is missing on one side.
        ConfigError: What is asked for cannot be read, or a name is given twice.
    """
    if not asked:
        _check_same(truth, candidates)
        return tuple(Pair(name, (name,), name) for name in truth)
    pairs = tuple(_parsed(text, truth, candidates) for text in asked)
    names = [pair.name for pair in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        remedy = "call them differently: --class NAME:TRUTH=CANDIDATES"
        raise ConfigError("two pairs of classes of the same name", where="--class", found=f"'{twice}'", remedy=remedy)
    return pairs


def _check_same(truth: Sequence[str], candidates: Sequence[str]) -> None:
    sides = (("truth", "candidates", truth, candidates), ("candidates", "truth", candidates, truth))
    for side, other, have, lack in sides:
        missing = [name for name in have if name not in lack]
        if missing:
            name = missing[0]
            example = f"{name}=CANDIDATES" if side == "truth" else f"TRUTH={name}"
            remedy = f"say what belongs together (--class {example}, and nothing behind = where there are none), or name only the classes to evaluate"
            raise EvaluationError(
                f"the class '{name}' of the {side} is not among the {other}",
                found=", ".join(lack) or "no class",
                remedy=remedy,
            )
    if not truth:
        raise EvaluationError(
            "the truth has no class of lesions", remedy="say --class NAME of the class that is absent"
        )


def _parsed(text: str, truth: Sequence[str], candidates: Sequence[str]) -> Pair:
    left, equal, right = (part.strip() for part in text.partition("="))
    name, _, members = left.rpartition(":") if left not in truth else ("", "", left)
    classes = (members,) if members in truth else tuple(part.strip() for part in members.split("+"))
    if not all(classes):
        remedy = "write [NAME:]TRUTH[+TRUTH ...][=CANDIDATES]"
        raise ConfigError("not a pair of classes", where="--class", found=f"'{text}'", remedy=remedy)
    for one in classes:
        _known(one, truth, "truth")
    wanted = right if equal else name or members
    if wanted or not equal:
        _known(wanted, candidates, "candidates")
    return Pair(name.strip() or members, classes, wanted or None)


def _known(name: str, known: Sequence[str], side: str) -> None:
    if name not in known:
        hint = suggestion(name, known)
        where = "candidates hold" if side == "candidates" else "truth holds"
        remedy = f"{hint} The {where} {', '.join(known) or 'no class'}" if hint.startswith("did") else hint
        if side == "candidates":
            remedy += "; write TRUTH=CANDIDATES where names differ, TRUTH= where there are none"
        raise EvaluationError(f"no such class among the {side}", where="--class", found=f"'{name}'", remedy=remedy)
