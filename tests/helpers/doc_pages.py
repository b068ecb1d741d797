"""Commands of a page of the documentation: read, run, and what they print compared."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from refimpl.cli.main import main

DOCS = Path(__file__).parents[2] / "docs"
TESTS = Path(__file__).parents[1]
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """Commands of a page in their order, each with what it prints there."""
    out: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                out.append((line[2:], []))
            else:
                out[-1][1].append(line)
    return out


def same(expected: str, found: str) -> bool:
    """Whether two lines are alike but for their numbers; ``...`` stands for any end."""
    wanted, got = NUMBER.sub("#", expected), NUMBER.sub("#", found)
    if wanted.endswith("..."):
        return got.startswith(wanted.removesuffix("..."))
    return wanted == got


def replay(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run every command of a page, then its one block of Python.

    Each has to end with 0 and to print, among other lines, those of the page in their order.
    """
    for command, expected in commands(page):
        if not command.startswith("refimpl "):
            subprocess.run(command, shell=True, check=True)
            continue
        capsys.readouterr()
        assert main(shlex.split(command, comments=True)[1:]) == 0, command
        lines = capsys.readouterr().out.splitlines()
        start = 0
        for line in expected:
            if line == "...":
                continue
            found = [k for k in range(start, len(lines)) if same(line, lines[k])]
            assert found, f"{command}: no line like {line!r} in {lines[start:]}"
            start = found[0] + 1
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    exec(compile(code, str(page), "exec"), {})
    assert "nan" not in capsys.readouterr().out


def check_faults(theory: Path, about: str, last: int) -> None:
    """Look whether every fault of a page's table has the test that the table names.

    Parameters
    ----------
    theory
        The page.
    about
        Pattern of the names of the test files that count.
    last
        Faults are numbered from 1 to this.
    """
    tests = [p for p in TESTS.rglob("test_*.py") if re.search(about, p.name)]
    sources = "".join(p.read_text() for p in tests)
    rows = re.findall(r"^\| (\d+) \|.*\| `(test_\w+)(\*?)` \|$", theory.read_text(), re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, last + 1))
    for _, name, star in rows:
        assert f"def {name}{'' if star else '('}" in sources, name
