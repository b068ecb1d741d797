"""Arguments for the pairs of :mod:`refimpl.forward.rotation`."""

from __future__ import annotations

import numpy as np

from refimpl.testing.strategies import Arguments, strategy

__all__: list[str] = []


def _reflections(rng: np.random.Generator, n: int) -> Arguments:
    """Random lattice points within twice the sphere, some never seen; panels all around."""
    s0 = rng.normal(size=3)
    s0 = s0 / np.sqrt(s0 @ s0) * rng.uniform(0.5, 2.0)
    axis = np.cross(s0, rng.normal(size=3))
    axis = axis / np.sqrt(axis @ axis)
    d = rng.normal(size=(4, 3, 3)) * np.array([1.0, 1.0, 200.0])
    return {
        "p0": rng.normal(size=(n, 3)) * 0.5,
        "panel": rng.integers(0, 4, n).astype(np.int32),
        "entering": rng.integers(0, 2, n).astype(np.uint8),
        "phi_near": rng.uniform(-10.0, 10.0, n),
        "s0": s0,
        "axis": axis,
        "inverse_d": np.linalg.inv(d),
    }


@strategy("rotation.predict_rotation", chunk=5000)
def _predict(rng: np.random.Generator, n: int) -> Arguments:
    return _reflections(rng, n)


@strategy("rotation.rotation_jacobian", chunk=5000)
def _jacobian(rng: np.random.Generator, n: int) -> Arguments:
    return _reflections(rng, n) | {
        "hkl": rng.integers(-20, 20, (n, 3)).astype(np.float64),
        "crystal": rng.normal(size=(5, 3, 3)) * 1e-4,
        "beam": rng.normal(size=(3, 3)) * 1e-3,
        "detector": rng.normal(size=(4, 6, 3, 3)) * 1e-3,
    }
