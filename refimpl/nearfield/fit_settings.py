"""How an orientation is looked for and fitted: settings of the searches, in mm and rad.

What a configuration says of it (:class:`~refimpl.nearfield.settings.SearchTable`) is turned into
these by :func:`settings_of`, where degrees become radians. Those of a search without seeds are in
:mod:`refimpl.nearfield.blind`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from refimpl.errors import ConfigError
from refimpl.nearfield.settings import SearchTable
from refimpl.units import DEG

__all__ = ["FitSettings", "SearchSettings", "check_numbers", "settings_of"]


def check_numbers(
    settings: Any, names: Iterable[str], good: Callable[[float], bool], expected: str
) -> None:
    """Refuse settings of which a number is out of range; NaN always is.

    Raises
    ------
    ConfigError
        The first such number, with its name and what is expected.
    """
    for name in names:
        value = getattr(settings, name)
        if not good(value):
            kind = type(settings).__name__
            raise ConfigError(f"{kind}: {name} {value}: expected {expected}", key=name, got=value)


@dataclass(frozen=True)
class FitSettings:
    """How an orientation is fitted.

    Attributes
    ----------
    method
        "restarted": the one of this module. "published": simplex on Euler angles within +- the
        tolerance of the start, stopped when its values agree (spec 1.9).
    tolerance_rad
        OrientTol: half-width of the published box. Of the other method, largest rotation between
        a start and where it ended; what went farther is not accepted.
    first_edges_rad, first_size_rad
        Edges of the simplices that every start gets, one after the other, and the size at which
        one is done.
    edges_rad, size_rad
        The same for starts that ended within ``behind`` of the best confidence of their voxel.
    behind
        See there.
    scatter_below, scatter_least, scatter_starts
        Voxels whose confidence is below the first number are looked at more closely. Without seeds
        their few best orientations are strewn with points, if the best has the second number.
    scatter_points, scatter_radius_rad, scatter_best
        How many points in a ball of rotation vectors; how many of the best are climbed from.
    scatter_last
        How many of those are finished with all ``edges_rad``; the others get the first only.
    reach_rad, reach_least, reach_starts
        Error of a seed that is still found: the first few seeds that show at this reach on the
        coarse level, with at least this confidence, are followed down from it where the sharp
        confidence stayed below ``scatter_below``. 0 starts: none.
    reach_behind
        Of these, seeds that show less on the coarse level than the best sharp confidence less this
        are left out. A coarse level is no bound: a spot that moves by more than a cell is lost.
    reach_points, reach_climbs, reach_last
        Points strewn about each at each level; first climbs from the best of them on the sharp
        stack; how many of those are finished, if they end near the best of their voxel.
    centre_points, centre_radius_rad
        Points that find the middle of the plateau at the top; none: the top stays as it was met.
    enough
        Confidence at which a fit is done.
    max_evaluations
        Limit on evaluations of one simplex; of the published
        method, of one fit.
    """

    method: Literal["restarted", "published"] = "restarted"
    tolerance_rad: float = 2.0 * DEG
    first_edges_rad: tuple[float, ...] = (0.4 * DEG,)
    first_size_rad: float = 0.02 * DEG
    edges_rad: tuple[float, ...] = (0.1 * DEG, 0.05 * DEG)
    size_rad: float = 0.004 * DEG
    behind: float = 0.3
    scatter_below: float = 0.98
    scatter_least: float = 0.3
    scatter_starts: int = 2
    scatter_points: int = 256
    scatter_radius_rad: float = 0.3 * DEG
    scatter_best: int = 10
    scatter_last: int = 10
    reach_rad: float = 0.5 * DEG
    reach_least: float = 0.6
    reach_starts: int = 6
    reach_behind: float = 0.4
    reach_points: int = 128
    reach_climbs: int = 10
    reach_last: int = 5
    centre_points: int = 64
    centre_radius_rad: float = 0.05 * DEG
    enough: float = 1.0
    max_evaluations: int = 200

    def __post_init__(self) -> None:
        if self.method not in ("restarted", "published"):
            raise ConfigError(
                f"FitSettings: method {self.method!r}: expected restarted or published",
                key="method", got=self.method,
            )  # fmt: skip
        positive = ["tolerance_rad", "first_size_rad", "size_rad", "scatter_radius_rad"]
        positive += ["reach_rad", "centre_radius_rad", "max_evaluations", "enough"]
        check_numbers(self, positive, lambda v: 0.0 < v < np.inf, "> 0")
        counts = ("scatter_points", "scatter_best", "scatter_last", "reach_points", "reach_climbs")
        check_numbers(self, (*counts, "reach_last"), lambda v: v >= 1, "1 or more")
        for name in ("first_edges_rad", "edges_rad"):
            if not getattr(self, name) or not min(getattr(self, name)) > 0.0:
                raise ConfigError(
                    f"FitSettings: {name} {getattr(self, name)}: expected one or more lengths > 0",
                    key=name,
                )

    @classmethod
    def published(cls) -> FitSettings:
        """The published fit, with its limit on evaluations."""
        return cls(method="published", max_evaluations=5000)

    @classmethod
    def quick(cls) -> FitSettings:
        """Half the time: above the accuracy of the published program (spec 5.2), for good seeds."""
        return cls(
            first_size_rad=0.1 * DEG, behind=0.1, scatter_points=128, scatter_best=8,
            scatter_last=2, reach_least=0.85, reach_starts=2, reach_behind=0.0, reach_points=64,
            reach_climbs=2, reach_last=2, centre_points=0, max_evaluations=60,
        )  # fmt: skip


@dataclass(frozen=True)
class SearchSettings:
    """How the orientations of voxels are looked for.

    Attributes
    ----------
    least
        MinFracAccept: seeds are fitted from this confidence on.
    n_saved
        SaveNSolutions.
    saved_angle_rad
        MinMisoNSaves: saved solutions differ at least by this.
    disputed_angle_rad
        NearestMisorientation: voxels whose nearest neighbours all differ by more are fitted again
        from theirs; None: no such step.
    worth
        Seeds that cannot reach this confidence are not followed down from a coarse level.
    fit
        How a candidate is fitted.
    """

    least: float = 0.04
    n_saved: int = 1
    saved_angle_rad: float = 1.0 * DEG
    disputed_angle_rad: float | None = None
    worth: float = 0.0
    fit: FitSettings = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        if not 0.0 <= self.least <= 1.0:
            raise ConfigError(f"MinFracAccept {self.least}: expected 0 to 1", key="MinFracAccept")
        if not 0.0 <= self.worth <= 1.0:
            raise ConfigError(f"SearchSettings: worth {self.worth}: expected 0 to 1", key="worth")
        if self.n_saved < 1:
            raise ConfigError(
                f"SaveNSolutions {self.n_saved}: expected 1 or more", key="SaveNSolutions"
            )
        for key, value in (
            ("MinMisoNSaves", self.saved_angle_rad),
            ("NearestMisorientation", self.disputed_angle_rad),
        ):
            if value is not None and not 0.0 <= value <= np.pi:
                raise ConfigError(f"{key} {value} rad: expected 0 to pi", key=key, got=value)


def settings_of(table: SearchTable, fit: FitSettings | None = None) -> SearchSettings:
    """Settings of a configuration or a published parameter file; degrees become radians here.

    Parameters
    ----------
    table
        Of the configuration.
    fit
        How a candidate is fitted; its tolerance is replaced by the table's.
    """
    angle = table.nearest_misorientation_deg
    return SearchSettings(
        least=table.min_confidence,
        n_saved=table.n_solutions,
        saved_angle_rad=table.min_solution_deg * DEG,
        disputed_angle_rad=angle * DEG if angle > 0.0 else None,
        fit=replace(fit or FitSettings(), tolerance_rad=table.orient_tol_deg * DEG),
    )
