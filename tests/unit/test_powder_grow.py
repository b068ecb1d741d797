"""From a rough start to a geometry, and the refusal of a calibrant that is not there."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.rings import rings
from refimpl.errors import RefimplError
from refimpl.powder.config import config_from
from refimpl.powder.grow import RingsAt, grow, grow_best, reach, ring_widths
from refimpl.powder.prepare import prepare, read_source
from refimpl.powder.start import Candidate

EVERYTHING = RingsAt(rings("CeO2", 0.25, 1.0))


@pytest.fixture(scope="module")
def frame(small_frame):
    settings = config_from({"wavelength_angstrom": 0.25, "pixel_size_mm": 0.2})
    return prepare(read_source(small_frame.image, small_frame.mask), settings).frame


@pytest.fixture(scope="module")
def flat(small_model):
    """The true detector without tilt, as one surface."""
    return small_model.replace(panel_boxes=None, tilts_rad=(0.0, 0.0, 0.0))


def test_reach_is_the_farthest_corner(flat) -> None:
    assert reach(flat) == pytest.approx(np.arctan(0.2 * np.hypot(212.0, 210.0) / 300.0), rel=1e-12)


@pytest.mark.parametrize(
    ("d_fast", "d_slow", "scale"), [(0.0, 0.0, 1.0), (2.0, -1.5, 1.01), (-3.0, 3.0, 0.99)]
)
def test_a_rough_start_grows_into_the_geometry(frame, flat, small_model, d_fast, d_slow, scale):
    start = flat.replace(lsd_mm=300.0 * scale, beam_centre_px=(188.0 + d_fast, 210.0 + d_slow))
    found = EVERYTHING(reach(start))
    grown = grow(frame, start, found, score=0.7)
    assert grown is not None
    # a start for the refinement: a tenth of a pixel and some hundredths of a degree
    assert grown.model.lsd_mm == pytest.approx(300.0, rel=3e-4)
    np.testing.assert_allclose(grown.model.beam_centre_px, (188.0, 210.0), atol=0.1)
    np.testing.assert_allclose(grown.model.tilts_rad, small_model.tilts_rad, atol=2e-3)
    assert grown.rms_px < 0.2
    assert grown.explained > 0.8
    assert grown.score == 0.7
    assert np.median(grown.fwhm_rad) == pytest.approx(2e-3, rel=0.1)
    assert len(grown.fwhm_rad) == len(found)


def test_where_there_is_no_ring_nothing_grows(frame, flat) -> None:
    silent = flat.replace(lsd_mm=3000.0)  # all rings far outside the image
    assert grow(frame, silent, EVERYTHING(0.17)) is None


def test_the_best_of_the_candidates_wins(frame, flat) -> None:
    starts = [
        Candidate((188.0, 210.0), 262.0, 0.9),  # the second ring taken for the first
        Candidate((188.5, 209.5), 300.5, 0.8),
    ]
    grown, found = grow_best(frame, starts, flat, EVERYTHING)
    assert grown.model.lsd_mm == pytest.approx(300.0, rel=1e-3)
    assert found.two_theta_rad[-1] <= reach(flat.replace(lsd_mm=300.5))


@pytest.mark.parametrize("starts", [[], [Candidate((188.0, 210.0), 5000.0, 1.0)]])
def test_no_start_that_explains_the_image_is_refused(frame, flat, starts) -> None:
    with pytest.raises(
        RefimplError, match=r"^the rings of the image do not follow the calibrant's"
    ):
        grow_best(frame, starts, flat, EVERYTHING)


def test_forbidden_rings_are_not_waited_for() -> None:
    found = EVERYTHING(0.3)
    assert np.all(found.two_theta_rad < 0.3)
    assert np.all(found.intensity > 1e-3)


def test_a_ring_that_was_not_seen_gets_the_width_of_its_neighbours(small_result) -> None:
    p = small_result.points
    n = len(small_result.rings)
    all_seen = ring_widths(p, n, np.zeros(n))
    for k in range(n):
        mine = p.used & (p.ring == k)
        if np.any(mine):
            assert all_seen[k] == np.median(p.fwhm_rad[mine])
    gap = ring_widths(p.with_used(p.used & (p.ring != 2)), n, np.zeros(n))
    assert gap[2] == pytest.approx(0.5 * (gap[1] + gap[3]))
    kept = np.arange(n, dtype=float)
    assert ring_widths(p.with_used(p.ring < 0), n, kept) is kept
