"""Arguments for the pairs behind the published AutoCalibrate."""

from __future__ import annotations

import numpy as np

from refimpl.testing.strategies import Arguments, strategy

__all__: list[str] = []


@strategy("background.median_of_disk", chunk=4)
def _ranks(rng: np.random.Generator, n: int) -> Arguments:
    shape = (n, int(rng.integers(1, 40)))
    levels = int(rng.choice([2, 300, 70000]))  # ties; two and many coarse levels
    return {"ranks": rng.integers(-3, levels, shape).astype(np.int32), "size": 7}


@strategy("chord_bins.bin_lineouts", chunk=64, most=48)
def _bin_pixels(rng: np.random.Generator, n: int) -> Arguments:
    bins = 5
    edge = np.sort(rng.uniform(-np.pi, np.pi, bins))
    edge[:3] = [-np.pi, -np.pi / 2.0, 0.0]  # along the axes
    width = rng.uniform(0.01, 0.4, bins)
    low, steps = rng.uniform(0.5, 300.0, bins), rng.integers(1, 40, bins)
    step = rng.uniform(0.1, 0.6, bins)
    offset = np.concatenate([[0], np.sort(rng.integers(0, n + 1, bins - 1)), [n]])
    home = np.repeat(np.arange(bins), np.diff(offset))
    radius = low[home] + rng.uniform(-0.1, 1.1, n) * (step * steps)[home]
    eta = edge[home] + rng.uniform(-0.1, 1.1, n) * width[home]
    return {
        "x_px": np.round(radius * np.sin(eta)) + 0.3,
        "y_px": np.round(radius * np.cos(eta)) - 0.2,
        "intensity": rng.uniform(1.0, 1e4, n),
        "offset": offset,
        "rays": np.column_stack([f(e) for e in (edge, edge + width) for f in (np.sin, np.cos)]),
        "low_px": low,
        "step_px": step,
        "steps": steps,
        "most": 36,  # some bins have more steps than that
        "arcs": bool(rng.integers(2)),
        "published_axes": bool(rng.integers(2)),
    }


def _lineouts(rng: np.random.Generator, b: int, peaks: int) -> Arguments:
    first, step = rng.uniform(4e4, 2e5, b), rng.uniform(30.0, 60.0, b)
    width = 24
    at = np.arange(width)
    profile = rng.uniform(10.0, 300.0, (b, 1)) * np.ones(width)
    for k in range(peaks):
        centre, sigma = rng.uniform(6.0, 16.0, (b, 1)) + 4.0 * k, rng.uniform(1.5, 3.0, (b, 1))
        height = rng.uniform(100.0, 1e5, (b, 1))
        profile = profile + height * np.exp(-0.5 * ((at - centre) / sigma) ** 2)
    profile = rng.poisson(profile).astype(np.float64)
    kind = rng.integers(0, 12, b)  # what a detector may give
    profile[kind == 0] = 0.0
    profile[kind == 1, ::5] = np.nan
    profile[kind == 2, -1] = np.inf
    profile[kind == 3] *= -1.0
    profile[kind == 4, 0] = profile[kind == 4, -1] = 0.0
    steps = rng.integers(width - 4, width + 3, b)
    steps[kind == 5] = rng.integers(-1, 4, b)[kind == 5]
    profile[(kind == 4) & (steps < width)] -= 5.0
    return {"profile": profile, "steps": steps, "first_um": first, "step_um": step}


@strategy("lineout_fit.fit_singlets", chunk=16, most=3)
def _singlets(rng: np.random.Generator, n: int) -> Arguments:
    return _lineouts(rng, n, 1)


@strategy("lineout_fit.fit_doublets", chunk=16, most=2)
def _doublets(rng: np.random.Generator, n: int) -> Arguments:
    lineouts = _lineouts(rng, n, 2)
    middle = lineouts["first_um"] + rng.uniform(-2.0, 26.0, n) * lineouts["step_um"]
    return {**lineouts, "middle_um": middle}
