"""Arguments for the pairs of :mod:`refimpl.forward.powder_image`."""

from __future__ import annotations

import numpy as np

from refimpl.testing.strategies import Arguments, strategy

__all__: list[str] = []


@strategy("powder_image.expected_counts", chunk=683)  # 2048 values at the three nodes used here
def _lines(rng: np.random.Generator, n: int) -> Arguments:
    rings = 5
    centres = np.sort(rng.uniform(0.02, 0.4, rings))
    fwhm = rng.uniform(2e-4, 3e-3, rings)
    # half the angles within a line, where the Gaussian counts, the others anywhere
    near = centres[rng.integers(0, rings, (3, n))] + rng.normal(0.0, 1e-3, (3, n))
    angles = np.where(rng.random((3, n)) < 0.5, near, rng.uniform(0.0, 0.5, (3, n)))
    weight = rng.uniform(0.1, 1.0, 3)
    return {
        "two_theta_rad": angles,
        "weight": weight / weight.sum(),
        "centre_rad": centres,
        "fwhm_rad": fwhm,
        "mixing": rng.uniform(0.05, 0.95, rings),
        "crest": rng.uniform(10.0, 3e4, rings),
    }
