"""Pieces of a self-contained HTML page; every text that enters is escaped here, and only here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

__all__ = [
    "Html",
    "badge",
    "bar",
    "code",
    "document",
    "figure",
    "section",
    "table",
    "text",
    "tiles",
]


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
    return (
        f'<figure id="{escape(name)}"><img src="data:image/png;base64,{data}" '
        f'width="{size[0]:.0f}" height="{size[1]:.0f}" alt="{escape(alt)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def section(name: str, heading: str, body: str) -> str:
    """Section with an anchor; an empty body gives nothing."""
    if not body:
        return ""
    return f'<section id="{escape(name)}"><h2>{escape(heading)}</h2>\n{body}</section>\n'


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
