"""Ring points on a panelled detector without an image: exact places plus noise.

For tests of what comes after the peaks: a thousand points take milliseconds, an image seconds.
"""

from __future__ import annotations

import numpy as np

from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.powder.observations import RingPoints

__all__ = ["ring_points"]

LEAST_SIGMA_RAD = 1e-7
"""Standard uncertainty that points without noise claim: weights stay finite."""


def ring_points(
    truth: TiltedFlat, rings: Rings, sigma_rad: float = 0.0, seed: int = 0, step_deg: float = 2.0
) -> RingPoints:
    """Every ring in every bin of azimuth, where it meets a panel.

    Parameters
    ----------
    truth
        The detector, with its panels.
    rings
        The calibrant's.
    sigma_rad
        Standard deviation of the noise in 2-theta [rad].
    seed
        Of the noise.
    step_deg
        Azimuthal bin [degrees].

    Returns
    -------
    RingPoints
        By ring, then panel, then azimuth; all used.

    Raises
    ------
    ConfigError
        The detector has no panels, or no ring meets one.
    """
    if truth.panel_boxes is None:
        raise ConfigError("ring_points: the detector has no panels")
    rng = np.random.default_rng(seed)
    angle = np.radians(np.arange(-180.0 + 0.5 * step_deg, 180.0, step_deg))
    parts = []
    for k, two_theta in enumerate(rings.two_theta_rad):
        seen = two_theta + sigma_rad * rng.standard_normal(len(angle))
        for i, (f0, s0, f1, s1) in enumerate(truth.panel_boxes):
            here = np.full(len(angle), i, dtype=np.int32)
            f, s = truth.pixel_position(truth.lsd_mm * np.tan(seen), angle, here)
            on = np.flatnonzero((f >= f0) & (f < f1) & (s >= s0) & (s < s1))
            at = np.full(len(on), k), np.full(len(on), i)
            parts.append((*at, on, f[on], s[on], seen[on], angle[on]))
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)]
    ring, panel, eta_bin, fast, slow, two_theta_rad, eta = columns
    n = len(ring)
    if n == 0:
        raise ConfigError("ring_points: no ring meets a panel")
    one = np.ones(n)
    sigma = np.full(n, max(sigma_rad, LEAST_SIGMA_RAD))
    return RingPoints(
        ring, panel, eta_bin, fast, slow, two_theta_rad, eta, sigma, one, 5e-4 * one, 0.5 * one,
        100.0 * one, one, one, np.full(n, 50), np.ones(n, dtype=bool),
    )  # fmt: skip
