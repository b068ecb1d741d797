"""Orientations of near-field voxels without seeds, and the coarse levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nearfield_case import PLAIN, Case

from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError
from refimpl.nearfield.blind import BlindSettings, Pyramid, blind_search
from refimpl.nearfield.levels import level_of, levels_down
from refimpl.nearfield.reconstruct import reconstruct
from refimpl.nearfield.refine import turned
from refimpl.objective.overlap import confidence
from refimpl.units import DEG


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"spacing_rad": 0.0}, "BlindSettings: spacing_rad 0.0: expected more than 0, at most 1"),
        ({"kept": 0}, "BlindSettings: kept 0: expected 1 or more"),
    ],
)
def test_bad_blind_settings_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        BlindSettings(**values)


def test_levels_are_as_coarse_as_the_error(case: Case) -> None:
    levels = levels_down(case.setup, case.lit, 2.0 * DEG, 0.2 * DEG)
    assert [round(level.reach_rad / DEG, 3) for level in levels] == [2.0, 0.7, 0.245]
    assert [level.frame_bits for level in levels] == [2, 0, 0]
    assert levels[0].px_bits > levels[1].px_bits
    row = np.flatnonzero(case.inner)[:5]
    for level in levels:
        off = turned(case.u[row], np.array([0.5, -0.5, 0.5]) * level.reach_rad)
        near = confidence(case.vertices[row], off, level.setup, level.lit).confidence
        sharp = confidence(case.vertices[row], off, case.setup, case.lit).confidence
        # 0.87 of the reach away about half of the spots show; random orientations: 0.05
        assert (near > 0.4).all()
        assert (near > sharp + 0.2).all()
    assert level_of(case.setup, case.lit, 1e-6).px_bits == 0


def test_blind_search_finds_grains(case: Case) -> None:
    rows = np.array([np.flatnonzero(case.inner & (case.grain == g))[0] for g in (0, 2)])
    pyramid = Pyramid(case.setup, case.lit, BlindSettings(spacing_rad=3.0 * DEG))
    got = blind_search(case.vertices[rows], pyramid, PLAIN)
    assert (case.errors_deg(got.euler_rad[:, 0], rows) < 0.1).all()
    assert (got.evaluations > len(pyramid.seeds)).all()
    m = reconstruct(
        case.setup, case.lit, case.voxels[rows], None, blind=pyramid.settings, engine="serial"
    )
    np.testing.assert_array_equal(m.euler_rad, got.euler_rad[:, 0])


def test_blind_search_of_a_dark_stack_finds_nothing(case: Case) -> None:
    dark = LitPixels.from_hits(np.zeros((0, 4), dtype=np.int64), case.lit.shape)
    coarse = BlindSettings(spacing_rad=20.0 * DEG)
    m = reconstruct(case.setup, dark, case.voxels[:3], None, blind=coarse, engine="serial")
    assert not m.solved.any()
    assert len(m) == 3
