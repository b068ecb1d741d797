"""Displayed equations of the pages."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def split(page: str) -> list[str]:
    """Text and displayed equations of a page, by turns; a page is a path without its suffix."""
    parts = re.split(r"^ *\$\$\s*$", (DOCS / f"{page}.md").read_text(), flags=re.MULTILINE)
    assert len(parts) % 2 == 1, f"{page}: a $$ without its partner"
    return parts


def displayed(page: str) -> list[str]:
    """The equations alone."""
    return split(page)[1::2]


def on_page(page: str, *parts: str) -> None:
    """Some equation of the page has all of these parts, whatever the breaks of its lines."""
    plain = [re.sub(r"\s+", " ", equation) for equation in displayed(page)]
    assert any(all(part in equation for part in parts) for equation in plain), parts
