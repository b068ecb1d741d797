r"""A simulated crystal: a bevelled convex plate, and the reflection counts it gives.

The crystal is the convex hull of a girdle, a convex polygon in the plane of the loop, and of a
smaller copy of it above and below. Its count at a point of a view is

.. math:: N(s, t) = 1.5 + q\, \frac{(T_\omega * G)(s, t)}{\max (T_0 * G)},
          \qquad T_\omega \propto \sqrt{d_\omega(s, t)},

with the distance :math:`d_\omega` to the edge of the silhouette, the profile :math:`G` of the beam
(Gaussian, 20 um FWHM) and the quality q: the count above background at the best point of the
crystal face on. :math:`T_\omega` is scaled to the same volume at every omega: where a plate looks
narrow, the beam goes through more of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["BACKGROUND", "BEAM_FWHM_UM", "Crystal", "RcField", "random_crystal", "rc_field"]

BACKGROUND = 1.5
"""Expected count without a crystal."""

BEAM_FWHM_UM = 20.0
"""Width of the beam (thesis: 20 um)."""

STEP_UM = 1.0
_SIGMA_PER_FWHM = 1.0 / math.sqrt(8.0 * math.log(2.0))
_REACH = 5.0
_QUALITY = (120.0, 2500.0)


@dataclass(frozen=True, eq=False)
class Crystal:
    """A bevelled plate.

    Attributes
    ----------
    centre_um
        (3,) middle, sample frame.
    girdle_um
        (n, 2) corners x, y of the widest section about the middle, in order.
    face_scale
        Size of the top and bottom faces in parts of the girdle.
    thickness_um
        Distance of the two faces.
    quality
        Count above background at the best point, face on.
    """

    centre_um: F64
    girdle_um: F64
    face_scale: float
    thickness_um: float
    quality: float

    def corners_um(self) -> F64:
        """(3 n, 3) corners in the sample: girdle, bottom face (-z), top face (+z)."""
        n = len(self.girdle_um)
        small = self.face_scale * self.girdle_um
        half = np.full(n, self.thickness_um / 2.0)
        layers = [
            np.column_stack([self.girdle_um, np.zeros(n)]),
            np.column_stack([small, -half]),
            np.column_stack([small, half]),
        ]
        return np.concatenate(layers) + self.centre_um

    def silhouette_um(self, omega_rad: float) -> F64:
        """(m, 2) corners (s, t) of the outline at a rotation, in order."""
        return _silhouette(self, float(omega_rad))

    def inside_um(self, st_um: F64, omega_rad: float) -> F64:
        """(...) distance to the outline [um], positive inside."""
        return _depth(st_um, self.silhouette_um(omega_rad))


@dataclass(frozen=True, eq=False)
class RcField:
    """Expected count above background of one crystal on a grid of (s, t).

    Attributes
    ----------
    start_um
        (2,) (s, t) of the first node.
    above
        (nt, ns) count above background at nodes ``STEP_UM`` apart.
    """

    start_um: F64
    above: F64

    def at(self, st_um: F64) -> F64:
        """(...) expected count above background at points (..., 2) [um]; bilinear, 0 outside."""
        from scipy.ndimage import map_coordinates

        node = ((st_um - self.start_um) / STEP_UM).reshape(-1, 2)
        values = map_coordinates(self.above, [node[:, 1], node[:, 0]], order=1, mode="constant")
        return np.asarray(values.reshape(st_um.shape[:-1]))


def random_crystal(rng: Generator, room_um: tuple[float, float], outside: bool = False) -> Crystal:
    """Make a crystal in a loop of the half axes ``room_um``; ``outside``: on its rim or beyond."""
    size = float(np.clip(rng.lognormal(math.log(45.0), 0.35), 18.0, 0.6 * min(room_um)))
    aspect = rng.uniform(0.4, 1.0)
    n = int(rng.integers(4, 9))
    angle = (np.arange(n) + rng.uniform(-0.3, 0.3, n)) * 2.0 * math.pi / n
    turn = rng.uniform(0.0, math.pi)
    oval = np.column_stack([size * np.cos(angle), aspect * size * np.sin(angle)])
    c, s = math.cos(turn), math.sin(turn)
    girdle = oval @ np.array([[c, s], [-s, c]])
    radius = rng.uniform(0.85, 1.15) if outside else 0.85 * math.sqrt(rng.random())
    direction = rng.uniform(0.0, 2.0 * math.pi)
    left = np.array(room_um) - (0.0 if outside else 0.7 * size)
    x, y = radius * left * np.array([math.cos(direction), math.sin(direction)])
    return Crystal(
        centre_um=np.array([x, y, rng.normal(0.0, 6.0)]),
        girdle_um=girdle - girdle.mean(axis=0),
        face_scale=float(rng.uniform(0.45, 0.85)),
        thickness_um=float(size * aspect * rng.uniform(0.5, 1.4)),
        quality=_quality(rng),
    )


def _quality(rng: Generator) -> float:
    """Log-normal, 95 % of it between the bounds; what falls outside is drawn again."""
    low, high = (math.log(v) for v in _QUALITY)
    while True:
        value = rng.normal((low + high) / 2.0, (high - low) / 4.0)
        if low <= value <= high:
            return math.exp(value)


def rc_field(crystal: Crystal, omega_rad: float, beam_fwhm_um: float = BEAM_FWHM_UM) -> RcField:
    """Expected count above background of a crystal at a rotation.

    Raises
    ------
    ConfigError
        A beam without width.
    """
    if not (math.isfinite(beam_fwhm_um) and beam_fwhm_um > 0.0):
        raise ConfigError(f"beam of {beam_fwhm_um} um: expected a width", key="beam_fwhm_um")
    return _field(crystal, float(omega_rad), float(beam_fwhm_um))


@lru_cache(maxsize=64)
def _field(crystal: Crystal, omega_rad: float, beam_fwhm_um: float) -> RcField:
    start, hit = _hit_volume(crystal, omega_rad, beam_fwhm_um)
    above = crystal.quality / _best_face_on(crystal, beam_fwhm_um) * hit
    above.flags.writeable = False
    return RcField(start, above)


@lru_cache(maxsize=64)
def _best_face_on(crystal: Crystal, beam_fwhm_um: float) -> float:
    return float(_hit_volume(crystal, 0.0, beam_fwhm_um)[1].max())


@lru_cache(maxsize=256)
def _silhouette(crystal: Crystal, omega_rad: float) -> F64:
    from scipy.spatial import ConvexHull

    p = crystal.corners_um()
    flat = np.column_stack([p[:, 0], math.cos(omega_rad) * p[:, 1] + math.sin(omega_rad) * p[:, 2]])
    outline = np.asarray(flat[ConvexHull(flat).vertices])
    outline.flags.writeable = False
    return outline


def _depth(st_um: F64, outline_um: F64) -> F64:
    """Signed distance to the nearest edge of a convex outline: inside it, that to the outline."""
    ahead = np.roll(outline_um, -1, axis=0) - outline_um
    inward = np.column_stack([-ahead[:, 1], ahead[:, 0]])  # the hull runs from s to t
    inward /= np.hypot(inward[:, :1], inward[:, 1:])
    depth = np.full(st_um.shape[:-1], np.inf)
    for normal, corner in zip(inward, outline_um, strict=True):
        away = normal[0] * st_um[..., 0] + (normal[1] * st_um[..., 1] - normal @ corner)
        np.minimum(depth, away, out=depth)
    return depth


def _hit_volume(crystal: Crystal, omega_rad: float, beam_fwhm_um: float) -> tuple[F64, F64]:
    """First node, and the part of the crystal's volume in the beam per um^2, node by node."""
    from scipy.ndimage import gaussian_filter

    sigma = beam_fwhm_um * _SIGMA_PER_FWHM
    outline = crystal.silhouette_um(omega_rad)
    margin = _REACH * sigma + 2.0 * STEP_UM
    # nodes on one lattice of the plane, so that a map does not depend on where its crystal ends
    start = np.floor((outline.min(axis=0) - margin) / STEP_UM) * STEP_UM
    count = np.ceil((outline.max(axis=0) + margin - start) / STEP_UM).astype(int) + 1
    s, t = (start[k] + STEP_UM * np.arange(count[k]) for k in (0, 1))
    nodes = np.stack(np.meshgrid(s, t), axis=-1)
    thickness = np.sqrt(np.maximum(_depth(nodes, outline), 0.0))
    thickness /= thickness.sum() * STEP_UM**2
    return start, gaussian_filter(thickness, sigma / STEP_UM, mode="constant", truncate=_REACH)
