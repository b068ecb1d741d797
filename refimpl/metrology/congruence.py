r"""How well two detectors agree, panel by panel: the congruence.

For every panel: the offset of its centre along its own fast, slow and normal, and the rotation
vector between the two along the same, from the first detector to the second. A common move of the
whole may be taken out first (weighted least squares over the panels' centres and axes). The means
are weighted, by reflections as a rule. After ``cspad.detector_congruence`` of cctbx.xfel (Brewster
et al., Acta Cryst. D74 (2018) 877).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.hierarchy import Hierarchy, axes_of
from refimpl.errors import GeometryError
from refimpl.frames import F64
from refimpl.rotations import rotation_vector

__all__ = ["Congruence", "best_motion", "congruence"]


@dataclass(frozen=True, eq=False)
class Congruence:
    """Differences of two detectors.

    Attributes
    ----------
    offset
        (p, 3) of the centres along fast, slow, normal [mm].
    turn
        (p, 3) rotation vectors about fast, slow, normal [mrad].
    weight
        (p,) of the panels in the means.
    """

    offset: F64
    turn: F64
    weight: F64

    def _rms(self, values: F64) -> float:
        return float(np.sqrt(np.average(values**2, weights=self.weight)))

    @property
    def in_plane(self) -> float:
        """Weighted root mean square distance of the centres within the panels' planes [mm]."""
        return self._rms(np.hypot(self.offset[:, 0], self.offset[:, 1]))

    @property
    def normal(self) -> float:
        """Weighted root mean square offset along the normals [mm]."""
        return self._rms(self.offset[:, 2])

    @property
    def about_normal(self) -> float:
        """Weighted root mean square rotation about the normals [mrad]."""
        return self._rms(self.turn[:, 2])

    @property
    def tilt(self) -> float:
        """Weighted root mean square tilt, about fast and slow together [mrad]."""
        return self._rms(np.hypot(self.turn[:, 0], self.turn[:, 1]))

    def summary(self) -> dict[str, float]:
        """JSON-ready figures."""
        return {
            "panels": int(np.count_nonzero(self.weight)),
            "in_plane_mm": self.in_plane,
            "normal_mm": self.normal,
            "about_normal_mrad": self.about_normal,
            "tilt_mrad": self.tilt,
        }

    def sentence(self) -> str:
        """All four, and the number of panels that count."""
        return (
            f"{int(np.count_nonzero(self.weight))} panels: in the plane "
            f"{1e3 * self.in_plane:.2f} µm, "
            f"along the normal {1e3 * self.normal:.2f} µm, rotation about the normal "
            f"{self.about_normal:.4f} mrad, tilt {self.tilt:.4f} mrad (weighted r.m.s.)"
        )


def congruence(
    first: Hierarchy,
    second: Hierarchy,
    weight: NDArray[np.generic] | None = None,
    *,
    aligned: bool = False,
) -> Congruence:
    """Differences of two detectors of the same panels.

    Parameters
    ----------
    first, second
        Detectors.
    weight
        (p,) not negative; default: all panels alike.
    aligned
        Take out the common move of the whole.

    Raises
    ------
    GeometryError
        Other numbers or sizes of panels, or weights of which none is positive.

    Examples
    --------
    >>> from refimpl import metrology
    >>> from refimpl.testing.rotation_case import panel_grid
    >>> one = panel_grid((2, 2))
    >>> moved = one.with_d(one.d + [[0.0, 0.0, 0.01], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> round(metrology.congruence(one, moved).in_plane, 9)
    0.01
    >>> round(metrology.congruence(one, moved, aligned=True).in_plane, 9)
    0.0
    """
    same_panels(first, second)
    p = len(first)
    w = np.ones(p) if weight is None else np.asarray(weight, dtype=np.float64)
    if w.shape != (p,) or np.any(w < 0.0) or not np.any(w > 0.0):
        raise GeometryError(
            f"congruence: weights of shape {w.shape}: expected {p}, none negative and one positive"
        )
    (c1, f1), (c2, f2) = centres_and_frames(first), centres_and_frames(second)
    if aligned:
        turn, shift = best_motion(c2, c1, w)
        c2, f2 = c2 @ turn.T + shift, np.einsum("ij,pjk->pik", turn, f2)
    offset = np.einsum("pki,pk->pi", f1, c2 - c1)
    spin = np.einsum("pik,pjk->pij", f2, f1)
    vectors = np.einsum("pki,pk->pi", f1, np.array([rotation_vector(turn) for turn in spin]))
    return Congruence(offset, 1e3 * vectors, w)


def same_panels(first: Hierarchy, second: Hierarchy) -> None:
    """Refuse detectors that are not of the same panels."""
    if len(first) != len(second):
        raise GeometryError(f"detectors of {len(first)} and {len(second)} panels: expected equal")
    for k, (a, b) in enumerate(zip(first.modules, second.modules, strict=True)):
        if a.size_px != b.size_px or not np.allclose(a.pixel_size_mm, b.pixel_size_mm):
            raise GeometryError(
                f"panel {k}: {a.size_px} pixels of {a.pixel_size_mm} mm in one detector, "
                f"{b.size_px} of {b.pixel_size_mm} in the other"
            )


def centres_and_frames(detector: Hierarchy) -> tuple[F64, F64]:
    """(p, 3) centres [mm] and (p, 3, 3) columns fast, slow, normal of the panels."""
    d = detector.d
    return detector.centres(d), axes_of(d)


def best_motion(points: F64, onto: F64, weight: F64) -> tuple[F64, F64]:
    """Rotation (3, 3) and shift (3,) that bring points (n, 3) closest to others.

    Source: W. Kabsch, Acta Cryst. A32 (1976) 922.
    """
    w = weight / weight.sum()
    a, b = w @ points, w @ onto
    left, _, right = np.linalg.svd((onto - b).T @ (w[:, None] * (points - a)))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    turn = left @ sign @ right
    return np.asarray(turn), np.asarray(b - turn @ a)
