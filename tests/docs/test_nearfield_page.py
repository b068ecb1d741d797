"""The commands of the how-tos on the near field run as they are, and print what the pages say.

Numbers are free: they follow every improvement of the search. What they must be is in the tests of
accuracy.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_pages import DOCS, check_faults, commands, replay, same

HOWTO = DOCS / "howto"
PAGES = [HOWTO / "nearfield.md", HOWTO / "multires.md"]


def test_lines_are_compared() -> None:
    assert same("a 1.00 b", "a 7 b")
    assert same("a ...", "a 1 c")
    assert not same("a 1.00 b", "a 1.00 c")
    assert len(commands(PAGES[0])) > 10
    assert len(commands(PAGES[1])) > 4


def test_every_fault_has_the_test_that_the_theory_names() -> None:
    check_faults(DOCS / "theory/nearfield.md", "", 14)


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
    replay(page, capsys)
    report = "page" if page.stem == "nearfield" else "map"
    assert (tmp_path / report / "report.html").exists()
