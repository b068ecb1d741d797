r"""Points found in photographs at several rotations, fused to one place in space.

A point (s, y, z) of the sample is seen at

.. math:: s_i = s, \qquad t_i = a + y \cos\omega_i + z \sin\omega_i,

with the distance a of the rotation axis from the beam (0 where the beam is on it). Each photograph
gives one (s, t); a sine through them gives the place and its covariance. A point on glare or on
another crystal is an outlier: of all pairs (triples where a is sought) of photographs that one
counts whose place has the smallest median distance to the points (least median of squares); what is
far from it is left out of the fit.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["Centre", "fuse"]

_MOST_FOR_PAIRS = 40
_MEDIAN_OF_RAYLEIGH = math.sqrt(2.0 * math.log(2.0))
_LEAST_VIEW = 0.03  # of the information of an even set of rotations: two 14 degrees apart


@dataclass(frozen=True, eq=False)
class Centre:
    """A place in space, and how well it is known.

    Attributes
    ----------
    centre_um
        (3,) place (s, y, z) in the sample [um], from the point that stands in the beam.
    covariance_um2
        (3, 3) of it; NaN where too few points tell their own deviation and none was given.
    axis_um
        Distance of the rotation axis from the beam, across the spindle.
    axis_deviation_um
        Of it; 0 where it was given.
    sigma_um
        Deviation of a point in each direction: as given, else from the residuals.
    residual_um
        (n, 2) point less place as seen (s, t), each photograph.
    used
        (n,) whether it is of the fit, and no outlier.
    """

    centre_um: F64
    covariance_um2: F64
    axis_um: float
    axis_deviation_um: float
    sigma_um: float
    residual_um: F64
    used: NDArray[np.bool_]

    @property
    def deviation_um(self) -> F64:
        """(3,) standard deviations of the place."""
        return np.asarray(np.sqrt(np.diag(self.covariance_um2)))

    def seen_um(self, omega_rad: ArrayLike) -> F64:
        """(..., 2) where it stands (s, t) [um] at rotations."""
        omega = np.asarray(omega_rad, dtype=np.float64)
        s, y, z = self.centre_um
        t = self.axis_um + y * np.cos(omega) + z * np.sin(omega)
        return np.stack([np.full_like(t, s), t], axis=-1)

    def moves(self, omega_rad: float = 0.0) -> dict[str, float]:
        """Moves that bring it into the beam [um].

        ``along`` the spindle, towards the tip. Then ``sample_y`` and ``sample_z``, of a stage that
        turns with the sample, bring it onto the axis; or, seen at a rotation, ``across`` (down
        where the pin is on the left) and ``depth`` (along the camera's view; across by a quarter
        turn further). ``axis`` is what the axis itself must move across.
        """
        s, y, z = (float(v) for v in self.centre_um)
        c, w = math.cos(omega_rad), math.sin(omega_rad)
        return {
            "along_um": -s, "sample_y_um": -y, "sample_z_um": -z, "across_um": -(y * c + z * w),
            "depth_um": -(z * c - y * w), "axis_um": -self.axis_um,
        }  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "centre_um": self.centre_um, "deviation_um": self.deviation_um,
            "covariance_um2": self.covariance_um2, "axis_um": self.axis_um,
            "axis_deviation_um": self.axis_deviation_um, "sigma_um": self.sigma_um,
            "points": len(self.used), "used": self.used, "residual_um": self.residual_um,
        }  # fmt: skip


def fuse(
    st_um: ArrayLike, omega_rad: ArrayLike, *, sigma_um: float | None = None,
    axis_um: float | None = 0.0, allowed: float = 3.5, near_um: float = 5.0, robust: bool = True,
    most_um: float = math.inf,
) -> Centre:  # fmt: skip
    """Fuse points of several rotations.

    Parameters
    ----------
    st_um, omega_rad
        (n, 2) points and (n,) rotations.
    sigma_um
        Deviation of a point in each direction; None: from the residuals.
    axis_um
        Where the rotation axis is; None: sought, from three rotations or more.
    allowed
        Deviations from which a point is an outlier (3.5: one good point of 450 is).
    near_um
        A point nearer than this is never an outlier, however well the others agree (a quarter of
        a beam of 20 um).
    robust
        Look for outliers; needs four points, five where the axis is sought.
    most_um
        Deviation of the points that are used, by their residuals, beyond which they are taken for
        points of different things.

    Raises
    ------
    ConfigError
        Points that are not finite, too few, at too few rotations or that do not agree; a deviation
        or a limit that is not positive.
    """
    st, omega = np.asarray(st_um, dtype=np.float64), np.asarray(omega_rad, dtype=np.float64)
    st = st.reshape(0, 2) if not st.size else st
    if st.ndim != 2 or st.shape[1:] != (2,) or omega.shape != st.shape[:1]:
        raise ConfigError(f"fusion: points of shape {st.shape} at {omega.size} rotations")
    if not (np.isfinite(st).all() and np.isfinite(omega).all()):
        raise ConfigError("fusion: a point or a rotation is not a finite number")
    if sigma_um is not None and not (math.isfinite(sigma_um) and sigma_um > 0.0):
        raise ConfigError(f"sigma {sigma_um:g} um: expected a positive number", key="sigma_um")
    if not most_um > 0.0:
        raise ConfigError(f"most {most_um:g} um: expected a positive number", key="most_um")
    if not (allowed > 0.0 and near_um >= 0.0):
        raise ConfigError(
            f"allowed {allowed:g} deviations, near {near_um:g} um: expected positive numbers"
        )
    shift = np.zeros(len(st)) if axis_um is None else np.full(len(st), axis_um)
    design = _design(omega, axis_um is None)
    _check_views(design)
    t = st[:, 1] - shift
    used = np.ones(len(st), dtype=bool)
    if robust and len(st) >= design.shape[1] + 2:
        used = _without_outliers(st[:, 0], t, design, sigma_um, allowed, near_um)
    made = _fitted(st, t, design, used, sigma_um, axis_um)
    scatter = _scatter(made.residual_um[used], design.shape[1])
    if scatter > most_um:
        raise ConfigError(
            f"fusion: {int(used.sum())} points lie +- {scatter:.0f} um from one place (allowed "
            f"{most_um:g}): they are of different things", got=scatter,
        )  # fmt: skip
    return made


def _scatter(residual_um: F64, unknown: int) -> float:
    """Deviation of a point in each direction; NaN where too few points tell it."""
    free = residual_um.size - 1 - unknown
    return math.sqrt(float((residual_um**2).sum()) / free) if free > 0 else math.nan


def _design(omega: F64, with_axis: bool) -> F64:
    """(n, 2 or 3): t of a unit of y, z and the axis."""
    columns = [np.cos(omega), np.sin(omega)]
    return np.column_stack([*columns, np.ones(len(omega))] if with_axis else columns)


def _check_views(design: F64) -> None:
    n, unknown = design.shape
    if n < unknown:
        raise ConfigError(f"fusion: {n} points: {unknown} or more are needed", got=n)
    if _weakest(design) < _LEAST_VIEW:
        what = "its depth" if unknown == 2 else "its depth and the axis"
        raise ConfigError(
            f"fusion: the {n} points see the sample from too few sides to tell {what}: add "
            f"rotations about 90 degrees apart"
        )


def _weakest(design: F64) -> float:
    """Least information about any combination of the unknowns, in parts of what is the best."""
    return float(np.linalg.eigvalsh(design.T @ design / len(design))[0]) * 2.0


def _without_outliers(
    s: F64, t: F64, design: F64, sigma_um: float | None, allowed: float, near_um: float
) -> NDArray[np.bool_]:
    n, unknown = design.shape
    some = np.unique(np.linspace(0, n - 1, min(n, _MOST_FOR_PAIRS)).round().astype(int))
    best, used = np.inf, np.ones(n, dtype=bool)
    for rows in itertools.combinations(some.tolist(), unknown):
        few = design[list(rows)]
        if _weakest(few) < _LEAST_VIEW:
            continue
        place = np.linalg.solve(few, t[list(rows)])
        away = np.hypot(s - s[list(rows)].mean(), t - design @ place)
        middle = float(np.median(away))
        if middle < best:
            best, deviations = middle, away
    if not math.isfinite(best):  # no pair sees enough of it
        return used
    # the usual correction for few points (Rousseeuw & Leroy 1987, section 5.2)
    sigma = sigma_um or best / _MEDIAN_OF_RAYLEIGH * (1.0 + 5.0 / (n - unknown + 1))
    used = deviations <= max(allowed * sigma, near_um)
    for _ in range(20):
        if _weakest(design[used]) < _LEAST_VIEW:
            return np.ones(n, dtype=bool)
        place = np.linalg.lstsq(design[used], t[used], rcond=None)[0]
        away = np.hypot(s - s[used].mean(), t - design @ place)
        free = 2 * int(used.sum()) - 1 - unknown
        if sigma_um is None and free > 0:
            sigma = math.sqrt(float((away[used] ** 2).sum()) / free)
        now = away <= max(allowed * sigma, near_um)
        if (now == used).all():
            break
        used = now
    return used


def _fitted(
    st: F64, t: F64, design: F64, used: NDArray[np.bool_], sigma_um: float | None,
    axis_um: float | None,
) -> Centre:  # fmt: skip
    rows = design[used]
    place = np.linalg.lstsq(rows, t[used], rcond=None)[0]
    s = float(st[used, 0].mean())
    residual = np.column_stack([st[:, 0] - s, t - design @ place])
    sigma = _scatter(residual[used], rows.shape[1]) if sigma_um is None else sigma_um
    across = sigma**2 * np.linalg.inv(rows.T @ rows)
    covariance = np.zeros((3, 3))
    covariance[0, 0], covariance[1:, 1:] = sigma**2 / len(rows), across[:2, :2]
    sought = axis_um is None
    axis, away = (float(place[2]), math.sqrt(across[2, 2])) if sought else (axis_um or 0.0, 0.0)
    centre = np.array([s, place[0], place[1]])
    return Centre(centre, covariance, axis, away, sigma, residual, used)
