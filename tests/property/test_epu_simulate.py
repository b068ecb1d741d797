"""Layouts of simulated sessions: any pattern is packed without overlaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.epu.simulate_layout import super_lattice
from refimpl.epu.simulate_shapes import pattern_of
from refimpl.errors import ConfigError

rows = st.lists(st.text(alphabet="#.", min_size=1, max_size=5), min_size=1, max_size=5)
drawn = rows.map("/".join).filter(lambda text: "#" in text)


@given(drawn)
def test_copies_of_a_pattern_do_not_overlap(text: str) -> None:
    pattern = pattern_of(text)
    steps = super_lattice(pattern)
    area = round(abs(float(np.linalg.det(steps))))
    assert len(pattern) <= area
    inverse = np.linalg.inv(steps)
    apart = (pattern[:, None] - pattern[None, :]).reshape(-1, 2)
    n = apart[apart.any(axis=1)] @ inverse
    assert not (np.abs(n - np.round(n)) < 1e-9).all(axis=1).any()


@given(drawn)
def test_a_pattern_has_its_holes_and_begins_in_the_middle(text: str) -> None:
    pattern = pattern_of(text)
    assert len(pattern) == text.count("#")
    assert not pattern[0].any()
    assert (np.diff((pattern**2).sum(axis=1)) >= 0).all()
    lines = text.split("/")
    row, column = next(
        (i, k) for i, line in enumerate(lines) for k, c in enumerate(line) if c == "#"
    )
    shifted = {(int(x), int(y)) for x, y in pattern}
    x, y = min(shifted, key=lambda p: (-p[1], p[0]))  # the first hole of the first row, y is up
    for i, line in enumerate(lines):
        for k, c in enumerate(line):
            assert ((x + k - column, y - (i - row)) in shifted) == (c == "#")


@pytest.mark.parametrize(
    ("text", "holes", "area"),
    [("5x5-corners", 21, 23), ("3x3", 9, 9), ("7x7", 49, 49), ("3x4", 12, 12), ("1x1", 1, 1),
     ("..#../.###./#####/.###./..#..", 13, 13), ("#.#/.../#.#", 4, 5)],
)  # fmt: skip
def test_known_patterns(text: str, holes: int, area: int) -> None:
    pattern = pattern_of(text)
    assert len(pattern) == holes
    assert round(abs(float(np.linalg.det(super_lattice(pattern))))) == area


@pytest.mark.parametrize(
    "text", ["", "0x0", "3x", "x3", "3x3-middle", "#?", "22x22", "...", "-1x2"]
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a size such as 5x5"):
        pattern_of(text)
