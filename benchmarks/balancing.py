"""What balancing costs: passes by hooks, time that a method adds to the floor, peers, MTCL, memory, work that is shared.

python benchmarks/balancing.py [--quick] [--rounds 200] [--sections passes,time,tiny,mtcl,memory,shared]
    [--sizes small,medium,large] [--tasks 2,3,8] [--methods mao,pcgrad] [--clock wall]

The floor is written by hand in balancing_nets.py: one forward pass, one backward pass (loss weighting) or K through the
shared part (gradient methods), one step of AdamW. Every contender runs once a round, in an order that is drawn anew; a ratio is that
of one round, and the table shows the median of all rounds with a 95 % interval. Networks are made anew every ten rounds. Only on a quiet machine do times count;
``--clock cpu`` is the next best thing (one thread). Peers: TorchJD's `mtl_backward` with its aggregator, and LibMTL
(`pip install --no-deps LibMTL`), each on its own copy of the same network.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version

import balancing_memory
import balancing_mtcl
import balancing_shared
import torch
from balancing_libmtl import libmtl, libmtl_note, libmtl_version
from balancing_nets import (
    SIZES,
    Net,
    Size,
    Step,
    k_backwards,
    one_backward,
    ours,
    torchjd_aggregator,
    torchjd_scalarizer,
)
from pass_counter import counted
from timing import CLOCKS, Clock, difference, ratio, remade_rounds

Maker = Callable[[Net], Step]

TARGETS = {"weighting": 1.03, "gradients": 1.10}
FLOORS: dict[str, Maker] = {"weighting": one_backward, "gradients": k_backwards}
OURS: dict[str, dict[str, Maker]] = {
    "weighting": {name: lambda net, n=name: ours(net, n) for name in ("equal", "uw", "uw_so", "gls")},
    "gradients": {
        "mao": lambda net: ours(net, "mao"),
        "mao (collect)": lambda net: ours(net, "mao", gradients="collect"),
        **{name: lambda net, n=name: ours(net, n) for name in ("pcgrad", "mgda", "aligned_mtl", "upgrad", "cagrad")},
    },
}
SCALARIZERS = {"equal": "Sum", "uw": "UW"}
AGGREGATORS = {"pcgrad": "PCGrad", "mgda": "MGDA", "aligned_mtl": "AlignedMTL", "cagrad": "CAGrad"}
LIBMTL = {"equal": "EW", "uw": "UW", "pcgrad": "PCGrad", "mgda": "MGDA", "cagrad": "CAGrad"}


def peers(family: str, k: int, own: Mapping[str, Maker]) -> dict[str, tuple[str, Maker]]:
    """Name of the peer's step to our counterpart among ``own`` and the maker."""
    found: dict[str, tuple[str, Maker]] = {}
    if family == "weighting":
        found |= {f"TorchJD {t}": (o, lambda net, n=t: torchjd_scalarizer(net, n)) for o, t in SCALARIZERS.items()}
    else:
        found |= {f"TorchJD {t}": (o, lambda net, n=t: torchjd_aggregator(net, n)) for o, t in AGGREGATORS.items()}
    for name, theirs in LIBMTL.items():
        if libmtl_version() and (theirs != "CAGrad" or k == 3):
            found[f"LibMTL {theirs}"] = (name, lambda net, n=theirs: libmtl(net, n))
    return {peer: (name, maker) for peer, (name, maker) in found.items() if name in own}


def show_passes(sizes: Mapping[str, Size], tasks: list[int]) -> None:
    """One update of every contender, counted."""
    print(
        "\n## Passes of one update, counted by hooks (forward / backward through the shared part / optimizer steps)\n"
    )
    size = next(iter(sizes.values()))
    print("| step | " + " | ".join(f"K = {k}" for k in tasks) + " |\n|---" * 1 + "|---" * len(tasks) + "|")
    for family, floor in FLOORS.items():
        makers = {f"floor of {family}": floor} | OURS[family]
        for name, maker in makers.items():
            print(f"| {name} | " + " | ".join(_passes(maker, size, k) for k in tasks) + " |")
        for name in peers(family, 3, OURS[family]):
            rivals = {k: peers(family, k, OURS[family]) for k in tasks}
            cells = [_passes(rivals[k][name][1], size, k) if name in rivals[k] else "-" for k in tasks]
            print(f"| {name} | " + " | ".join(cells) + " |")


