"""What the pages of docs/validation share: tables, and the place between a page's markers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from refimpl import data
from refimpl.io.atomic import write_text

__all__ = ["run", "table"]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def run(
    name: str,
    about: str,
    needed: str,
    parts: Callable[[], Sequence[str]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Print the parts of a page, and write them into it if asked.

    Parameters
    ----------
    name
        Of the markers ``<!-- begin name -->`` and ``<!-- end name -->``.
    about
        Of the command's help.
    needed
        A file of the data that must be here.
    parts
        Makes the parts, Markdown.
    arguments
        Of the command line; None: the process's.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--update", type=Path, metavar="FILE", help="write between FILE's markers")
    options = parser.parse_args(arguments)
    if not data.is_here(needed):
        print(f"{needed} is not here: set REFIMPL_DATA", file=sys.stderr)
        return 2
    text = "\n\n".join(parts())
    print(text)
    if options.update is not None:
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        old = options.update.read_text(encoding="utf-8")
        if old.count(begin) != 1 or old.count(end) != 1:
            raise SystemExit(f"{options.update}: expected one '{begin}' and one '{end}'")
        head, tail = old.split(begin)[0], old.split(end)[1]
        write_text(options.update, f"{head}{begin}\n\n{text}\n\n{end}{tail}")
    return 0
