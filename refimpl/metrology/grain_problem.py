r"""The residuals of spots of grains, and their normal equations.

Parameters, in order: chi (a turn of the setting: axis and sample alike); six of each housing (a
rigid body of panels); twelve of each grain; and for each panel six of its own and the coefficients
of its displacement table. What a panel does by itself is a deviation from a housing in which it
sits as given and is undistorted; Gaussian priors about 0 keep a housing and its panels from saying
the same twice.

The table is subtracted from measured positions, as the offset tables of files are: Legendre
products :math:`P_i(u)P_j(v)`, :math:`1 \le i + j \le` degree, of the measured position on the
panel, u and v from -1 to 1, for X and for Y [mm]. Nothing in it depends on the grain.

The gauge: a shift of all grains and all panels along the axis changes nothing; hold one grain's
coordinate along it. Beam direction, wavelength and the unstrained cell are fixed: they are the
scale. The normal matrix is an arrow: panels meet in the border only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.forward.grain_rotation import GrainSpots, grain_jacobian, predict_grains
from refimpl.forward.rotation import SEEN
from refimpl.frames import F64, I64
from refimpl.metrology.grain_models import GRAIN_FIELDS, MOVE_FIELDS, Body, Grain
from refimpl.metrology.grain_spots import Spots, table_basis
from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import accumulate_blocks
from refimpl.rotations import expmap

__all__ = ["CLASSES", "TABLE_WIDTH_MM", "WIDTHS", "GrainProblem", "spots_of"]

T = TypeVar("T", bound=np.generic)

CLASSES = (0, 0, 1, 2, 2, 3)
"""Prior of each of :data:`MOVE_FIELDS`: in-plane shift, height, tilt, turn in the plane; the
classes that follow are of the table, by degree."""

WIDTHS = (0.1, 0.5, 5e-3, 1e-3)
"""Stated widths of those [mm, mm, rad, rad]: how sub-panels of a tiled detector may be mounted."""

TABLE_WIDTH_MM = 0.01
"""Stated width of a coefficient of the table, of any degree: a tenth of a usual pixel."""


@dataclass(frozen=True, eq=False)
class GrainProblem:
    """Spots, and the models that predict them at parameters x.

    Attributes
    ----------
    spots
        Observed.
    grains
        In the order of their numbers, at x = 0.
    d
        (p, 3, 3) columns fast, slow, origin of the panels at x = 0 [mm].
    size_mm
        (p, 2) of the panels.
    housings
        Rigid bodies that hold every panel once.
    panel_names
        (p,).
    s0, axis, chi_axis
        (3,) beam vector [1/angstrom], rotation axis at chi = 0, and what chi turns about.
    chi
        Where chi starts [rad].
    sigma
        (3,) spread of the spots in x, y [mm] and omega [rad].
    widths
        (4 + degree,) prior widths: :data:`CLASSES`, then the table's degrees [mm].

    Raises
    ------
    ConfigError
        Housings that do not hold every panel once, spots of a grain that is not there.
    """

    spots: Spots
    grains: tuple[Grain, ...]
    d: F64
    size_mm: F64
    housings: tuple[Body, ...]
    panel_names: tuple[str, ...]
    s0: F64
    axis: F64
    chi_axis: F64
    chi: float
    sigma: F64
    widths: F64

    def __post_init__(self) -> None:
        held = sorted(p for body in self.housings for p in body.panels)
        if held != list(range(len(self.d))):
            raise ConfigError(
                f"housings hold panels {held}: expected each of the {len(self.d)} panels once"
            )
        if len(self.spots) and self.spots.grain.max() >= len(self.grains):
            raise ConfigError(
                f"spots of grain number {self.spots.grain.max()}: there are {len(self.grains)}, "
                "counted from 0"
            )

    # --- parameters ------------------------------------------------------------------------------

    @property
    def degree(self) -> int:
        """Of the displacement tables."""
        return len(self.widths) - len(WIDTHS)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(k,) names of the parameters."""
        terms = [
            f"table_{c}_{t - j}{j}"
            for c in "xy" for t in range(1, self.degree + 1) for j in range(t + 1)
        ]  # fmt: skip
        return (
            "chi",
            *(f"{b.name}.{f}" for b in self.housings for f in MOVE_FIELDS),
            *(f"grain{g + 1}.{f}" for g in range(len(self.grains)) for f in GRAIN_FIELDS),
            *(f"{n}.{f}" for n in self.panel_names for f in (*MOVE_FIELDS, *terms)),
        )

    @property
    def first_grain(self) -> int:
        """Where the grains' parameters begin in x."""
        return 1 + 6 * len(self.housings)

    @property
    def border(self) -> int:
        """Where the panels' own parameters begin in x."""
        return self.first_grain + 12 * len(self.grains)

    @cached_property
    def kinds(self) -> I64:
        """(m,) class of the prior of each of a panel's own parameters."""
        _, degrees = table_basis(np.zeros(0), np.zeros(0), self.degree)
        return np.concatenate([CLASSES, np.tile(len(WIDTHS) - 1 + degrees, 2)]).astype(np.int64)

    def own(self, x: NDArray[T]) -> NDArray[T]:
        """(p, m) what an array of all parameters (k,) has of the panels' own."""
        return x[self.border :].reshape(len(self.d), -1)

    def with_degree(self, degree: int) -> GrainProblem:
        """Same problem with displacement tables of a degree, 0 for none; widths as stated."""
        return replace(self, widths=np.array([*WIDTHS, *(degree * [TABLE_WIDTH_MM])]))

    # --- models ----------------------------------------------------------------------------------

    def panels_at(self, x: F64) -> tuple[F64, F64]:
        """Columns (p, 3, 3) of all panels at x, and derivatives (p, 12, 3, 3): housing's, own."""
        d, slopes = self.d.copy(), np.zeros((len(self.d), 12, 3, 3))
        for i, moves in enumerate(self.own(x)[:, :6]):
            body = Body.of_panels(self.panel_names[i], (i,), self.d, self.size_mm)
            new, slope, _ = body.move(moves, self.d[i : i + 1])
            d[i], slopes[i, 6:] = new[0], slope[0]
        for h, body in enumerate(self.housings):
            rows = list(body.panels)
            d[rows], slopes[rows, :6], turn = body.move(x[1 + 6 * h : 7 + 6 * h], d[rows])
            slopes[rows, 6:] = turn @ slopes[rows, 6:]
        return d, slopes

    def grains_at(self, x: F64) -> tuple[Grain, ...]:
        """Grains at x."""
        own = x[self.first_grain : self.border].reshape(-1, 12)
        return tuple(g.moved(v) for g, v in zip(self.grains, own, strict=True))

    def setting(self, x: F64) -> F64:
        """(3, 3) S at x."""
        return expmap((self.chi + x[0]) * self.chi_axis)

    def rays(self, x: F64, d: F64) -> GrainSpots:
        """The spots at x, on panels d."""
        turn, s = self.setting(x), self.spots
        p0, start = np.empty((len(s), 3)), np.empty((len(s), 3))
        for g, grain in enumerate(self.grains_at(x)):
            rows = s.grain == g
            p0[rows] = grain.vectors(s.hkl[rows]) @ turn.T
            start[rows] = turn @ grain.position_mm
        return GrainSpots(
            p0, start, s.panel, s.entering, s.xyo[:, 2], self.s0, turn @ self.axis,
            np.asarray(np.linalg.inv(d), dtype=np.float64),
        )  # fmt: skip

    @cached_property
    def _basis(self) -> F64:
        """(n, w) of the table at the spots."""
        uv = 2.0 * self.spots.xyo[:, :2] / self.size_mm[self.spots.panel] - 1.0
        return table_basis(uv[:, 0], uv[:, 1], self.degree)[0]

    def _displacement(self, x: F64) -> F64:
        """(n, 3) of the table; 0 in omega."""
        own = self.own(x)[self.spots.panel, 6:].reshape(len(self.spots), 2, -1)
        moved = np.einsum("ncw,nw->nc", own, self._basis)
        return np.concatenate([moved, np.zeros((len(moved), 1))], axis=1)

    # --- residuals -------------------------------------------------------------------------------

    def residuals(self, x: F64) -> F64:
        """(n, 3) predicted less observed; NaN where nothing is predicted."""
        xyz, _, _ = predict_grains(self.rays(x, self.panels_at(x)[0]))
        return np.asarray(xyz - self.spots.xyo + self._displacement(x))

    def jacobian(self, x: F64) -> tuple[F64, F64, NDArray[np.bool_]]:
        """Residuals and their derivatives.

        Returns
        -------
        residuals, jacobian, predicted
            (n, 3), (n, 3, border + m) with those of the spot's own panel last, (n,).
        """
        d, slopes = self.panels_at(x)
        turn, s = self.setting(x), self.spots
        crystal = np.empty((len(s), 9, 3))
        own = x[self.first_grain : self.border].reshape(-1, 12)
        for g, grain in enumerate(self.grains):
            rows = s.grain == g
            crystal[rows] = grain.slopes(own[g], s.hkl[rows]) @ turn.T
        xyz, by, status = grain_jacobian(
            self.rays(x, d), crystal, turn.T.copy(), np.zeros((0, 3)), self.chi_axis[None], slopes
        )
        # columns of `by`: chi, turn and stretch of the grain, its position, housing, panel
        out = np.zeros((len(s), 3, self.border + len(self.kinds)))
        out[:, :, 0] = by[:, :, 0]
        for h, body in enumerate(self.housings):
            rows = np.isin(s.panel, body.panels)
            out[rows, :, 1 + 6 * h : 7 + 6 * h] = by[rows, :, 13:19]
        for g in range(len(self.grains)):
            rows, at = s.grain == g, self.first_grain + 12 * g
            out[rows, :, at : at + 3] = by[rows, :, 1:4]
            out[rows, :, at + 3 : at + 6] = by[rows, :, 10:13]
            out[rows, :, at + 6 : at + 12] = by[rows, :, 4:10]
        out[:, :, self.border : self.border + 6] = by[:, :, 19:25]
        w = self._basis.shape[1]
        for c in range(2):
            at = self.border + 6 + c * w
            out[:, c, at : at + w] = self._basis
        return xyz - s.xyo + self._displacement(x), out, status == SEEN

    def __call__(self, x: F64) -> Bordered:
        """Normal equations at x, priors included."""
        residual, jacobian, seen = self.jacobian(x)
        g, m, p = self.border, len(self.kinds), len(self.d)
        order = np.argsort(self.spots.panel, kind="stable")
        first = 3 * np.searchsorted(self.spots.panel[order], np.arange(p + 1))
        sums = accumulate_blocks(
            residual[order].ravel(), jacobian[order].reshape(-1, g + m),
            np.tile(1.0 / self.sigma**2, len(order)), first.astype(np.int64),
        )  # fmt: skip
        total, own = sums.sum(axis=0), self.own(x)
        prior = 1.0 / self.widths[self.kinds] ** 2
        blocks = sums[:, 1 + g :, 1 + g :] + np.diag(prior)
        gradient = np.concatenate(
            [total[1 : 1 + g, 0], (sums[:, 1 + g :, 0] + prior * own).ravel()]
        )
        cost = float(total[0, 0] + np.sum(prior * own**2))
        return Bordered(
            # a lost spot must not lower the cost: the step is refused
            cost if seen.all() else np.inf, gradient, residual.size + own.size,
            total[1 : 1 + g, 1 : 1 + g], sums[:, 1 : 1 + g, 1 + g :], blocks, np.zeros((0, p, m)),
        )  # fmt: skip


def spots_of(
    grain: I64, panel: NDArray[np.int32], hkl: F64, xyo: F64, problem: GrainProblem
) -> Spots:
    """Spots with the crossing whose omega the models at x = 0 predict nearest to the observed.

    Parameters
    ----------
    grain, panel, hkl, xyo
        As of :class:`Spots`.
    problem
        Models; its own spots do not matter.
    """
    x = np.zeros(len(problem.names))
    off = []
    for crossing in (0, 1):
        spots = Spots(grain, panel, hkl, xyo, np.full(len(grain), crossing, dtype=np.uint8))
        off.append(np.abs(replace(problem, spots=spots).residuals(x)[:, 2]))
    return Spots(grain, panel, hkl, xyo, (off[1] < off[0]).astype(np.uint8))
