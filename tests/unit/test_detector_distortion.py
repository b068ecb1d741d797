"""Published distortion numbers and the pairs that the fit works with."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.distortion import pairs_from_published, published_from_pairs
from refimpl.detector.tilted_flat import GEOMETRY_FIELDS
from refimpl.errors import GeometryError


def test_pairs_by_hand() -> None:
    p = [0.0] * 15
    p[0], p[6] = 2e-3, 30.0  # two-fold
    p[1], p[3] = -1e-3, 90.0  # four-fold
    p[2], p[5], p[4] = 1e-4, 2e-4, 3e-4
    got = dict(zip(GEOMETRY_FIELDS[10:], pairs_from_published(tuple(p)), strict=True))
    expected = {
        "a2c": 2e-3 * np.sqrt(0.75), "a2s": 1e-3, "a4s": -1e-3,
        "iso_r2": 1e-4, "iso_r4": 2e-4, "iso_r6": 3e-4,
    }  # fmt: skip
    for name, value in got.items():
        assert value == pytest.approx(expected.get(name, 0.0), abs=1e-18), name  # rounding of cos


def test_without_a_hint_the_phase_is_within_a_right_angle() -> None:
    p = [0.0] * 15
    p[0], p[6] = 1e-3, 170.0
    got = published_from_pairs(pairs_from_published(tuple(p)))
    assert got[0] == pytest.approx(-1e-3)
    assert got[6] == pytest.approx(-10.0)


def test_at_amplitude_zero_the_phase_stays() -> None:
    p = [0.0] * 15
    p[3] = 44.98
    assert published_from_pairs(pairs_from_published(tuple(p)), tuple(p)) == tuple(p)


@pytest.mark.parametrize("p", [(0.0,) * 14, (0.0,) * 14 + (np.nan,), (0.0,) * 14 + (np.inf,)])
def test_anything_but_15_finite_numbers_is_refused(p) -> None:
    with pytest.raises(GeometryError, match=r"^distortion p0\.\.p14: got \(.*\): expected 15 fin"):
        pairs_from_published(p)
