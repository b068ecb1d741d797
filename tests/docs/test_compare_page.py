"""The page on comparisons names every measure, and the tolerances that hold."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from refimpl.testing import judge_geometry, judge_maps, judge_panels, judge_reflections

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "compare.md").read_text()
ROWS = [line.split("|")[1:4] for line in PAGE.splitlines() if line.startswith("| `")]
MODULES = ("geometry", "geometry_parts", "maps", "reflections", "panels")


def test_every_measure_is_on_the_page_and_no_other() -> None:
    said = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[0])}
    sources = [(ROOT / f"refimpl/testing/judge_{m}.py").read_text() for m in MODULES]
    made = {name for text in sources for name in re.findall(r'Measure\(\s*"(\w+)"', text)}
    made |= {f"{word}_share" for word in ("indexed", "used", "outlier")}
    assert said == made


@pytest.mark.parametrize(
    "defaults",
    [m.DEFAULTS for m in (judge_geometry, judge_maps, judge_reflections, judge_panels)],
)
def test_tolerances_on_the_page_are_those_that_hold(defaults: dict[str, float]) -> None:
    for name, limit in defaults.items():
        row = next(r for r in ROWS if f"`{name}`" in r[0])
        if name in ("unmatched_share", "missing_share"):  # of two kinds, or alone in their rows
            continue
        assert re.findall(r"[\d.]+", row[2]) == [f"{limit:g}"], name


def test_the_example_prints_what_it_says() -> None:
    test = doctest.DocTestParser().get_doctest(PAGE, {}, "compare.md", None, 0)
    assert len(test.examples) > 5
    assert doctest.DocTestRunner().run(test).failed == 0
