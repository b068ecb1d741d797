"""Scans of a simulated sample: what the beam meets, point by point, and the counts of the detector.

As in the thesis: helical scans, a line through crystal and background, give alike pictures of
unlike counts; rotational scans of a centred crystal give unlike pictures of high counts. A mesh is
a raster of one view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from refimpl.centring.simulate_scene import Scene
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["SCANS", "Scan", "helical_scan", "mesh_scan", "rotational_scan"]

SCANS = ("helical", "rotational", "mesh")
"""Kinds of scans."""


@dataclass(frozen=True, eq=False)
class Scan:
    """Shots one after the other.

    Attributes
    ----------
    kind
        One of ``SCANS``.
    at_um
        (n, 3) point of the sample that stands in the beam and in the middle of the picture.
    omega_rad
        (n,) rotation.
    expected
        (n,) expected count.
    rc
        (n,) counts, Poisson of it.
    grid
        Rows (across the spindle) and columns (along it) of a mesh, else None.
    """

    kind: str
    at_um: F64
    omega_rad: F64
    expected: F64
    rc: I64
    grid: tuple[int, int] | None = None

    def __len__(self) -> int:
        """Count the shots."""
        return len(self.rc)

    def between(self, part: F64) -> tuple[F64, F64]:
        """Stage positions (m, 3) and rotations (m,) between the shots.

        Parameters
        ----------
        part
            (m,) shots since the first one; beyond the last, that of the last.
        """
        at = np.stack([np.interp(part, np.arange(len(self)), a) for a in self.at_um.T], axis=-1)
        return at, np.interp(part, np.arange(len(self)), self.omega_rad)


def helical_scan(
    scene: Scene, n: int = 100, *, omega_rad: float = 0.0, turn_rad: float = 0.0,
    length_um: float | None = None, seed: int = 0,
) -> Scan:  # fmt: skip
    """Scan along a line through the crystal and the background on both sides.

    Parameters
    ----------
    n
        Shots.
    omega_rad, turn_rad
        First rotation, and by how much it turns until the last shot.
    length_um
        Length of the line; None: 100 to 160 um beyond the crystal at both ends.
    seed
        Of the line's direction and place and of the counts.
    """
    rng = _random(scene, 1, seed, n)
    middle, size = _target(scene)
    half = size + rng.uniform(100.0, 160.0) if length_um is None else length_um / 2.0
    direction = rng.uniform(-0.6, 0.6) + (math.pi if rng.random() < 0.5 else 0.0)
    beside = rng.normal(0.0, 0.25 * size)
    c, s = math.cos(direction), math.sin(direction)
    w, v = math.cos(omega_rad), math.sin(omega_rad)
    along = np.linspace(-half, half, n)
    x, t = c * along - s * beside, s * along + c * beside
    at = middle + np.column_stack([x, t * w, t * v])
    return _measured(scene, "helical", at, omega_rad + np.linspace(0.0, turn_rad, n), rng)


def rotational_scan(
    scene: Scene, n: int = 100, *, turn_rad: float = 2.0 * math.pi, omega_rad: float = 0.0,
    miss_um: float = 5.0, seed: int = 0,
) -> Scan:  # fmt: skip
    """Turn the crystal in the beam; ``miss_um``: deviation of its centring, each direction."""
    rng = _random(scene, 2, seed, n)
    middle, _ = _target(scene)
    at = np.tile(middle + rng.normal(0.0, miss_um, 3), (n, 1))
    return _measured(scene, "rotational", at, omega_rad + turn_rad * np.arange(n) / n, rng)


def mesh_scan(
    scene: Scene, *, omega_rad: float = 0.0, step_um: float = 20.0,
    grid: tuple[int, int] | None = None, seed: int = 0,
) -> Scan:  # fmt: skip
    """Raster of a view about the middle of the loop, row by row, each from the pin to the tip.

    Parameters
    ----------
    step_um
        Distance of the shots.
    grid
        Rows and columns; None: the loop and one step more at each side.
    """
    if not step_um > 0.0:
        raise ConfigError(f"step_um {step_um}: expected more than 0", key="step_um", got=step_um)
    a, b = scene.mount.half_um
    if grid is None:
        tall = b * max(scene.mount.flattened(omega_rad, thick=True), 0.25)
        grid = (2 * math.ceil(tall / step_um) + 3, 2 * math.ceil(a / step_um) + 3)
    if min(grid) < 1:
        raise ConfigError(f"grid {grid}: expected 1 or more rows and columns", key="grid")
    rng = _random(scene, 3, seed, grid[0] * grid[1])
    t, x = np.meshgrid(*((np.arange(k) - (k - 1) / 2.0) * step_um for k in grid), indexing="ij")
    flat = t.ravel()
    away = [x.ravel(), flat * math.cos(omega_rad), flat * math.sin(omega_rad)]
    at = scene.mount.offset_um + np.column_stack(away)
    return _measured(scene, "mesh", at, np.full(len(flat), omega_rad), rng, grid)


def _random(scene: Scene, kind: int, seed: int, n: int) -> Generator:
    if n < 1 or seed < 0:
        raise ConfigError(f"scan of {n} shots, seed {seed}: expected 1 or more, 0 or more", key="n")
    return Generator(PCG64(SeedSequence([4, scene.seed, kind, seed])))


def _target(scene: Scene) -> tuple[F64, float]:
    """Middle [um] and half size [um] of the first crystal, or of an empty loop."""
    if not scene.crystals:
        return scene.mount.offset_um, 0.5 * scene.mount.half_um[1]
    crystal = scene.crystals[0]
    return crystal.centre_um, float(np.hypot(*crystal.girdle_um.T).max())


def _measured(
    scene: Scene, kind: str, at_um: F64, omega_rad: F64, rng: Generator,
    grid: tuple[int, int] | None = None,
) -> Scan:  # fmt: skip
    across = np.cos(omega_rad) * at_um[:, 1] + np.sin(omega_rad) * at_um[:, 2]
    st = np.column_stack([at_um[:, 0], across])
    expected = np.empty(len(st))
    for omega in np.unique(omega_rad):  # a count map is made once a rotation
        rows = omega_rad == omega
        expected[rows] = scene.rc_um(st[rows], float(omega))
    return Scan(kind, at_um, omega_rad, expected, rng.poisson(expected).astype(np.int64), grid)
