"""Tables of text in the two layouts of the published listings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

__all__ = ["Align", "plain_table", "ruled_table"]

Align = Literal["decimal", "right"]

_HEADER_ROOM = 2
"""A column of the current layout is at least this much wider than its header."""


def _header_lines(header: Sequence[str]) -> list[list[str]]:
    """Lines of a header whose cells may hold line ends; missing ones are empty."""
    cells = [cell.split("\n") for cell in header]
    height = max(len(cell) for cell in cells)
    return [[cell[i] if i < len(cell) else "" for cell in cells] for i in range(height)]


def ruled_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Table ruled with dashes, every cell to the left.

    Parameters
    ----------
    header
        Titles; a line end in a title starts a second line.
    rows
        Cells as text, as many as titles.
    """
    head = _header_lines(header)
    columns = zip(*head, *rows, strict=True)
    widths = [max(len(cell) for cell in column) for column in columns]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    rule = "-" * (sum(widths) + 3 * len(widths) + 1)
    return "\n".join([rule, *map(line, head), rule, *map(line, rows), rule])


def plain_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, align: Align = "decimal"
) -> str:
    """Table with marked corners; columns of numbers to the right, of words to the left.

    Parameters
    ----------
    header, rows
        As in :func:`ruled_table`.
    align
        Whether numbers are set with their decimal points below each other, or flush right.
        With ``decimal``, whole values lose their trailing zeros, as in the published tables.
    """
    head = _header_lines(header)
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in header]
    numeric = [all(_is_number(cell) for cell in column) for column in columns]
    if align == "decimal":
        columns = [
            _at_the_point(column) if numbers else column
            for column, numbers in zip(columns, numeric, strict=True)
        ]
    titles = list(zip(*head, strict=True))
    widths = [
        max([len(t) + _HEADER_ROOM for t in title] + [len(cell) for cell in column])
        for title, column in zip(titles, columns, strict=True)
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(w) if right else cell.ljust(w)
            for cell, w, right in zip(cells, widths, numeric, strict=True)
        )
        return "| " + " | ".join(padded) + " |"

    rule = "+".join("-" * (w + 2) for w in widths)
    body = [line(cells) for cells in zip(*columns, strict=True)]
    return "\n".join([f"+{rule}+", *map(line, head), f"|{rule}|", *body, f"+{rule}+"])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _at_the_point(column: list[str]) -> list[str]:
    """Pad numbers on the right so that their decimal points meet."""
    if not any("." in cell or "e" in cell for cell in column):
        return column
    column = [f"{float(cell):g}" for cell in column]
    tails = [len(cell) - cell.index(".") if "." in cell else 0 for cell in column]
    return [cell + " " * (max(tails) - tail) for cell, tail in zip(column, tails, strict=True)]
