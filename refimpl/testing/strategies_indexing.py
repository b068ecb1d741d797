"""Arguments for the pairs of :mod:`refimpl.metrology.indexing`."""

from __future__ import annotations

import numpy as np

from refimpl.testing.strategies import Arguments, strategy

__all__: list[str] = []


@strategy("cosine_sums.cosine_sums", chunk=256)  # points in a partial sum
def _lattice_points(rng: np.random.Generator, n: int) -> Arguments:
    """Points of a lattice with noise, and lattice vectors among random ones; two blocks of 64."""
    basis = rng.normal(size=(3, 3)) * 40.0
    points = rng.integers(-20, 21, (n, 3)) @ np.linalg.inv(basis).T
    vectors = np.concatenate([basis, rng.normal(size=(62, 3)) * 60.0])
    return {"points": points + rng.normal(0.0, 1e-4, (n, 3)), "vectors": vectors}
