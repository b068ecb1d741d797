"""The commands of the how-tos on the near field run as they are, and print what the pages say.

Numbers are free: they follow every improvement of the search. What they must be is in the tests of
accuracy.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from refimpl.cli.main import main

HOWTO = Path(__file__).parents[2] / "docs/howto"
PAGES = [HOWTO / "nearfield.md", HOWTO / "multires.md"]
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


def test_lines_are_compared() -> None:
    assert same("a 1.00 b", "a 7 b")
    assert same("a ...", "a 1 c")
    assert not same("a 1.00 b", "a 1.00 c")
    assert len(commands(PAGES[0])) > 10
    assert len(commands(PAGES[1])) > 4


def test_every_fault_has_the_test_that_the_theory_names() -> None:
    theory = (HOWTO.parent / "theory/nearfield.md").read_text()
    sources = "".join(p.read_text() for p in HOWTO.parents[1].joinpath("tests").rglob("test_*.py"))
    rows = re.findall(r"^\| (\d+) \|.*\| `(test_\w+)(\*?)` \|$", theory, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, 15))
    for _, name, star in rows:
        assert f"def {name}{'' if star else '('}" in sources, name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_names_of_the_page_are_there(page: Path) -> None:
    from refimpl import nearfield

    for name in re.findall(r"(?<!refimpl\.)\bnearfield\.(\w+)\(", page.read_text()):
        assert callable(getattr(nearfield, name))
    assert set(nearfield.__all__) <= set(dir(nearfield) + list(nearfield._HOME))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for command, expected in commands(page):
        if not command.startswith("refimpl "):
            subprocess.run(command, shell=True, check=True)
            continue
        assert main(shlex.split(command)[1:]) == 0, command
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
    report = "page" if page.stem == "nearfield" else "map"
    assert (tmp_path / report / "report.html").exists()
