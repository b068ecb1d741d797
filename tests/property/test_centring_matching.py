"""Two clocks are brought together whatever was lost, and nothing is matched that is not near."""

from __future__ import annotations

import numpy as np
from clock_logs import logs
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.centring.clock import Clock, fit_clock
from refimpl.centring.matching import COMBINE, match

SEED = st.integers(0, 2**31 - 1)
LOST = st.floats(0.0, 0.25)
PICTURE_S = 0.125


@settings(max_examples=20)
@given(SEED, st.floats(-4.0, 4.0), LOST, LOST, st.floats(0.0, 0.02), st.integers(8, 20))
def test_an_offset_is_found_to_within_a_picture(
    seed: int, offset: float, lost_f: float, lost_p: float, jitter: float, scans: int
) -> None:
    log = logs(
        seed, offset_s=offset, lost_frames=lost_f, lost_pictures=lost_p, jitter_s=jitter,
        scans=scans,
    )  # fmt: skip
    clock = fit_clock(log.picture_s, log.frame_s)
    error = np.abs(clock.detector_time(log.picture_s) - log.true_s).max()
    assert error < PICTURE_S
    assert error < 3.0 * clock.uncertainty_s + jitter


@settings(max_examples=12)
@given(SEED, st.floats(-1.0, 1.0), st.floats(-1e-4, 1e-4), LOST)
def test_pictures_taken_with_the_frames_give_it_to_milliseconds(
    seed: int, offset: float, drift: float, lost: float
) -> None:
    log = logs(
        seed, offset_s=offset, drift=drift, frame_step_s=PICTURE_S, together=True,
        lost_frames=lost, lost_pictures=lost, jitter_s=0.004, scans=10,
    )  # fmt: skip
    clock = fit_clock(log.picture_s, log.frame_s)
    assert clock.is_decided
    assert clock.n_single > 0.5 * len(log.picture_s)
    assert np.abs(clock.detector_time(log.picture_s) - log.true_s).max() < 0.006
    # the drift is taken by the camera's clock here, by the detector's in the truth: 1e-8 apart
    assert abs(clock.drift - drift) < 1e-5


@given(SEED, st.floats(0.001, 1.0), st.sampled_from([0.03, 0.125, 0.5]))
def test_each_frame_has_the_nearest_picture_or_none(
    seed: int, tolerance: float, step: float
) -> None:
    log = logs(seed, frame_step_s=step, scans=2)
    rng = np.random.default_rng(seed)
    pictures, frames = rng.permutation(log.true_s), rng.permutation(log.frame_s)
    found = match(pictures, frames, Clock(0.0), tolerance_s=tolerance)
    away = np.abs(pictures[None, :] - frames[:, None])
    is_near = away.min(axis=1) <= tolerance
    assert np.array_equal(found.picture >= 0, is_near)
    k = np.flatnonzero(is_near)
    np.testing.assert_array_equal(away[k, found.picture[k]], away[k].min(axis=1))
    assert found.frames_of_picture.sum() == len(frames) - len(found.unmatched_frames)
    assert set(found.unmatched_pictures) == set(range(len(pictures))) - set(found.picture)
    one = match(pictures, frames, Clock(0.0), tolerance_s=tolerance, unique=True)
    assert one.frames_of_picture.max() <= 1
    assert np.array_equal(one.frames_of_picture > 0, found.frames_of_picture > 0)


@given(SEED, st.sampled_from(COMBINE))
def test_counts_are_combined_as_named(seed: int, how: str) -> None:
    log = logs(seed, scans=1)
    found = match(log.true_s, log.frame_s, Clock(0.0))
    rc = np.random.default_rng(seed).integers(0, 2500, len(log.frame_s)).astype(float)
    rc[::7] = np.nan
    out = found.combined(rc, how)
    for k in range(len(log.true_s)):
        own = np.flatnonzero((found.picture == k) & np.isfinite(rc))
        if not len(own):
            assert np.isnan(out[k])
        elif how == "nearest":
            assert out[k] == rc[own[np.argmin(np.abs(found.residual_s[own]))]]
        else:
            assert out[k] == getattr(np, how)(rc[own])


@settings(max_examples=12)
@given(SEED, st.floats(-1e6, 1e6))
def test_neither_order_nor_era_matters(seed: int, later: float) -> None:
    log = logs(seed, scans=5)
    later = round(later)
    clock = fit_clock(log.picture_s, log.frame_s)
    rng = np.random.default_rng(seed)
    mixed = fit_clock(rng.permutation(log.picture_s), rng.permutation(log.frame_s))
    assert mixed == clock
    moved = fit_clock(log.picture_s + later, log.frame_s + later)
    assert abs(moved.offset_s - clock.offset_s) < 1e-5  # steps of a float64 of the epoch are 2e-7
    assert moved.reference_s == log.picture_s.min() + later
