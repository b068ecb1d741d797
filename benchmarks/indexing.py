"""Indexing of th82 on 60 panels by each method: CPU seconds, wall seconds and peak memory.

    python benchmarks/indexing.py [--data DIR] [--quick] [--update FILE]

Each case runs in a fresh process with one thread, so that its peak memory is its own; the first
call, with imports and every table it makes, is the one whose memory counts, and times are those of
later calls. The published figures are quoted beside: 24 s wall, 10 CPU-s and 922 MB for fft3d, 49 s
and 7043 MB for the grid search, on 13,805 spots with the same command.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from harness import measure, peer, serve
from process import peak_memory_mb

LIMIT_S, LIMIT_MB = 5.0, 500.0
CASES = {
    "fft3d, P 4": {"method": "fft3d", "known": True, "published": "24 s, 10 CPU-s, 922 MB"},
    "fft1d, P 4": {"method": "fft1d", "known": True, "published": "not run"},
    "grid search, P 4": {"method": "grid_search", "known": True, "published": "49 s, 7043 MB"},
    "fft3d, nothing known": {"method": "fft3d", "known": False, "published": "not run"},
    "fft1d, nothing known": {"method": "fft1d", "known": False, "published": "not run"},
}


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Index once for the memory, then time it."""
    from refimpl.io.dials_files import read_expt, read_refl
    from refimpl.metrology.indexing import IndexSettings, index

    folder = Path(request["folder"])
    experiments = read_expt(folder / "i04_60_imported.expt")
    strong = read_refl(folder / "i04_60_strong.refl")
    settings = IndexSettings(
        method=request["method"],
        space_group="P 4" if request["known"] else None,
        unit_cell=(58.0, 58.0, 150.0, 90.0, 90.0, 90.0) if request["known"] else None,
    )
    result = index(experiments, strong, settings, threads=1)
    peak = peak_memory_mb()
    taken = measure(
        lambda: index(experiments, strong, settings, threads=1), request["repeats"], attempts=2
    )
    return {
        "timings": {"index": taken},
        "peak_mb": peak,
        "n_indexed": result.n_indexed,
        "n": len(strong),
        "cell": list(result.cell),
    }


def main() -> int:
    """Measure every case."""
    from page import Table, add_options, finish, seconds

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("REFIMPL_DATA"))
    parser.add_argument("--quick", action="store_true", help="one call a case")
    add_options(parser)
    options = parser.parse_args()
    if options.data is None:
        parser.error("no data: give --data DIR or set REFIMPL_DATA")
    folder = Path(options.data) / "metrology" / "index"
    table = Table(
        "th82, 13,805 spots on 60 panels",
        "case", "wall", "CPU", "peak MB", "indexed", "a, c [Å]", "published",
    )  # fmt: skip
    slow = False
    for name, case in CASES.items():
        request = {**case, "folder": str(folder), "repeats": 1 if options.quick else 3}
        answer = peer(__file__, request)
        if "error" in answer:
            table.note(f"{name}: {answer['error']}.")
            slow = True
            continue
        taken, cell = answer["timings"]["index"], answer["cell"]
        table.add(
            name,
            seconds(taken.median_s),
            seconds(taken.cpu_s),
            f"{answer['peak_mb']:.0f}",
            f"{answer['n_indexed']} of {answer['n']}",
            f"{cell[0]:.3f} {cell[2]:.3f}",
            case["published"],
            quiet=taken.quotable,
        )
        slow |= taken.quotable and taken.median_s > LIMIT_S
        slow |= answer["peak_mb"] > LIMIT_MB
    table.note(f"Allowed: {LIMIT_S:g} s and {LIMIT_MB:g} MB by any method.")
    finish("indexing", [table], options)
    return int(slow)


if __name__ == "__main__":
    if "--worker" in sys.argv:
        serve(work)
    else:
        sys.exit(main())
