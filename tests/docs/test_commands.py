"""Every command line on a page names a command and options that there are."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from refimpl.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/*.md"), *ROOT.glob("*.md")])


def commands(page: Path) -> list[str]:
    """Lines that begin with ``$ refimpl``, continued ones joined, without comments."""
    lines = page.read_text().replace("\\\n", " ").splitlines()
    return [line[2:].strip() for line in lines if line.startswith("$ refimpl ")]


@functools.cache
def tree() -> Any:
    """All commands; typer makes them anew each time that it is asked."""
    return typer.main.get_command(app)


def unknown(command: str) -> list[str]:
    """Words of a command line that are no command, or no option of it."""
    here = tree()
    words = [w for w in shlex.split(command, comments=True)[1:] if not w.startswith(">")]
    while hasattr(here, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in here.commands:
            return [name]
        here = here.commands[name]
    options = {o for p in here.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    given = [w.partition("=")[0] for w in words if re.match(r"--?[A-Za-z]", w)]
    return [w for w in given if w not in options]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_on_a_page_exist(page: Path) -> None:
    assert {c: wrong for c in commands(page) if (wrong := unknown(c))} == {}


def test_wrong_ones_are_seen() -> None:
    assert len(commands(ROOT / "README.md")) > 5
    assert unknown("refimpl nearfield sea map.h5") == ["sea"]
    assert unknown("refimpl nearfield view map.h5 --oops=1") == ["--oops"]
    assert unknown("refimpl nearfield view map.h5 -o page  # the report") == []
