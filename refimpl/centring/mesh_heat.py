"""A measured mesh beside the heat map of a photograph of the same sample."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.centring.camera import Camera
from refimpl.centring.mesh import Mesh
from refimpl.centring.scores import pearson, spearman
from refimpl.centring.targets import HIT_COUNT
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.heatmap import HeatMap

__all__ = ["Compared", "compare"]


@dataclass(frozen=True)
class Compared:
    """How a heat map agrees with a mesh.

    Attributes
    ----------
    points
        Points of the mesh that lie in the heat map and were counted.
    pearson
        Correlation of the square roots of the counts, whose noise is the same everywhere; of what
        the net tells where that is no count.
    spearman
        Correlation of the ranks where the mesh has crystal, the rest being noise; NaN where that
        is less than three points.
    away_um
        Distance of the best point of the heat map from that of the mesh; NaN where the heat map
        shows no crystal.
    away_from_middle_um
        Distance from the centre of mass of the largest island; NaN where there is none.
    relative
        Measured reflections at the best point of the heat map, in parts of the most.
    hits_measured, hits_predicted, hits_both
        Points with as many reflections as a hit (100).
    """

    points: int
    pearson: float
    spearman: float
    away_um: float
    away_from_middle_um: float
    relative: float
    hits_measured: int
    hits_predicted: int
    hits_both: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare(mesh: Mesh, heat: HeatMap, camera: Camera, *, least: float = HIT_COUNT) -> Compared:
    """Compare a mesh with a heat map.

    Parameters
    ----------
    mesh, heat
        What was measured and predicted, at the same rotation.
    camera
        Where points of the mesh stand in the picture; its ``middle_um`` in those of the mesh.
    least
        Predicted reflections below which the heat map shows no crystal.

    Raises
    ------
    ConfigError
        Fewer than three points in common.
    """
    from scipy.interpolate import RegularGridInterpolator

    s, t = np.meshgrid(mesh.s_um, mesh.t_um)
    xy = camera.to_px(np.stack([s, t], axis=-1))
    tells_counts = bool(np.isfinite(heat.count).any())
    between = RegularGridInterpolator(
        (heat.y_px, heat.x_px), heat.count if tells_counts else heat.value, bounds_error=False
    )
    predicted = between(xy[..., ::-1])
    common = np.isfinite(predicted) & np.isfinite(mesh.count)
    if common.sum() < 3:
        raise ConfigError(
            f"mesh and heat map: {int(common.sum())} points in common: check the scale, the side "
            "of the pin and what stands in the middle of the picture"
        )
    told, counted = predicted[common], mesh.count[common]
    roots = np.sqrt(np.maximum(told, 0.0)) if tells_counts else told
    crystal = counted >= mesh.limit()
    ranks = spearman(told[crystal], counted[crystal]) if crystal.sum() >= 3 else math.nan
    best, middle, relative = heat.best(1, least=least), math.nan, 0.0
    away = math.nan
    islands = mesh.islands()
    if best:
        at = camera.to_um((best[0].x_px, best[0].y_px))
        away = math.dist(at, mesh.best_um)
        there = float(mesh.at(at))
        relative = there / float(np.nanmax(mesh.count)) if math.isfinite(there) else 0.0
        if islands:
            middle = math.dist(at, (islands[0].s_um, islands[0].t_um))
    hit, seen = counted >= HIT_COUNT, (told >= least) & tells_counts
    return Compared(
        int(common.sum()), pearson(roots, np.sqrt(counted)), ranks, away, middle,
        relative, int(hit.sum()), int(seen.sum()), int((hit & seen).sum()),
    )  # fmt: skip
