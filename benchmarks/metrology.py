"""Refinement of panels from rotation data: CPU seconds, memory and scaling.

    python benchmarks/metrology.py [--update docs/benchmarks.md]

Every case runs in a process of its own (metrology_worker.py) on simulated data and one thread. The
published run took 17 minutes and 4 GB for 366 parameters and 186,145 reflections.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from page import Table, add_options, exponent, finish, seconds

HERE = Path(__file__).parent
REFLECTIONS, PANELS = (20_000, 60_000, 186_000), (24, 60, 240, 960)


def worker(engine: str, **options: int) -> dict[str, Any]:
    """Run one case in a fresh process and return what it prints."""
    given = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, str(HERE / "metrology_worker.py"), engine, *given]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise SystemExit(f"benchmarks/metrology.py: {engine} {options}: {last[0]}")
    return dict(json.loads(done.stdout))


def engines() -> Table:
    """The published size, both engines."""
    table = Table(
        "60 panels, 186,000 reflections, 366 parameters, 1 thread", "engine", "CPU", "wall",
        "CPU, imports", "peak memory, simulation included", "steps", "systems", "objective", "end",
        "other cores",
    )  # fmt: skip
    for name, engine, options in (
        ("levmar, 16 published-style steps", "levmar", {"steps": 16}),
        ("arrow (default), to the optimum", "arrow", {}),
        ("the whole call: selection, outliers, arrow, covariance, predictions", "refine", {}),
    ):
        r = worker(engine, **options)
        table.add(
            name, seconds(r["cpu"]), seconds(r["wall"]), seconds(r["imports_cpu"]),
            f"{r['memory_mb']:.0f} MB", r["steps"], r["solves"], f"{r['objective']:.3f}",
            r["reason"], f"{r['other_cores']:.2f}", quiet=r["quiet"],
        )  # fmt: skip
    return table


def scaling(title: str, key: str, sizes: tuple[int, ...]) -> Table:
    """CPU of the default engine against a size, whole and by evaluation."""
    table = Table(
        title, key, "reflections", "parameters", "evaluations", "CPU", "CPU an evaluation",
        "peak memory", "end", "other cores",
    )  # fmt: skip
    points = []
    for size in sizes:
        r = worker("arrow", **{key: size})
        each = r["cpu"] / r["solves"]
        points.append((float(size), each))
        table.add(
            size, r["n"], r["parameters"], r["solves"], seconds(r["cpu"]), seconds(each),
            f"{r['memory_mb']:.0f} MB", r["reason"], f"{r['other_cores']:.2f}", quiet=r["quiet"],
        )  # fmt: skip
    table.note(exponent("CPU seconds of an evaluation", key, points))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--no-scaling", action="store_true")
    add_options(parser)
    options = parser.parse_args()
    tables = [engines()]
    if not options.no_scaling:
        tables.append(
            scaling("Cost against reflections, default engine, 60 panels", "reflections",
                    REFLECTIONS)
        )  # fmt: skip
        tables.append(
            scaling("Cost against panels, default engine, 186,000 reflections", "panels", PANELS)
        )
    return finish("metrology", tables, options)


if __name__ == "__main__":
    sys.exit(main())
