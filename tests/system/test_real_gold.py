"""HEXOMAP's gold crystal: real frames against the published geometry, and our calibration.

Figures of the page docs/validation/gold.md, made by validation/gold.py, whose functions run here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.nearfield.calibrate import calibrate
from refimpl.nearfield.calibrate_check import lit_fraction_map
from refimpl.nearfield.calibrate_hexomap import hexomap_geometry, hexomap_setup
from refimpl.nearfield.calibrate_model import Crystal
from refimpl.rotations import matrix_of_quaternion

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow  # a million lit pixels a distance: some 10 s


@pytest.fixture(scope="module")
def gold(real_data) -> Any:
    """The script of the page."""
    real_data("nf-gold-hexomap/geometry.json")
    sys.path.insert(0, str(ROOT / "validation"))
    try:
        import gold as script
    finally:
        sys.path.pop(0)
    return script


def test_published_geometry_is_lit(gold) -> None:
    *_, sharp, wide = gold.stack()
    published = hexomap_geometry(gold.record())
    for q in (7.0, 9.0):
        setup = hexomap_setup(gold.record(), q)
        lit, total = gold.hits(published, setup, gold.CENTRE, wide)
        assert total >= 47
        assert lit >= 0.99 * total
        assert gold.hits(published, setup, gold.CENTRE, sharp) == (lit, total)
    rng, n = np.random.default_rng(1), np.zeros((2, 2))
    for q4 in rng.normal(size=(300, 4)):
        crystal = Crystal(matrix_of_quaternion(q4 / np.linalg.norm(q4)), np.zeros(2))
        n += [gold.hits(published, setup, crystal, lit) for lit in (sharp, wide)]
    share = n[:, 0] / n[:, 1]
    assert share[0] < 0.0015  # 0.1 % stated
    assert share[1] < 0.003  # three frames instead of one


def test_blind_search_finds_the_orientation(gold) -> None:
    rows = [line.split(" | ") for line in gold.blind().splitlines()[2:]]
    assert [row[2] for row in rows] == ["6 of 6", "6 of 6"]
    assert all(float(row[4]) < 0.5 for row in rows)


def test_extent_is_some_50_um(gold) -> None:
    fitted, setup = gold.calibrated(9.0), hexomap_setup(gold.record(), 9.0)
    side = np.arange(-60.0, 61.0, 4.0)
    xy = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    *_, wide = gold.stack()
    share = lit_fraction_map(fitted.geometry, setup, fitted.crystals[0], wide, xy * 1e-3)
    diameter = [np.sqrt(16.0 * 4.0 / np.pi * (share >= least).sum()) for least in (0.5, 0.9)]
    assert 60.0 < diameter[0] < 90.0
    assert 30.0 < diameter[1] < 50.0
    rim = np.abs(xy).max(axis=1) == 60.0
    assert share[rim].max() < 0.5


def test_calibration_returns_and_is_better_than_published(gold) -> None:
    home = gold.calibrated(9.0)
    *_, sharp, wide = gold.stack()
    setup = hexomap_setup(gold.record(), 11.0)  # reflections that took no part
    published = hexomap_geometry(gold.record())
    for lit in (sharp, wide):
        before = gold.hits(published, setup, gold.CENTRE, lit)
        after = gold.hits(home.geometry, setup, home.crystals[0], lit)
        assert after[0] / after[1] > max(before[0] / before[1], 0.99)
    # one rail, one mounting: tilts fitted to each distance by itself are the same
    each = np.degrees(gold.calibrated(9.0, tilts="each").geometry.tilts_rad)
    assert np.abs(np.diff(each, axis=0)).max() < 0.1
    # and held to its nominal 2 mm the step leaves ten times the contrast between the distances
    held = gold.calibrated(9.0, fix=("dLsd",)).position.sigma
    assert (held[2:4] > 10.0 * home.position.sigma[2:4]).all()
    start = home.geometry.changed(
        lsd_mm=home.geometry.lsd_mm + np.array([0.1, -0.1]),
        beam_centre_px=home.geometry.beam_centre_px + np.array([[5.0, -5.0], [-5.0, 5.0]]),
    )
    end = calibrate(hexomap_setup(gold.record(), 9.0), gold.blobs(True), [gold.CENTRE], start=start)
    assert np.abs(end.geometry.lsd_mm - home.geometry.lsd_mm).max() < 1e-4  # a tenth of sigma
    assert np.abs(end.geometry.beam_centre_px - home.geometry.beam_centre_px).max() < 0.02
