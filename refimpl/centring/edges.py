"""Offset and drift of two clocks from where the bursts of one log begin and end in the other.

A first picture comes up to one step of the camera after the first frame, a last one as much before
the last frame. One that was lost makes it later, by a step at a time and each time less likely; a
first frame that was lost makes it earlier. That is a probability of offset and drift, and its mean
and spread are taken, on a grid that closes in.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from refimpl.frames import F64

__all__ = ["EdgeFit", "Train", "fit_edges", "train"]

_GRID: Final = np.linspace(-1.0, 1.0, 33)
_LEAST_LOST: Final = 0.02
_FLOOR: Final = 1e-4
"""Density, relative to that of an edge as it should be, of one that is anywhere."""
_JITTER_S: Final = 0.005
_MOST_PASSES: Final = 12


class Train(NamedTuple):
    """Usual time [s] between events of a log, and the part of them that is lost."""

    step_s: float
    lost: float


class EdgeFit(NamedTuple):
    """Shift [s] at time 0 and by the second, its spread within the logs [s], edges that agree."""

    offset_s: float
    drift: float
    spread_s: float
    agreeing: float


def train(times: F64, pause_s: float) -> Train:
    """Step and losses of sorted times; pauses longer than `pause_s` are none."""
    steps = np.diff(times)
    step = float(np.median(steps))
    held = steps[steps <= pause_s]
    if step <= 0.0 or not len(held):
        return Train(max(step, 1e-6), _LEAST_LOST)
    missing = float(np.maximum(np.rint(held / step) - 1.0, 0.0).sum())
    return Train(step, min(max(missing / (missing + len(held)), _LEAST_LOST), 0.5))


def fit_edges(
    first: tuple[F64, F64],
    last: tuple[F64, F64],
    start_s: float,
    pictures: Train,
    frames: Train,
    drift_spread: float,
) -> EdgeFit:
    """Most probable shift of the camera's clock, linear in time.

    Parameters
    ----------
    first, last
        Times of first (last) pictures of scans [s], and how far the first (last) frames are from
        them [s]; each (k,).
    start_s
        Shift to begin with.
    drift_spread
        Spread of drifts that clocks have [s/s]; 0 for no drift.
    """
    at = np.concatenate([first[0], last[0]])
    middle, half = 0.5 * float(at.min() + at.max()), max(0.5 * float(np.ptp(at)), 1.0)
    place = (at - middle) / half
    away = np.concatenate([first[1], last[1]])
    sign = np.repeat([1.0, -1.0], len(first[0]))
    centre = np.array([start_s, 0.0])
    most = drift_spread * half
    reach = np.array([2.0 * (pictures.step_s + frames.step_s) + 2.0 * most, 4.0 * most])
    grid = _GRID if drift_spread > 0.0 else np.zeros(1)
    mean, cov = centre, np.zeros((2, 2))
    for _ in range(_MOST_PASSES):
        shift = centre[0] + reach[0] * _GRID
        change = centre[1] + reach[1] * grid
        logs = np.zeros((len(shift), len(change)))
        for k in range(len(place)):
            late = sign[k] * (shift[:, None] + change[None, :] * place[k] - away[k])
            logs += _log_density(late, pictures, frames)
        if most > 0.0:
            logs -= 0.5 * (change / most)[None, :] ** 2
        weight = np.exp(logs - logs.max())
        weight /= weight.sum()
        mean = np.array([(weight.sum(axis=1) * shift).sum(), (weight.sum(axis=0) * change).sum()])
        a, b = shift - mean[0], change - mean[1]
        cov = np.array([[(weight.sum(axis=1) * a * a).sum(), a @ weight @ b], [0.0, 0.0]])
        cov[1] = cov[0, 1], (weight.sum(axis=0) * b * b).sum()
        spread = np.sqrt(np.diag(cov))
        steps = reach * (_GRID[1] - _GRID[0])
        if (spread >= 1.5 * steps).all():
            break
        centre, reach = mean, np.minimum(np.maximum(5.0 * spread, 1.5 * steps), reach)
    rate = mean[1] / half
    worst = max(cov[0, 0] + 2.0 * p * cov[0, 1] + p * p * cov[1, 1] for p in (-1.0, 1.0))
    late = sign * (mean[0] + mean[1] * place - away)
    agreeing = float((_log_density(late, pictures, frames) > np.log(10.0 * _FLOOR)).mean())
    offset = float(mean[0] - rate * middle)
    return EdgeFit(offset, float(rate), float(np.sqrt(max(worst, 0.0))), agreeing)


def _log_density(late: F64, pictures: Train, frames: Train) -> F64:
    """Log of the density of a picture being so late [s] on its edge, but for a constant."""
    slack = 0.5 * frames.step_s + _JITTER_S
    early = np.maximum(-slack - late, 0.0) / frames.step_s * np.log(frames.lost)
    tardy = np.maximum(late - pictures.step_s - slack, 0.0) / pictures.step_s
    return np.asarray(np.logaddexp(early + tardy * np.log(pictures.lost), np.log(_FLOOR)))
