"""Panels of the Pilatus 2M frame: ours against published ones, panel by panel, with error bars.

    python validation/panels.py [--update docs/validation/panels.md]

48 half-modules against two runs of the published program and a robust least-squares reference on
its points (set ``powder-golden``), 24 modules against HEXRD's composite. Tables in Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from panel_halves import halves_tables
from panel_modules import modules_tables
from panel_tables import FRAME

from refimpl import data
from refimpl.io.atomic import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, and write them into a page if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", type=Path, metavar="FILE", help="write between FILE's markers")
    options = parser.parse_args(arguments)
    if not data.is_here(FRAME):
        print(f"the frame {FRAME} is not here: set REFIMPL_DATA", file=sys.stderr)
        return 2
    tables = [*halves_tables(), *modules_tables()]
    print("\n\n".join(tables))
    if options.update is not None:
        begin, end = "<!-- begin panels -->", "<!-- end panels -->"
        old = options.update.read_text(encoding="utf-8")
        if old.count(begin) != 1 or old.count(end) != 1:
            raise SystemExit(f"{options.update}: expected one '{begin}' and one '{end}'")
        head, tail = old.split(begin)[0], old.split(end)[1]
        text = "\n\n".join(tables)
        write_text(options.update, f"{head}{begin}\n\n{text}\n\n{end}{tail}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
