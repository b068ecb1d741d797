"""The table of the page on a thousand million voxels is what its formulas make."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/theory/nearfield-scale.md"


def row(n: float, grains: float) -> tuple[float, ...]:
    """Numbers of a row of the table, as the text above it has them."""
    layers = n ** (1 / 3)
    voxels = n / layers
    diameter = (6 * n / (math.pi * grains)) ** (1 / 3)
    share = min(1.0, 8.5 / diameter)
    fits = n * (250 + 700 * share) * 12e-6 / 3600
    first, bad = n / 64, 4.4 * n / layers * 4 / 3
    seeds = (first + 2 * bad) * grains / 0.87e6 / 3600
    blind = (first + bad) * 0.28 / 3600
    sections = min(max(grains * diameter / layers, 1.0), grains)
    across, along = 0.8 * diameter / 1.48 + 2, 0.8 * diameter * 0.081 + 2
    tiles = sections * 198 * (1 + across / 32) * (1 + along / 32)
    lit = 7 * (128 * tiles + 2.2e6)
    memory = 16 * 0.13 + (lit + 104 * grains + 2300 * voxels) / 1e9
    disk = (1.4e3 * n + 1.51e9 * layers) / 1e12
    return layers, diameter, share, fits, seeds, blind, memory, disk


def test_the_table() -> None:
    lines = re.findall(r"^\| \$10\^(\d)\$ \| (20|\$10\^5\$) \| (.*) \|$", PAGE.read_text(), re.M)
    assert len(lines) == 6
    for power, grains, cells in lines:
        expected = row(10.0 ** int(power), 20.0 if grains == "20" else 1e5)
        for cell, value in zip(cells.split(" | "), expected, strict=True):
            last = 10.0 ** -len(cell.partition(".")[2])
            assert float(cell) == pytest.approx(value, rel=0.03, abs=last), (power, grains, cell)
