"""The same work by refimpl and by other codes, in one run: results, residuals and times.

    python validation/peers/run.py --peer-python .peers/bin/python [--update PAGE]

`make validate-peers` builds the environment of the peers and runs this. Each code is asked in a
process of its own, with the same arrays and the same number of threads. A code that does not
install is a row that says why; of those that install nowhere with pip the stored outputs are
compared (stored.toml). Exit 1 where refimpl itself has no result.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
from asking import Asker
from page import Table, add_options, finish

from refimpl.io.atomic import write_text

PARTS = {
    "kit": "kit_tasks", "powder": "powder_tasks", "integrate": "benchmark_tasks",
    "peaks": "benchmark_tasks", "indexing": "indexing_tasks", "distl": "distl_tasks",
    "stored": "stored_tasks",
}  # fmt: skip
"""Parts, and the module whose function ``<part>_tables`` makes the tables of each."""


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with the peers")
    parser.add_argument("--only", help=f"parts, by commas: {', '.join(PARTS)}")
    parser.add_argument("--threads", type=int, default=1, help="for every code")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--attempts", type=int, default=3, help="at a quiet machine")
    parser.add_argument("--size", type=float, default=1.0, help="below 1: less work, for a look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the tables, for machines")
    add_options(parser)
    options = parser.parse_args()
    parts = options.only.split(",") if options.only else list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"--only {','.join(unknown)}: expected some of {', '.join(PARTS)}")
    asker = Asker(options.peer_python, options.threads, options.repeats, options.attempts)
    tables: list[Table] = []
    for part in parts:
        function = getattr(importlib.import_module(PARTS[part]), f"{part}_tables")
        made = function(asker, options.size)
        finish(f"peers-{part}", made, options)
        tables += made
    if options.json is not None:
        write_text(options.json, json.dumps([asdict(t) for t in tables], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
