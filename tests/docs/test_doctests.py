"""The examples in docstrings and pages run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import refimpl
from refimpl.errors import MissingExtra

ROOT = Path(__file__).parents[2]
NAMES = [
    "refimpl",
    *(
        found.name
        for found in pkgutil.walk_packages(refimpl.__path__, "refimpl.")
        if found.name.split(".")[1] != "_ext"
    ),
]
SLOW = [pytest.param(n, marks=pytest.mark.slow) if ".centring." in n else n for n in NAMES]
"""Modules of centring import torch."""
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/*.md"), *ROOT.glob("*.md")])
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def failures(test: doctest.DocTest) -> str:
    report: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append, clear_globs=True)
    return "".join(report)


@pytest.mark.parametrize("name", SLOW)
def test_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what an example writes stays here
    try:
        module = importlib.import_module(name)
    except MissingExtra as exc:
        pytest.skip(str(exc))
    reports = [failures(t) for t in doctest.DocTestFinder(exclude_empty=True).find(module, name)]
    assert not "".join(reports), "".join(reports)


def test_there_are_examples_and_a_wrong_one_is_seen() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    assert any(t.examples for n in NAMES for t in finder.find(importlib.import_module(n), n))
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert "Expected:\n    3\nGot:\n    2" in failures(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_on_pages_compiles(page: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        compile(code, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\{doc\}`([^`]+)`", text):
        assert (page.parent / f"{target}.md").exists(), target
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (page.parent / target).exists(), target


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "lint", "bench", "docs", "validate", "clean"} <= targets
    for page in PAGES:
        named = re.findall(r"(?:`|\$ )make ([a-z]+)", page.read_text())
        assert set(named) <= targets, page
