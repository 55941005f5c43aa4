"""Images a second of the synthesizer on one core, as a ratio to the aim of 10 a second at 512 px.

python benchmarks/synthetic_speed.py [--size 512] [--number 60]
"""

from __future__ import annotations

import argparse
import time

import cv2

from medmtl.data.synthetic import synthesize

AIM = 10.0
"""Images of 512 px a second."""


def main() -> None:
    """Times `number` images by wall clock and by processor time, which other jobs on the machine do not inflate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--number", type=int, default=60)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    synthesize(given.size, 0)
    wall, processor = time.perf_counter(), time.process_time()
    for seed in range(given.number):
        synthesize(given.size, seed)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f"{given.size} px: {given.number / wall:.1f} images/s by the clock, {given.number / processor:.1f} by processor time; "
        f"ratio to the aim of {AIM:g} at 512 px: {given.number / processor / AIM:.2f}"
    )


if __name__ == "__main__":
    main()
