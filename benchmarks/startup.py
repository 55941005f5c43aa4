"""Start-up of the command line: `medmtl --help` as a whole process (aim: under 0.5 s; torch is not imported)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def seconds(command: list[str], repeats: int = 7) -> float:
    """Median duration of a process, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Times the help page against an interpreter that does nothing."""
    help_page = seconds([sys.executable, "-m", "medmtl", "--help"])
    nothing = seconds([sys.executable, "-c", "pass"])
    print(f"medmtl --help {help_page:.2f} s; python that does nothing {nothing:.2f} s; ratio {help_page / nothing:.1f}")


if __name__ == "__main__":
    main()
