"""The clocks of a camera and a detector, compared by what both logged: when the beam was on.

Pictures and frames come in bursts, one a scan. Where a burst of frames begins and ends and where
that of the pictures does says how the clocks differ: with the right offset no picture lies outside
its scan. A burst alone bounds the offset by the time between pictures, many bursts by a fraction of
it. Where both were triggered together, or shake together, their single times say it to a
millisecond. Regular trains that never pause say nothing: then the answer is not decided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from refimpl.centring.bursts import bursts, overlap_offset, paired_edges
from refimpl.centring.edges import fit_edges, train
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["Clock", "fit_clock"]

_LEAST_BURSTS: Final = 4
"""So many bursts are needed for a drift."""
_AGREEING: Final = 0.6
"""So many of the edges must lie where they should for the logs to say anything."""
_IN_SCANS: Final = 0.8
"""In so many of the scans single times must agree."""
_SEARCHED: Final = 1000
"""So many pictures are enough to look for agreement of single times."""
_SHARP: Final = 6.0
"""Standard deviations by which single times must agree better than by chance to be believed."""


@dataclass(frozen=True)
class Clock:
    """From the camera's clock to the detector's: ``t + offset_s + drift (t - reference_s)``.

    Attributes
    ----------
    offset_s
        By how much the detector's clock is ahead of the camera's, at `reference_s`.
    drift
        Seconds a second by which it gains on it.
    reference_s
        Time on the camera's clock: that of the first picture.
    uncertainty_s
        Two standard deviations, where it is least certain within the logs.
    is_decided
        Whether the logs fix one offset, to within a picture.
    n_bursts
        Scans that both logs have.
    n_single
        Pictures whose single times agree with that of a frame; 0 where these say nothing.
    notes
        What is to be known, as sentences.
    """

    offset_s: float
    drift: float = 0.0
    reference_s: float = 0.0
    uncertainty_s: float = 0.0
    is_decided: bool = True
    n_bursts: int = 0
    n_single: int = 0
    notes: tuple[str, ...] = ()

    def detector_time(self, camera_s: F64) -> F64:
        """Times on the detector's clock [s] of times on the camera's."""
        t = np.asarray(camera_s, dtype=np.float64)
        return np.asarray(t + (self.offset_s + self.drift * (t - self.reference_s)))


def fit_clock(
    picture_s: F64,
    frame_s: F64,
    *,
    tolerance_s: float = 0.0625,
    max_offset_s: float = 10.0,
    drift_spread: float = 2e-4,
    drift: bool = True,
) -> Clock:
    """Find how two clocks differ, from their logs alone.

    Parameters
    ----------
    picture_s, frame_s
        (n,), (m,) Times of pictures and frames, each by its own clock, in any order.
    tolerance_s
        Half the time between pictures. The offset is called decided if it is known to within twice
        that, one picture.
    max_offset_s
        Largest offset that is looked for, either way.
    drift_spread
        Spread of drifts that such clocks have [s/s].
    drift
        Whether to look for a drift; it takes four scans, or single times that agree.

    Raises
    ------
    ConfigError
        Fewer than two pictures or frames, times that are not finite, or a limit below zero.
    """
    pictures, frames = _times(picture_s, "picture"), _times(frame_s, "frame")
    for name, value in (("tolerance_s", tolerance_s), ("max_offset_s", max_offset_s)):
        if not value > 0.0:
            raise ConfigError(f"{name}={value}: expected > 0", key=name, got=value)
    first = float(pictures[0])
    # all times are counted from the first picture: a float64 of the epoch has steps of 0.2 us
    pictures, frames = pictures - first, frames - first
    pause = max(10.0 * _step(pictures), 10.0 * _step(frames), 1.0)
    ours, theirs = bursts(pictures, pause), bursts(frames, pause)
    coarse, rival = overlap_offset(ours, theirs, max_offset_s)
    if coarse is None:
        return Clock(
            0.0, reference_s=first, uncertainty_s=max_offset_s, is_decided=False,
            notes=(f"no offset within {max_offset_s:g} s brings pictures and frames together",),
        )  # fmt: skip
    begins, ends = paired_edges(ours, theirs, coarse)
    n = len(begins[0])
    found = fit_edges(
        begins, ends, coarse, train(pictures, pause), train(frames, pause),
        drift_spread if drift and n >= _LEAST_BURSTS else 0.0,
    )  # fmt: skip
    spread = 2.0 * found.spread_s if found.agreeing >= _AGREEING else max_offset_s
    clock = Clock(found.offset_s, found.drift, first, spread, n_bursts=n)
    sharp = _by_single_times(clock, pictures, frames, max_offset_s, drift)
    notes = []
    if rival and not sharp:
        notes.append("another offset fits as well: the scans are too much alike")
    clock = sharp or clock
    if clock.uncertainty_s > 2.0 * tolerance_s:
        notes.append(
            f"the logs leave the offset open by {clock.uncertainty_s:.3g} s either way: too few "
            "scans that begin and end in both"
        )
    return Clock(
        clock.offset_s, clock.drift, first, clock.uncertainty_s, not notes, n, clock.n_single,
        tuple(notes),
    )  # fmt: skip


def _times(values: F64, what: str) -> F64:
    out = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if len(out) < 2 or not np.isfinite(out).all():
        raise ConfigError(f"{len(out)} times of {what}s: expected two or more, all finite")
    return out


def _step(times: F64) -> float:
    return float(np.median(np.diff(times)))


def _by_single_times(
    clock: Clock, pictures: F64, frames: F64, max_offset_s: float, drift: bool
) -> Clock | None:
    """Sharpen a clock where pictures and frames come at the same moments, else None."""
    step = _step(frames)
    width = 0.1 * min(step, _step(pictures))
    reach = min(max(clock.uncertainty_s, step), max_offset_s) + width
    shifts = np.arange(-reach, reach + width / 4.0, width / 4.0)
    some = pictures[:: max(len(pictures) // _SEARCHED, 1)]
    start = some + clock.offset_s + clock.drift * some
    # by chance a picture is within the width of a frame as often as frames are dense
    busy = min(2.0 * width / step, 1.0) * len(some)
    spread = np.sqrt(max(busy * (1.0 - busy / len(some)), 1.0))
    least = max(busy + _SHARP * spread, 0.5 * len(some))
    middle, half = 0.5 * float(some[0] + some[-1]), max(0.5 * float(np.ptp(some)), 1.0)
    turns = [0.0]
    if drift and clock.n_bursts >= _LEAST_BURSTS:
        n = min(int(np.ceil(clock.uncertainty_s / width)), 20)
        turns = sorted((k * width / half for k in range(-n, n + 1)), key=abs)
    best: tuple[float, float, float, bool] | None = None
    for turn in turns:
        turned = start + turn * (some - middle)
        score = np.array([_agreeing(turned + t, frames, width) for t in shifts])
        top = float(score.max())
        if top <= least or (best is not None and top <= best[0]):
            continue
        near = np.flatnonzero(score >= top - 3.0 * np.sqrt(max(len(some) - top, 1.0)))
        # regular trains agree at every step: the scans' edges say which one it is
        k = near[np.argmin(np.abs(shifts[near]))]
        inside = np.flatnonzero(np.abs(shifts - shifts[k]) <= 2.0 * width)
        k = inside[np.argmax(score[inside])]
        best = top, turn, float(shifts[k]), float(np.ptp(shifts[near])) > 4.0 * width
    if best is None:
        return None
    _, turn, shift, several = best
    found = _refined(
        replace(clock, offset_s=clock.offset_s + shift - turn * middle, drift=clock.drift + turn),
        pictures, frames, width, drift,
    )  # fmt: skip
    if found is not None and not _in_most_scans(found, pictures, frames, 2.0 * width):
        return None
    if found is not None and several and clock.uncertainty_s > step:
        # which of the steps is open
        return replace(found, uncertainty_s=2.0 * step)
    return found


def _in_most_scans(clock: Clock, pictures: F64, frames: F64, width: float) -> bool:
    """Whether single times agree in most scans: by chance they do so in whole scans, but in few."""
    pause = max(10.0 * _step(pictures), 10.0 * _step(frames), 1.0)
    scan = np.concatenate([[0], np.cumsum(np.diff(pictures) > pause)])
    moved = pictures + clock.offset_s + clock.drift * pictures
    agree = np.abs(nearest(moved, frames)[1]) <= width
    part = np.bincount(scan, weights=agree) / np.bincount(scan)
    return bool((part >= 0.5).mean() >= _IN_SCANS)


def _agreeing(times: F64, frames: F64, width: float) -> int:
    return int((np.abs(nearest(times, frames)[1]) <= width).sum())


def nearest(times: F64, frames: F64) -> tuple[I64, F64]:
    """Number of the nearest frame of each time, the earlier of two, and frame minus time [s]."""
    after = np.clip(np.searchsorted(frames, times), 0, len(frames) - 1)
    before = np.maximum(after - 1, 0)
    is_before = np.abs(times - frames[before]) <= np.abs(frames[after] - times)
    k = np.where(is_before, before, after)
    return k, frames[k] - times


def _refined(clock: Clock, pictures: F64, frames: F64, width: float, drift: bool) -> Clock | None:
    """Straight line through the residuals of pictures that agree with a frame, by Tukey weights."""
    shift, slope = clock.offset_s, clock.drift
    keep = np.zeros(len(pictures), dtype=bool)
    scale = width
    for _ in range(20):
        residual = nearest(pictures + shift + slope * pictures, frames)[1]
        keep = np.abs(residual) <= 2.0 * width
        if keep.sum() < 8:
            return None
        scale = max(1.4826 * float(np.median(np.abs(residual[keep]))), 1e-6)
        weight = np.where(keep, np.maximum(1.0 - (residual / (5.0 * scale)) ** 2, 0.0) ** 2, 0.0)
        total = float(weight.sum())
        centre = float((weight * pictures).sum()) / total
        mean = float((weight * residual).sum()) / total
        away = pictures - centre
        below = float((weight * away * away).sum())
        change = float((weight * away * residual).sum()) / below if drift and below > 0.0 else 0.0
        step = mean - change * centre
        shift, slope = shift + step, slope + change
        if abs(mean) < 1e-7 and abs(change) * float(np.ptp(pictures)) < 1e-7:
            break
    n = int(keep.sum())
    return Clock(shift, slope, clock.reference_s, scale, True, clock.n_bursts, n)
