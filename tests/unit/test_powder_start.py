"""The automatic start: a picture without background, its centre, and the distances it supports."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import RefimplError
from refimpl.forward.powder_image import simulate
from refimpl.powder.start import candidates, reduce_image, ring_centre

WAVELENGTH = 0.25
CERIA = rings("CeO2", WAVELENGTH, 0.6)


def exposed(centre=(188.0, 210.0), shape=(380, 400), lsd=300.0, seed=3, peak=2000.0, **more):
    """Counts and usable pixels in the model frame."""
    model = TiltedFlat(shape, (0.2, 0.2), lsd, centre, (0.0, 0.01, -0.015))
    frame = simulate(
        model, CERIA, wavelength_angstrom=WAVELENGTH, fwhm_rad=2e-3, peak_counts=peak,
        background=20.0, seed=seed, **more,
    )  # fmt: skip
    counts = frame.image[::-1].astype(float)
    return counts, (~frame.mask[::-1]).astype(np.uint8)


@pytest.mark.parametrize(
    ("centre", "most"),
    [
        ((188.0, 210.0), 1.0),
        ((60.3, 330.7), 1.0),  # in a corner: quarter rings
        ((-40.0, 190.0), 4.0),  # off the image: flat arcs, whose normals cross at a small angle
    ],
)
def test_the_centre_is_found_without_a_guess(centre, most) -> None:
    """To a pixel, or so: the tilts of a degree move the rings' middles by as much as that."""
    counts, usable = exposed(centre)
    found = ring_centre(reduce_image(counts, usable))
    assert np.hypot(found[0] - centre[0], found[1] - centre[1]) < most


def test_a_large_image_is_reduced_and_a_small_one_is_not() -> None:
    counts = np.random.default_rng(1).poisson(10.0, (1000, 1450)).astype(float)
    reduced = reduce_image(counts, np.ones(counts.shape, np.uint8))
    assert reduced.factor == 3
    assert reduced.signal.shape == reduced.good.shape == (333, 483)
    assert reduce_image(counts[:300, :300], np.ones((300, 300), np.uint8)).factor == 1


def test_background_is_gone_and_what_is_masked_is_no_signal() -> None:
    counts, usable = exposed()
    slope = np.linspace(0.0, 3000.0, 400)[None, :]  # brighter than the rings
    usable[100:110] = 0
    reduced = reduce_image(counts + slope, usable)
    assert np.all(reduced.signal >= 0.0)
    assert np.all(reduced.signal[100:110] == 0.0)
    assert not reduced.good[100:110].any()
    left, right = (np.median(reduced.signal[:, s]) for s in (slice(20, 80), slice(320, 380)))
    assert abs(left - right) < 0.3  # 3000 counts of slope against a fifth of a sigma


def test_single_bright_pixels_do_not_move_the_centre() -> None:
    counts, usable = exposed()
    clean = ring_centre(reduce_image(counts, usable))
    hot = np.random.default_rng(4).random(counts.shape) < 1e-3
    spoilt = ring_centre(reduce_image(np.where(hot, 1e6, counts), usable))
    assert np.hypot(spoilt[0] - clean[0], spoilt[1] - clean[1]) < 0.5


@pytest.mark.parametrize("lsd", [150.0, 300.0, 420.0])
def test_the_true_distance_is_among_the_candidates(lsd) -> None:
    counts, usable = exposed(lsd=lsd)
    reduced = reduce_image(counts, usable)
    found = candidates(reduced, ring_centre(reduced), CERIA, 0.2)
    assert 1 <= len(found) <= 4
    assert abs(found[0].lsd_mm / lsd - 1.0) < 0.02  # the steps of the fine search are 0.2 %
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert 0.3 < found[0].score <= 1.0
    for i, c in enumerate(found):
        assert all(abs(c.lsd_mm / d.lsd_mm - 1.0) > 0.01 for d in found[:i])


def test_a_guess_of_the_distance_narrows_the_search() -> None:
    counts, usable = exposed()
    reduced = reduce_image(counts, usable)
    centre = ring_centre(reduced)
    for guess in (280.0, 330.0):
        found = candidates(reduced, centre, CERIA, 0.2, guess)
        assert all(abs(c.lsd_mm / guess - 1.0) < 0.22 for c in found)
        assert abs(found[0].lsd_mm / 300.0 - 1.0) < 0.02
    assert len(candidates(reduced, centre, CERIA, 0.2, most=2)) <= 2


def test_noise_alone_has_no_rings() -> None:
    counts = np.random.default_rng(5).poisson(100.0, (300, 300)).astype(float)
    with pytest.raises(RefimplError, match=r"^no rings found: the lines in the image have no comm"):
        ring_centre(reduce_image(counts, np.ones((300, 300), np.uint8)))


def test_a_smooth_picture_has_no_rings() -> None:
    counts = np.add.outer(np.arange(200.0), np.arange(200.0)) + 100.0
    with pytest.raises(
        RefimplError, match=r"^no rings found: (only \d+ pixels look like part of|)"
    ):
        ring_centre(reduce_image(counts, np.ones((200, 200), np.uint8)))


def test_a_mask_of_dust_leaves_no_picture() -> None:
    counts = np.random.default_rng(6).poisson(100.0, (1200, 1200)).astype(float)
    usable = np.zeros(counts.shape, np.uint8)
    usable[::3, ::3] = 1  # a ninth of every cell of 2 x 2 or 3 x 3
    with pytest.raises(
        RefimplError, match=r"^no rings found: the mask leaves no connected picture$"
    ):
        reduce_image(counts, usable)


def test_a_profile_without_peaks_is_refused() -> None:
    counts = np.full((300, 300), 50.0)
    reduced = reduce_image(counts, np.ones((300, 300), np.uint8))
    with pytest.raises(RefimplError, match=r"^no rings found: the radial profile has no peaks$"):
        candidates(reduced, (150.0, 150.0), CERIA, 0.2)
