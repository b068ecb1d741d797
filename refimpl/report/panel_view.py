"""What the panel part of a report is made of: plain values, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.panel_layout import grid_positions
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.units import DEG, UM

__all__ = ["FIELDS", "SURE", "Field", "PanelView"]

SURE = 2.0
"""A number below so many of its standard uncertainties is shown as uncertain."""
_FIELD_COUNT = 7


@dataclass(frozen=True)
class Field:
    """One kind of panel parameter as published: name for readers, unit, and meaning."""

    name: str
    unit: str
    scale: float
    words: str

    @property
    def caption(self) -> str:
        """Meaning with the unit, for a colour bar."""
        return f"{self.words} ({self.unit})" if self.unit else self.words

    @property
    def label(self) -> str:
        """Name with its unit, as a column's heading shows it."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


FIELDS: dict[str, Field] = {
    "d_fast_px": Field("dY", "px", 1.0, "shift along fast"),
    "d_slow_px": Field("dZ", "px", 1.0, "shift along slow"),
    "d_theta_rad": Field("dTheta", "°", 1.0 / DEG, "turn in the plane"),
    "d_lsd_mm": Field("dLsd", "µm", 1.0 / UM, "height, away from the sample"),
    "d_p2": Field("dP2", "10⁻⁴", 1e4, "radial distortion, added to p2"),
    "tilt_fast_rad": Field("tilt fast", "°", 1.0 / DEG, "tilt about the fast axis"),
    "tilt_slow_rad": Field("tilt slow", "°", 1.0 / DEG, "tilt about the slow axis"),
}
"""Columns of the tables of panel parameters, in the order of the detector's PANEL_FIELDS."""


