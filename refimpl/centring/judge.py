"""Whoever says where to aim, judged on simulated crystals that nobody was taught.

Each crystal is seen once, at a random zoom and rotation and with the stage somewhere about the
loop, as an operator may find it. What counts is whether the beam would be on the crystal, and how
many reflections it would get there of the most that it could (:mod:`refimpl.centring.aim`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from refimpl.centring.aim import Aim, AimScores, aim_of, aim_scores
from refimpl.centring.simulate_scene import scene
from refimpl.centring.simulate_view import crop_rule, px_per_um
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["PointOf", "Seen", "aims", "judge", "of_loop", "of_net", "views"]

PointOf = Callable[["Seen"], "tuple[float, float] | None"]
"""Who says where to aim in a photograph [px], or nowhere."""

ZOOMS = (1.0, 4.0)
_UNSEEN = 7  # another stream than that of scenes for training


@dataclass(frozen=True, eq=False)
class Seen:
    """A photograph with the truth.

    Attributes
    ----------
    picture
        (480, 600) uint8.
    zoom, omega_rad
        Of the view.
    count_map
        (480, 600) expected reflections with the beam at each pixel.
    on_crystal
        (480, 600) whether there is crystal.
    um_per_px
        Scale.
    scene_seed, at_um
        Which scene, and where the stage stands.
    """

    picture: NDArray[np.uint8]
    zoom: float
    omega_rad: float
    count_map: F64
    on_crystal: NDArray[np.bool_]
    um_per_px: float
    scene_seed: int
    at_um: tuple[float, float, float]


def views(
    n: int, seed: int = 0, *, zooms: tuple[float, float] = ZOOMS, face_on: bool = False
) -> Iterator[Seen]:
    """Photographs of so many crystals, the middle of each within its picture.

    Parameters
    ----------
    n
        Crystals, one photograph of each.
    seed
        Other seeds, other crystals; drawn from another stream than those of sets for training.
    zooms
        Range of the zoom.
    face_on
        Within 35 degrees of the loop face on, as after a flat-loop search; else any rotation.

    Raises
    ------
    ConfigError
        n below 1, a seed below 0.
    """
    if n < 1 or seed < 0:
        raise ConfigError(f"views: n {n}, seed {seed}: expected n >= 1 and seed >= 0")
    for i in range(n):
        words = SeedSequence([_UNSEEN, seed, i])
        own, rng = int(words.generate_state(1, np.uint32)[0]), Generator(PCG64(words))
        made = scene(own)
        middle = made.crystals[0].centre_um
        while True:
            zoom = float(rng.uniform(*zooms))
            reach = math.radians(35.0) if face_on else math.pi
            omega = float(rng.uniform(-reach, reach))
            x, y, z = (float(v) for v in rng.normal(0.0, (50.0, 25.0, 25.0)))
            view = made.view(zoom, omega, (x, y, z))
            place = view.to_px(view.across(middle))
            if ((place >= 0.0) & (place < np.array(view.shape[::-1]))).all():
                break
        yield Seen(
            made.picture(zoom, omega, at_um=(x, y, z)), zoom, omega,
            made.rc_map(zoom, omega, at_um=(x, y, z)),
            made.crystal_mask(zoom, omega, at_um=(x, y, z)), 1.0 / px_per_um(zoom), own, (x, y, z),
        )  # fmt: skip


def aims(
    point_of: PointOf, n: int = 200, seed: int = 0, *,
    progress: Callable[[int, int], None] | None = None, **options: Any,
) -> list[Aim]:  # fmt: skip
    """Aim at each of the :func:`views`; `options` are theirs."""
    found = []
    for i, seen in enumerate(views(n, seed, **options)):
        found.append(aim_of(point_of(seen), seen.count_map, seen.on_crystal, seen.um_per_px))
        if progress is not None:
            progress(i + 1, n)
    return found


def judge(
    point_of: PointOf, n: int = 200, seed: int = 0, *,
    progress: Callable[[int, int], None] | None = None, **options: Any,
) -> AimScores:  # fmt: skip
    """Sum up the :func:`aims` at so many crystals."""
    return aim_scores(aims(point_of, n, seed, progress=progress, **options))


def of_net(
    net: Any, *, step_um: float = 8.0, smooth_um: float = 0.0, least: float = 0.0, **options: Any
) -> PointOf:
    """Aim at the highest point of the heat map of a regressor.

    Parameters
    ----------
    net
        A regressor; without a crop rule of its own it was taught crops of 240 um.
    step_um
        Of the grid.
    smooth_um
        Deviation of the Gaussian that the map is smoothed with.
    least
        Predicted reflections below which no point is given.
    options
        Of :func:`refimpl.centring.heatmap.heat_map`.
    """
    from refimpl.centring.heatmap import heat_map

    def point(seen: Seen) -> tuple[float, float] | None:
        found = heat_map(
            net, seen.picture, net.crop or crop_rule(), seen.zoom, net.target,
            size=int(net.hparams["size"]), step_px=step_um / seen.um_per_px,
            smooth_px=smooth_um / seen.um_per_px, **options,
        ).best(1, least=least)  # fmt: skip
        return (found[0].x_px, found[0].y_px) if found else None

    return point


def of_loop(mode: str = "corrected") -> PointOf:
    """Aim where lucid says; nowhere where the picture is too small for it (corrected: of 400 um).

    Its lengths hold at 2 um/px, zoom 1 here: ``zooms=(1.0, 1.0)`` is what it was made for.
    """
    from refimpl.centring.loop import locate_loop
    from refimpl.centring.loop_edges import LEAST_PX

    def point(seen: Seen) -> tuple[float, float] | None:
        scale = seen.um_per_px if mode == "corrected" else None
        if scale is not None and min(seen.picture.shape) * scale < 2.0 * LEAST_PX:
            return None
        found = locate_loop(np.stack([seen.picture] * 3, axis=-1), mode=mode, um_per_px=scale)
        return (found.x_px, found.y_px) if found.is_found else None

    return point
