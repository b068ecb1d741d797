"""A simulated near-field map of four grains, for the tests of what finds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.cell import b_matrix
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import NearfieldDetector, OmegaScan, Reflections, Setup
from refimpl.forward.nearfield_stack import simulate_stack
from refimpl.frames import F64
from refimpl.nearfield.fit_settings import SearchSettings
from refimpl.nearfield.grid import hex_grid
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.refine import turned
from refimpl.nearfield.seeds import random_seeds
from refimpl.rotations import matrix_of_euler, matrix_of_quaternion, quaternion_of_matrix
from refimpl.units import DEG

CELL = (4.08, 4.08, 4.08, 90.0, 90.0, 90.0)
GROUP = operators(225)
PLAIN = SearchSettings()


def small_setup() -> Setup:
    """512 x 512 px of 5 um, 360 frames of half a degree, two distances, gold."""
    hkl = np.array(list(np.ndindex(7, 7, 7)), dtype=np.int32) - 3
    parity = hkl % 2
    hkl = hkl[(parity == parity[:, :1]).all(axis=1) & hkl.any(axis=1)]
    g = hkl @ b_matrix(CELL).T
    theta = np.arcsin(0.5 * 0.173 * np.sqrt((g * g).sum(axis=1)))
    order = np.argsort(theta, kind="stable")
    hkl, g, theta = hkl[order], np.ascontiguousarray(g[order]), theta[order]
    ring = 1 + np.cumsum(np.diff(theta, prepend=theta[0]) > 1e-6)
    detector = NearfieldDetector(
        [8.3, 10.3], [[256.3, 5.2], [255.1, 7.9]], [0.009, 0.01, -0.008], 0.005, (512, 512)
    )
    box = np.array([[-1.2, 1.2, 0.1, 2.4]])
    scan = OmegaScan(np.pi / 2, -0.5 * DEG, 360, [[-np.pi / 2, np.pi / 2]], box, 6.0 * DEG)
    return Setup(detector, scan, Reflections(hkl, g, theta, ring), 0.173, 225, CELL)


def of_rings(setup: Setup, rings: tuple[int, ...]) -> Setup:
    """The same with the reflections of some rings."""
    r = setup.reflections
    keep = np.isin(r.ring, rings)
    return setup.changed(
        reflections=Reflections(r.hkl[keep], r.g[keep], r.theta_rad[keep], r.ring[keep])
    )


class Case:
    """A simulated map of four grains."""

    def __init__(self) -> None:
        self.setup = small_setup()
        self.voxels = hex_grid(0.010, 0.030)
        self.vertices = self.voxels.vertices()
        centres = np.array([[0.015, 0.012], [-0.02, 0.01], [0.0, -0.02], [0.02, -0.02]])
        far = ((self.voxels.xy_mm[:, None] - centres) ** 2).sum(axis=2)
        self.grain: NDArray[np.int64] = far.argmin(axis=1)
        self.inner = np.diff(np.sort(np.sqrt(far), axis=1)[:, :2], axis=1)[:, 0] > 0.012
        self.grains = random_seeds(4, GROUP, 3)
        self.u = matrix_of_quaternion(self.grains)[self.grain]
        pixels = simulate_stack(self.setup, self.voxels, self.u).pixels()
        shape = (2, 360, 512, 512)
        self.lit = LitPixels.from_hits(pixels, shape)
        off = np.random.default_rng(1).normal(size=(4, 3)) * 0.1 * DEG
        self.seed_matrices = turned(matrix_of_quaternion(self.grains), off)
        self.seeds = quaternion_of_matrix(self.seed_matrices)

    def errors_deg(self, euler_rad: F64, rows: Any = slice(None)) -> F64:
        q = quaternion_of_matrix(matrix_of_euler(np.nan_to_num(euler_rad)))
        return misorientation(q, quaternion_of_matrix(self.u[rows]), GROUP) / DEG


def same(a: NearfieldMap, b: NearfieldMap) -> None:
    """Bit-identical but for the number of evaluations of nothing."""
    for name in (
        "euler_rad", "confidence", "by_distance", "seed", "n_kept", "evaluations",
        "solutions_euler_rad", "solutions_confidence", "disputed",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
