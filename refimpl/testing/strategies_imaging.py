"""Arguments for the pairs of :mod:`refimpl.imaging`."""

from __future__ import annotations

import numpy as np

from refimpl.testing.strategies import Arguments, Outputs, PerOutput, random_geometry, strategy

__all__: list[str] = []

_COLUMNS = 37


def _pixel_scale(arguments: Arguments) -> PerOutput:
    # eta comes from a direction of size 1; the response is a product and sum of four cosines and
    # squares of cosines, each with its own last bits: four times the bound of one
    return [None, None, None, None, 1.0, 4.0]


@strategy("ring_pixels.ring_pixels", chunk=16, scale=_pixel_scale)  # rows a thread takes at once
def _image(rng: np.random.Generator, n: int) -> Arguments:
    """An image of n rows with the beam in it, gaps, masked pixels, and a part behind the sample."""
    geometry, corrections = random_geometry(rng)
    geometry[1] = rng.integers(0, _COLUMNS) + 0.5  # pixels straight above and below: eta 0 and pi
    geometry[2] = rng.integers(0, max(n, 1)) + 0.5
    corrections[:, :2] = rng.uniform(0.0, _COLUMNS, (len(corrections), 2))
    if rng.random() < 0.5:
        geometry[3:6] = 0.0
    elif rng.random() < 0.5:
        geometry[0], geometry[4] = 2.0, 1.2  # the edge of the image is behind the sample
    radius = np.sort(rng.uniform(0.1, 0.5 * (n + _COLUMNS) * geometry[6], 8))
    return {
        "usable": (rng.random((n, _COLUMNS)) < 0.9).astype(np.uint8),
        "panel_map": rng.integers(-1, len(corrections), (n, _COLUMNS)).astype(np.int16),
        "geometry": geometry,
        "corrections": corrections if rng.random() < 0.7 else corrections[:0],
        "windows_mm": radius.reshape(4, 2),
        "n_eta": 7,  # no multiple of 8: a diagonal on a bin's edge would hang on the last bit
        "n_panels": len(corrections),
        "polarisation": float(rng.choice([2.0, 0.95, -0.3])),
    }


def _peak_errors(arguments: Arguments, outputs: Outputs) -> PerOutput:
    parameters, sigma, chi2, _, _ = outputs
    # Where a fit ended without standard errors its last parameters still come from the same
    # steps: demand nine digits of them.
    sigma = np.where(np.isnan(sigma), 1e-3 * np.abs(parameters), sigma)
    # The fit's own standard errors; those of sigma and chi-square themselves are a fraction
    # 1/sqrt(2 n) of them and sqrt(2 n), for which these serve as well.
    return [sigma, sigma, 1.0 + np.sqrt(2.0 * np.nan_to_num(chi2)), None, None]


@strategy("ring_peaks.fit_ring_peaks", chunk=16, standard_errors=_peak_errors, most=12)
def _bins(rng: np.random.Generator, n: int) -> Arguments:
    """Poisson counts of single and double rings; some bins empty, dark, or with a NaN."""
    x, counts, expected = [], [], np.full((n, 2), np.nan)
    windows, width = np.empty((n, 2)), rng.uniform(0.8e-3, 1.5e-3, n)
    for b in range(n):
        middle = rng.uniform(0.05, 0.3)
        centres = np.array([middle, np.nan])
        windows[b] = middle - 4e-3, middle + 4e-3
        if rng.random() < 0.3:
            centres = middle + np.array([-1.3e-3, 1.1e-3])
        expected[b] = centres + rng.normal(0.0, 1e-4)
        m = int(rng.choice([0, 5, 150, 250], p=[0.05, 0.1, 0.4, 0.45]))
        at = np.sort(rng.uniform(windows[b, 0], windows[b, 1], m))
        model = np.full(m, rng.uniform(5.0, 50.0))
        if rng.random() < 0.9:
            for centre in centres[np.isfinite(centres)]:
                u = (at - centre) / 1.1e-3
                shape = 0.4 / (1.0 + 4.0 * u * u) + 0.6 * np.exp(-4.0 * np.log(2.0) * u * u)
                model = model + rng.uniform(200.0, 2000.0) * shape
        y = rng.poisson(model).astype(np.float64)
        if m and rng.random() < 0.1:
            y[m // 2] = np.nan
        x.append(at)
        counts.append(y)
    offsets = np.concatenate([[0], np.cumsum([len(a) for a in x])]).astype(np.int64)
    points = np.concatenate([*x, np.empty(0)])
    return {
        "x": points,
        "counts": np.concatenate([*counts, np.empty(0)]),
        "response": rng.uniform(0.8, 1.0, len(points)),
        "offsets": offsets,
        "expected": expected,
        "windows": windows,
        "width": width,
        "gain": float(rng.uniform(0.5, 2.0)),
        "variance_floor": float(rng.uniform(0.0, 5.0)),
    }
