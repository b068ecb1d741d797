"""Scale-out: what engines cost beside the work, on blocks of pure arithmetic.

    python benchmarks/scaleout.py [--long] [--update docs/benchmarks.md]

Blocks of about 1 s, with ``--long`` of about 30 s (the goal: under 5 % beside the work). Each
block tells when it began and ended. ``between``: the time from the first beginning to the last
end, over the work divided by the workers: what handing out costs, and that the second worker starts
after the first. ``in all`` counts the engine's start and end too, which do not grow with the work.
A row in which blocks got less than 0.95 of a CPU is not quotable: other processes were at work.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from page import Table, add_options, finish, seconds
from scaleout_work import arithmetic

from refimpl.scaleout import Block, run_blocks

CASES = (
    ("serial", 1), ("threads", 1), ("threads", 2), ("parsl", 1), ("parsl", 2), ("processes", 1),
    ("processes", 2),
)  # fmt: skip
BLOCKS = 4
GOAL = 5.0
"""Per cent beside the work, on blocks of 30 s."""


def passes_for(target_s: float) -> int:
    """Passes of a block that takes about so long on a quiet machine."""
    best = min(b[2] for b in (arithmetic(400) for _ in range(5)))
    return max(1, round(400 * target_s / best))


def case(engine: str, workers: int, passes: int, table: Table) -> float:
    """One row; return the per cent beside the work, NaN on a busy machine."""
    with tempfile.TemporaryDirectory() as folder:
        called = time.time()
        run = run_blocks(
            arithmetic, [Block(str(i), passes) for i in range(BLOCKS)],
            ledger=Path(folder, "ledger.jsonl"), engine=engine, workers=workers,
        )  # fmt: skip
        wall = time.time() - called
    values = [outcome.value for outcome in run.outcomes]
    spans = [end - begun for begun, end, _ in values]
    first, last = min(v[0] for v in values), max(v[1] for v in values)
    work = sum(spans) / workers
    quiet = all(cpu > 0.95 * span for span, (_, _, cpu) in zip(spans, values, strict=True))
    between = 100.0 * (last - first - work) / work
    whole = 100.0 * (wall - work) / work
    table.add(
        run.engine, f"{BLOCKS} x {seconds(sum(spans) / BLOCKS)}", seconds(wall),
        seconds(first - called), seconds(max(called + wall - last, 0.0)), f"{between:.2f} %",
        f"{whole:.1f} %", quiet=quiet,
    )  # fmt: skip
    return between if quiet else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--long", action="store_true", help="blocks of about 30 s")
    add_options(parser)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # where workers find the blocks
    table = Table(
        "blocks of arithmetic", "engine", "blocks", "wall", "start", "end", "between", "in all"
    )
    passes = passes_for(30.0 if options.long else 1.0)
    costs = [case(engine, workers, passes, table) for engine, workers in CASES]
    failed = finish("scaleout", [table], options)
    if options.long and any(cost > GOAL for cost in costs):
        print(f"over {GOAL:g} % beside the work", file=sys.stderr)
        return 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
