"""Whether the beam would be on the crystal: what a heat map is for, judged by the truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["Aim", "AimScores", "aim_of", "aim_scores"]


@dataclass(frozen=True)
class Aim:
    """One point against the true map of a picture.

    Attributes
    ----------
    found
        Whether a point was given at all.
    hit
        It is on the crystal.
    relative
        True reflections there over the most that any point has; 0 without a point.
    away_um
        Distance to the nearest point that has the most; NaN without a point.
    """

    found: bool
    hit: bool
    relative: float
    away_um: float


@dataclass(frozen=True)
class AimScores:
    """Aims of many pictures.

    Attributes
    ----------
    n
        Pictures.
    found, hit
        Part with a point; part with a point on the crystal.
    relative
        Mean of the relative reflections, 0 where no point was given.
    away_um
        Median distance to the best point, of those that gave one.
    """

    n: int
    found: float
    hit: float
    relative: float
    away_um: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def aim_of(
    point_px: tuple[float, float] | None,
    true_count: F64,
    on_crystal: NDArray[np.bool_],
    um_per_px: float,
) -> Aim:
    """Judge a point.

    Parameters
    ----------
    point_px
        (x, y) from the outer corner of the picture; None: no crystal was seen.
    true_count
        (h, w) expected reflections with the beam at each pixel.
    on_crystal
        (h, w) whether there is crystal.
    um_per_px
        Scale.

    Raises
    ------
    ConfigError
        The maps differ in shape, or the true one has no reflections.
    """
    if true_count.shape != on_crystal.shape:
        raise ConfigError(f"aim: maps of {true_count.shape} and {on_crystal.shape}")
    most = float(true_count.max())
    if not most > 0.0:
        raise ConfigError("aim: the true map has no reflections anywhere")
    if point_px is None:
        return Aim(False, False, 0.0, float("nan"))
    column = min(max(int(point_px[0]), 0), true_count.shape[1] - 1)
    row = min(max(int(point_px[1]), 0), true_count.shape[0] - 1)
    y, x = np.nonzero(true_count >= most)
    away = np.hypot(x + 0.5 - point_px[0], y + 0.5 - point_px[1]).min()
    return Aim(
        True, bool(on_crystal[row, column]), float(true_count[row, column]) / most,
        float(away) * um_per_px,
    )  # fmt: skip


def aim_scores(aims: list[Aim]) -> AimScores:
    """Sum up.

    Raises
    ------
    ConfigError
        No pictures.
    """
    if not aims:
        raise ConfigError("aim: no pictures")
    away = [a.away_um for a in aims if a.found]
    return AimScores(
        len(aims),
        found=float(np.mean([a.found for a in aims])),
        hit=float(np.mean([a.hit for a in aims])),
        relative=float(np.mean([a.relative for a in aims])),
        away_um=float(np.median(away)) if away else float("nan"),
    )
