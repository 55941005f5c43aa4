"""The ledger of looks at evaluation data: one row an evaluation, in a CSV file beside the results."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medmtl.errors import OutputError
from medmtl.evaluation import EvaluationResult
from medmtl.files import made_folder, write_text
from medmtl.locks import folder_lock
from medmtl.run import RunFolder, code_version, git_state, now

LEDGER_COLUMNS = ("row", "date", "run", "run_hash", "seed", "manifest", "manifest_hash", "split", "samples", "code")


@dataclass(frozen=True)
class Look:
    """One look at evaluation data.

    Attributes:
        run: Name of the run, of a method that was not trained, or of a file of candidates.
        run_hash: Hash of the run or the candidates.
        seed: Its seed; None where that is not known.
        manifest: Name of the manifest.
        digest: Its content hash.
        split: The split; ``all`` = every row.
        samples: Number of samples.
        code: Git state of the code, or its version.
    """

    run: str
    run_hash: str
    seed: int | None
    manifest: str
    digest: str
    split: str
    samples: int
    code: str

    @classmethod
    def of_run(cls, run: RunFolder, manifest: str, digest: str, split: str, samples: int) -> Look:
        """A look by a trained run.

        Args:
            run: The run.
            manifest: Name of the manifest.
            digest: Its content hash.
            split: The split; ``all`` = every row.
            samples: Number of samples.
        """
        record = run.record
        code = record.get("git") or record.get("code_version", "")
        return cls(run.config.name, record.get("run_hash", ""), run.config.seed, manifest, digest, split, samples, code)

    @classmethod
    def of_candidates(cls, result: EvaluationResult) -> Look:
        """A look by anybody's candidates, whose seed nobody told.

        Args:
            result: What was found.
        """
        facts = (result.manifest, result.manifest_hash, result.split, result.samples)
        return cls(result.run, result.run_hash[:12], None, *facts, git_state() or code_version())

    def cells(self, row: str) -> list[object]:
        """The look as a row of the ledger."""
        manifest = (self.manifest, self.digest[:12])
        seed = "" if self.seed is None else self.seed
        return [row, now(), self.run, self.run_hash, seed, *manifest, self.split, self.samples, self.code]


def read_ledger(ledger: Path) -> str:
    """The ledger as text; its header alone where there is none yet.

    Raises:
        OutputError: It cannot be read, or is another table.
    """
    if not ledger.exists():
        return ",".join(LEDGER_COLUMNS) + "\n"
    try:
        text = ledger.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        remedy = "choose another --ledger, or mend the file: it is CSV in UTF-8"
        raise OutputError("the ledger cannot be read", where=ledger, found=error, remedy=remedy) from None
    header = next(iter(text.splitlines()), "")
    if header != ",".join(LEDGER_COLUMNS):  # a manifest, say: nothing is added to somebody's table
        found = f"the header '{header[:60]}'"
        raise OutputError("the file is no ledger", where=ledger, found=found, remedy="choose another --ledger")
    return text if text.endswith("\n") else f"{text}\n"


@contextmanager
def recorded_look(ledger: Path, look: Look) -> Iterator[str]:
    """Names the look's row, and adds it once the block that writes the results ends well; others wait meanwhile.

    Args:
        ledger: The CSV file; made if missing.
        look: What is looked at.

    Yields:
        The name by which results tell their row: ``FILE:ROW``.

    Raises:
        OutputError: The ledger cannot be read or written.
    """
    with made_folder(ledger.parent), folder_lock(ledger.parent, wait=True):
        text = read_ledger(ledger)
        row = f"L{len(text.splitlines())}"
        yield f"{ledger.name}:{row}"
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(look.cells(row))
        write_text(ledger, text + line.getvalue())