def _passes(maker: Maker, size: Size, k: int) -> str:
    net = Net(size, k)
    step = maker(net)
    step()
    with counted({"shared": net.encoder}) as passes:
        step()
    done = passes()
    return f"{done.forwards['shared']} / {done.backwards['shared']} / {done.steps}"


def _fresh(makers: Mapping[str, Maker], size: Size, k: int) -> dict[str, Callable[[], Step]]:
    return {name: lambda maker=maker: maker(Net(size, k)) for name, maker in makers.items()}


def show_times(sizes: Mapping[str, Size], tasks: list[int], number: int, clock: Clock, methods: set[str]) -> None:
    """Ratios to the floor, and to the peers."""
    for family, floor in FLOORS.items():
        own = {name: maker for name, maker in OURS[family].items() if not methods or name in methods}
        if not own:
            continue
        print(f"\n## {family}: time over the floor, target {TARGETS[family]:.2f}; {number} rounds\n")
        print(
            "| network | parameters | K | step | floor ms | ratio to the floor | added ms | against peers (ours / theirs) |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for label, size in sizes.items():
            for k in tasks:
                rivals = peers(family, k, own)
                makers = {"floor": floor} | own | {name: maker for name, (_, maker) in rivals.items()}
                times = remade_rounds(_fresh(makers, size, k), number, clock)
                parameters = sum(p.numel() for p in Net(size, k).parameters())
                base = sorted(times["floor"])[number // 2] * 1e3
                for name in own:
                    over = ratio(times, name, "floor")
                    mark = "" if over.value <= TARGETS[family] else " **over**"
                    theirs = ", ".join(
                        f"{r.split()[0]} {ratio(times, name, r)}" for r, (o, _) in rivals.items() if o == name
                    )
                    added = difference(times, name, "floor").value * 1e3
                    print(
                        f"| {label} | {parameters} | {k} | {name} | {base:.1f} | {over}{mark} | {added:.1f} | {theirs} |",
                        flush=True,
                    )


def show_tiny(tasks: list[int], number: int, clock: Clock) -> None:
    """A network that costs next to nothing: what a method adds, in microseconds."""
    print("\n## Tiny network: microseconds added to the floor\n")
    print("| K | step | floor µs | added µs |\n|---|---|---|---|")
    size = Size((8,), 4, 2)
    for family, floor in FLOORS.items():
        for k in tasks:
            rivals = peers(family, k, OURS[family])
            makers = {"floor": floor} | OURS[family] | {name: maker for name, (_, maker) in rivals.items()}
            times = remade_rounds(_fresh(makers, size, k), number, clock, every=100)
            base = sorted(times["floor"])[number // 2] * 1e6
            for name in makers:
                if name != "floor":
                    found = difference(times, name, "floor")
                    low, high = found.low * 1e6, found.high * 1e6
                    print(
                        f"| {k} | {name} | {base:.0f} | {found.value * 1e6:.0f} [{low:.0f}, {high:.0f}] |", flush=True
                    )


def main() -> None:
    """Prints the sections that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds and small networks: does it run?")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--sections", default="passes,time,tiny,mtcl,memory,shared")
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--tasks", default="2,3,8")
    parser.add_argument("--methods", default="", help="only these of ours, and their peers, are timed")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="torchjd")
    sizes = {name: SIZES[name] for name in (["small"] if given.quick else given.sizes.split(","))}
    tasks = [2, 3] if given.quick else [int(k) for k in given.tasks.split(",")]
    number, clock, sections = 3 if given.quick else given.rounds, CLOCKS[given.clock], given.sections.split(",")
    print(f"torch {torch.__version__}, one thread; TorchJD {version('torchjd')}; clock: {given.clock}\n{libmtl_note()}")
    if "passes" in sections:
        show_passes(sizes, tasks)
    if "time" in sections:
        show_times(sizes, tasks, number, clock, {name for name in given.methods.split(",") if name})
    if "tiny" in sections:
        show_tiny(tasks, number if given.quick else 5 * number, clock)
    if "mtcl" in sections:
        balancing_mtcl.show(sizes, tasks, number, clock)
    if "memory" in sections:
        balancing_memory.show(tasks)
    if "shared" in sections:
        balancing_shared.show(sizes, tasks, number, clock)


if __name__ == "__main__":
    main()
