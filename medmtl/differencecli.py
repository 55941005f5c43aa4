"""The command ``medmtl lesiondiff``: two models' lesion sensitivities on the same images, in pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def lesiondiff(
    evaluations: Annotated[
        list[Path], typer.Argument(help="Folders that `medmtl lesions` wrote; several are seeds, whose mean counts.")
    ],
    against: Annotated[
        list[Path], typer.Option(help="Folders of what it is compared with, on the same images; may be repeated.")
    ],
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Class to compare; may be repeated. Default: all shared ones.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(help="Hit rule as tables write it, such as peak_in_lesion:tolerance=10; default: the first."),
    ] = None,
    rate: Annotated[
        list[float] | None, typer.Option(help="False positives per image; may be repeated. Default: 1 2 5 10.")
    ] = None,
    lenient: Annotated[bool, typer.Option("--lenient", help="A candidate finds every lesion it hits.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to make; default: print only.")] = None,
    draws: Annotated[int, typer.Option(help="Bootstrap draws over patients.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Compare evaluations of lesions in pairs: every bootstrap draw takes one set of patients for both sides.

    Classes belong together by their names in the evaluations, whatever candidates they were read from.
    """
    from medmtl.lesionapi import lesion_difference
    from medmtl.workflows.lesiondifference import difference_lines

    done = lesion_difference(
        evaluations,
        against,
        out=out,
        classes=classes or [],
        rule=rule,
        rates=rate or [1.0, 2.0, 5.0, 10.0],
        lenient=lenient,
        draws=draws,
        seed=seed,
    )
    for line in difference_lines(done):
        typer.echo(line)
