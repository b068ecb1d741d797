"""Pieces of a self-contained HTML page; every text that enters is escaped here, and only here."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from refimpl.io.atomic import atomic_path, make_folder, write_text
from refimpl.report import style

__all__ = [
    *("Entry", "Html", "badge", "bar", "code", "document", "figure", "main", "section", "table"),
    *("text", "tiles", "write", "write_png"),
]


@dataclass(frozen=True)
class Entry:
    """One figure of a page: how a view draws it, and what its reader should look for."""

    draw: Callable[[Any], Figure]
    alt: str
    caption: str


@dataclass(frozen=True)
class Html:
    """Text that is HTML already; anything else is escaped."""

    text: str


def _cell(value: object) -> str:
    return value.text if isinstance(value, Html) else escape(str(value))


def text(value: object) -> str:
    """Escaped text."""
    return escape(str(value))


def badge(level: str, words: str) -> Html:
    """Small label, its colour by level; the text says the same, for those who see no colour."""
    return Html(f'<span class="badge {escape(level)}">{escape(words)}</span>')


def code(words: str) -> Html:
    """Text in the typewriter face."""
    return Html(f"<code>{escape(words)}</code>")


def bar(fraction: float) -> Html:
    """Bar to the left or right of a middle line; ``fraction`` is cut to -1 .. 1."""
    share = max(-1.0, min(1.0, fraction))
    side = "right:50%" if share < 0 else "left:50%"
    style = f"{side};width:{50.0 * abs(share):.1f}%"
    kind = "low" if share < 0 else "high"
    return Html(
        f'<span class="bar" aria-hidden="true"><i class="{kind}" style="{style}"></i></span>'
    )


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str, numeric: str = ""
) -> str:
    """Table with a caption.

    ``numeric`` has one letter a column: ``n`` for right-aligned digits, ``k`` for a key that is
    never broken over two lines, anything else for text.
    """
    kinds = numeric.ljust(len(head), ".")
    classes = [f' class="{kind}"' if kind in "nk" else "" for kind in kinds]
    top = "".join(
        f'<th scope="col"{c}>{escape(h)}</th>' for h, c in zip(head, classes, strict=True)
    )
    header = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    body = "".join(
        "<tr>"
        + "".join(f"<td{c}>{_cell(v)}</td>" for v, c in zip(row, classes, strict=True))
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>'
        f"{header}\n<tbody>{body}</tbody></table></div>\n"
    )


def tiles(items: Iterable[tuple[str, str, str]]) -> str:
    """Key numbers: (label, value, remark)."""
    cards = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd>"
        f'<dd class="remark">{escape(remark)}</dd></div>\n'
        for label, value, remark in items
    )
    return f'<dl class="tiles">{cards}</dl>\n'


def figure(name: str, png: bytes, size: tuple[float, float], alt: str, caption: str) -> str:
    """Inline PNG with a caption; ``size`` is (width, height) in CSS pixels."""
    data = base64.b64encode(png).decode("ascii")
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure id="{escape(name)}"><img src="data:image/png;base64,{data}" '
        f'width="{size[0]:.0f}" height="{size[1]:.0f}" alt="{escape(alt)}">'
        f"{said}</figure>\n"
    )


def section(name: str, heading: str, body: str) -> str:
    """Section with an anchor; an empty body gives nothing."""
    if not body:
        return ""
    return f'<section id="{escape(name)}"><h2>{escape(heading)}</h2>\n{body}</section>\n'


def main(top: str, lead: str, parts: Iterable[tuple[str, str, str]], foot: str, title: str) -> str:
    """Whole page of its head, key numbers, and parts (anchor, heading, body) with links to them.

    Parts whose body is empty are left out; `title` is escaped here, all else is HTML.
    """
    shown = [part for part in parts if part[2]]
    links = "".join(f'<li><a href="#{name}">{head}</a></li>' for name, head, _ in shown)
    return document(
        title,
        f'{top}<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>\n{lead}'
        + "".join(section(*part) for part in shown)
        + f"</main>\n<footer>{foot}</footer>\n",
    )


def write(
    folder: str | os.PathLike[str],
    figures: Mapping[str, Figure],
    entries: Mapping[str, Entry],
    compose: Callable[[dict[str, str]], str],
) -> Path:
    """Write ``figures/<name>.png`` and ``report.html``; the page comes last.

    Files appear whole or not at all.

    Parameters
    ----------
    folder
        Made if it does not exist.
    figures, entries
        By name.
    compose
        Page from the figures as HTML, by name.

    Returns
    -------
    Path of ``report.html``.

    Raises
    ------
    ConfigError
        The folder cannot be made or written to.
    """
    target = make_folder(folder)
    pictures = make_folder(target / "figures")
    inline = {}
    for name, drawn in figures.items():
        data = write_png(pictures / f"{name}.png", drawn)
        wide, tall = (96.0 * float(inches) for inches in drawn.get_size_inches())  # CSS px: 1/96 in
        entry = entries[name]
        inline[name] = figure(name, data, (wide, tall), entry.alt, entry.caption)
    return write_text(target / "report.html", compose(inline))


def write_png(path: Path, drawn: Figure) -> bytes:
    """Write a figure, whole or not at all; return what is in the file."""
    data = style.png(drawn)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return data


def document(title: str, body: str) -> str:
    """Whole page: style inline, and a policy that forbids the browser to load anything else."""
    css = resources.files("refimpl.report").joinpath("report.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n</head>\n"
        f"<body>\n{body}</body>\n</html>\n"
    )
