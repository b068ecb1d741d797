"""The same work by refimpl and by other codes, in one run: results, residuals and times.

    python validation/peers/run.py --peer-python .peers/bin/python [--update PAGE]

`make validate-peers` builds the environment of the peers and runs this. Each code is asked in a
process of its own, with the same arrays and the same number of threads. A code that does not
install is a row that says why; of those that install nowhere with pip the stored outputs are
compared (stored.toml). Exit 1 where refimpl itself has no result.
"""

from __future__ import annotations

import argparse
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

PARTS = ("kit", "powder", "indexing", "distl")


def tables_of(part: str, asker: Asker, options: argparse.Namespace) -> list[Table]:
    """Tables of one part."""
    if part == "kit":
        from kit_tasks import kit_tables

        return kit_tables(asker, options.size)
    if part == "powder":
        from powder_tasks import powder_tables

        return powder_tables(asker, options.size)
    if part == "distl":
        from distl_tasks import distl_tables

        return distl_tables(asker, max(int(24 * options.size), 2))
    if part == "indexing":
        from indexing_tasks import indexing_tables

        return indexing_tables(asker, options.size)
    raise SystemExit(f"no part {part}")


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with the peers")
    parser.add_argument("--only", help=f"parts, by commas: {', '.join(PARTS)}")
    parser.add_argument("--threads", type=int, default=1, help="for every code")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--attempts", type=int, default=3, help="at a quiet machine")
    parser.add_argument("--size", type=float, default=1.0, help="of the work of the kit")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the tables, for machines")
    add_options(parser)
    options = parser.parse_args()
    parts = options.only.split(",") if options.only else list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"--only {','.join(unknown)}: expected some of {', '.join(PARTS)}")
    asker = Asker(options.peer_python, options.threads, options.repeats, options.attempts)
    tables = [table for part in parts for table in tables_of(part, asker, options)]
    if options.json is not None:
        write_text(options.json, json.dumps([asdict(t) for t in tables], indent=1) + "\n")
    return finish("peers", tables, options)


if __name__ == "__main__":
    sys.exit(main())