@dataclass(frozen=True, eq=False)
class PanelView:
    """Refined panels as their report shows them; every array has one row a panel.

    Attributes
    ----------
    boxes
        (p, 4) fast0, slow0, fast1, slow1, half open [px], model frame.
    corrections, sigma
        (p, 7) numbers by :data:`FIELDS` in px, rad, mm, and their standard uncertainties; 0 where
        nothing was refined or the number is held.
    refined
        Names of the fields that were refined.
    held
        (p, 7) True where a field that was refined on other panels is held on this one.
    reasons
        One sentence a held panel or parameter.
    points
        (p,) ring points used.
    strain, strain_before
        (p,) mean |strain| of them, and the same at the best single surface; NaN without points.
    gauge
        One sentence a constraint that keeps the panels apart from the global parameters.
    priors
        Field to the standard deviation of its prior about 0, in px, rad, mm.
    global_names
        (g,) global parameters of the same fit.
    correlation_names, correlation
        (k,) ``lsd_mm`` or ``3.d_fast_px``, and (k, k).
    """

    boxes: I64
    corrections: F64
    sigma: F64
    refined: Sequence[str]
    held: NDArray[np.bool_]
    reasons: Sequence[str]
    points: I64
    strain: F64
    strain_before: F64
    gauge: Sequence[str]
    priors: Mapping[str, float]
    global_names: Sequence[str]
    correlation_names: Sequence[str]
    correlation: F64

    def __post_init__(self) -> None:
        p, k = len(self.boxes), len(self.correlation_names)
        wanted = {
            "boxes": (p, 4),
            **dict.fromkeys(("corrections", "sigma", "held"), (p, _FIELD_COUNT)),
            **dict.fromkeys(("points", "strain", "strain_before"), (p,)),
            "correlation": (k, k),
        }
        for name, shape in wanted.items():
            if np.shape(getattr(self, name)) != shape:
                raise ConfigError(
                    f"PanelView.{name} has shape {np.shape(getattr(self, name))}: expected {shape}"
                )
        unknown = [name for name in (*self.refined, *self.priors) if name not in FIELDS]
        if unknown:
            raise ConfigError(
                f"PanelView: unknown field {unknown[0]!r}: expected one of {', '.join(FIELDS)}"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def centres(self) -> F64:
        """(p, 2) middle of each box along fast and slow [px]."""
        return 0.5 * (self.boxes[:, :2] + self.boxes[:, 2:]).astype(np.float64)

    @cached_property
    def grid(self) -> I64 | None:
        """(p, 2) iY and iZ of panels that form a grid, else None."""
        return grid_positions(self.boxes)

    @property
    def shown(self) -> tuple[str, ...]:
        """Fields that say something: refined, or given and not all zero."""
        return tuple(
            name
            for j, name in enumerate(FIELDS)
            if name in self.refined or np.any(self.corrections[:, j] != 0.0)
        )

    @property
    def lost(self) -> NDArray[np.bool_]:
        """(p,) panels on which everything that was refined elsewhere is held."""
        mine = [j for j, name in enumerate(FIELDS) if name in self.refined]
        held = np.asarray(self.held, dtype=bool)[:, mine]
        return np.all(held, axis=1) if mine else np.zeros(len(self), dtype=bool)

    def values(self, field: str) -> tuple[F64, F64]:
        """(p,) values and standard uncertainties of a field, in the unit that readers see."""
        j, scale = list(FIELDS).index(field), FIELDS[field].scale
        return self.corrections[:, j] * scale, self.sigma[:, j] * scale

    def held_in(self, field: str) -> NDArray[np.bool_]:
        """(p,) panels on which the field is held."""
        return np.asarray(self.held, dtype=bool)[:, list(FIELDS).index(field)]

    def sure(self, field: str) -> NDArray[np.bool_]:
        """(p,) whether the number is at least :data:`SURE` of its standard uncertainties.

        What was given rather than refined counts as sure, what is held does not.
        """
        value, sigma = self.values(field)
        if field not in self.refined:
            return np.ones(len(self), dtype=bool)
        known = np.isfinite(sigma) & (sigma > 0.0)
        return known & ~self.held_in(field) & (np.abs(value) >= SURE * np.where(known, sigma, 0.0))

    @property
    def shift_px(self) -> F64:
        """(p,) length of the shift in the plane."""
        return np.hypot(self.corrections[:, 0], self.corrections[:, 1])

    @cached_property
    def shift_covariance(self) -> F64:
        """(p, 2, 2) covariance of dY and dZ [px²]; the correlation is 0 where it is not known."""
        out = np.zeros((len(self), 2, 2))
        out[:, 0, 0], out[:, 1, 1] = self.sigma[:, 0] ** 2, self.sigma[:, 1] ** 2
        place = {name: i for i, name in enumerate(self.correlation_names)}
        for i in range(len(self)):
            a, b = place.get(f"{i}.d_fast_px"), place.get(f"{i}.d_slow_px")
            if a is not None and b is not None and np.isfinite(self.correlation[a, b]):
                both = self.correlation[a, b] * self.sigma[i, 0] * self.sigma[i, 1]
                out[i, 0, 1] = out[i, 1, 0] = both
        return out

    def _along(self, direction: F64) -> tuple[F64, F64]:
        """(p,) component of the shift along (p, 2) unit vectors, and its uncertainty [px]."""
        value = np.einsum("pi,pi->p", direction, self.corrections[:, :2])
        variance = np.einsum("pi,pij,pj->p", direction, self.shift_covariance, direction)
        return value, np.sqrt(np.maximum(variance, 0.0))

    @property
    def shift_sigma_px(self) -> F64:
        """(p,) standard uncertainty of the shift's length, by its direction."""
        size = self.shift_px
        along = np.where(size[:, None] > 0.0, self.corrections[:, :2], 1.0)
        return self._along(along / np.linalg.norm(along, axis=1)[:, None])[1]

    def polar_shift(self, beam_px: tuple[float, float]) -> tuple[F64, F64, F64, F64]:
        """Shift away from the beam and around it, each with its standard uncertainty.

        Rings of a calibrant determine the first far better than the second.

        Parameters
        ----------
        beam_px
            Beam centre (fast, slow).

        Returns
        -------
        Four (p,) arrays [px]: outwards, its uncertainty, around (from slow towards fast, as eta
        runs), its uncertainty.
        """
        out = self.centres - np.asarray(beam_px, dtype=np.float64)
        length = np.linalg.norm(out, axis=1)[:, None]
        out = np.where(length > 0.0, out / np.where(length > 0.0, length, 1.0), [0.0, 1.0])
        around = np.stack([out[:, 1], -out[:, 0]], axis=1)
        return (*self._along(out), *self._along(around))

    @property
    def shift_sure(self) -> NDArray[np.bool_]:
        """(p,) whether no shift at all lies outside :data:`SURE` standard deviations of it.

        The ellipse of so many deviations about the shift then leaves out zero: the Mahalanobis
        distance, over the axes along which the shift was refined.
        """
        if not {"d_fast_px", "d_slow_px"} & set(self.refined):
            return np.ones(len(self), dtype=bool)
        # What is not known has no variance here, and so is never sure.
        finite = np.where(np.isfinite(self.shift_covariance), self.shift_covariance, 0.0)
        variance, axes = np.linalg.eigh(finite)
        along = np.einsum("pji,pj->pi", axes, self.corrections[:, :2])
        free = variance > 0.0
        squares = np.where(free, along**2 / np.where(free, variance, 1.0), 0.0)
        return ~self.shift_held & (squares.sum(axis=1) >= SURE**2)

    @property
    def shift_held(self) -> NDArray[np.bool_]:
        """(p,) panels whose shift is held along every axis that was refined."""
        mine = [f for f in ("d_fast_px", "d_slow_px") if f in self.refined]
        if not mine:
            return np.zeros(len(self), dtype=bool)
        return np.all([self.held_in(f) for f in mine], axis=0)

    def place(self, index: int) -> str:
        """Where a panel is: ``iY, iZ`` in a grid, else its centre in px."""
        if self.grid is not None:
            return f"{self.grid[index, 0]}, {self.grid[index, 1]}"
        return f"{self.centres[index, 0]:.0f}, {self.centres[index, 1]:.0f}"

    def blocks(self) -> Iterator[tuple[str, list[int]]]:
        """Rows of the correlations by kind: global first, then field by field, by panel."""
        kinds: dict[str, list[tuple[int, int]]] = {"global": [], **{name: [] for name in FIELDS}}
        for row, name in enumerate(self.correlation_names):
            panel, _, field = str(name).partition(".")
            inside = panel.isdigit() and field in FIELDS
            kinds[field if inside else "global"].append((int(panel) if inside else row, row))
        for kind, rows in kinds.items():
            if rows:
                label = FIELDS[kind].name if kind in FIELDS else kind
                yield label, [row for _, row in sorted(rows)]
