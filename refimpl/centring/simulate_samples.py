"""Crops of simulated photographs with the counts in their middles: what a net is trained on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from refimpl.centring.crops import crop
from refimpl.centring.simulate_scene import Scene, scene
from refimpl.centring.simulate_view import View, crop_rule
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["Crops", "samples", "scene_seed"]


class Crops(NamedTuple):
    """Crops with the counts in their middles, row by row.

    Attributes
    ----------
    image
        (n, size, size) uint8 crops, 240 um wide unless told otherwise; not standardised.
    rc
        (n,) counts, Poisson of ``expected``.
    crystal
        (n,) number of the scene, from 0: what a split goes by.
    zoom, omega_rad
        (n,) of the view.
    xy_px
        (n, 2) middle of the crop in its picture.
    expected
        (n,) expected counts.
    scene_seed
        (n,) seed of the scene.
    mask
        (n, m, m) part of each pixel that is on a crystal, in 255ths, coarser than the image; empty
        unless asked for.
    """

    image: NDArray[np.uint8]
    rc: I64
    crystal: I64
    zoom: F64
    omega_rad: F64
    xy_px: F64
    expected: F64
    scene_seed: I64
    mask: NDArray[np.uint8]


def scene_seed(seed: int, index: int) -> int:
    """Seed of scene number ``index`` of a set with a seed."""
    return int(SeedSequence([2, seed, index]).generate_state(1, np.uint32)[0])


def samples(
    n_crystals: int, views: int = 2, crops: int = 10, size_px: int = 64, seed: int = 0, *,
    zooms: tuple[float, float] = (1.0, 4.0), edge_um: float = 240.0, out_of_view: float = 0.06,
    empty: float = 0.04, mask_px: int = 0, progress: Callable[[int, int], None] | None = None,
) -> Crops:  # fmt: skip
    """Make crops about points on crystals, on loops and beside them.

    Parameters
    ----------
    n_crystals, views, crops
        Scenes, pictures of each, crops of each picture.
    size_px
        Side of a crop.
    seed
        Scene ``i`` has the seed ``scene_seed(seed, i)``.
    zooms
        Range of the zoom, drawn evenly view by view.
    edge_um
        Width of a crop.
    out_of_view
        Part of the views that look away from the crystal.
    empty
        Part of the scenes that are empty loops.
    mask_px
        Side of the masks of the crystals; 0: none.
    progress
        Called with scenes done, and how many there are.

    Raises
    ------
    ConfigError
        A number below 1.
    """
    if min(n_crystals, views, crops, size_px) < 1:
        raise ConfigError(
            f"samples: {n_crystals} crystals, {views} views, {crops} crops, {size_px} px: "
            "expected 1 or more of each"
        )
    n = n_crystals * views * crops
    rule = crop_rule(edge_um)
    image = np.empty((n, size_px, size_px), dtype=np.uint8)
    mask = np.empty((n if mask_px else 0, mask_px, mask_px), dtype=np.uint8)
    columns = {name: np.empty(n) for name in ("zoom", "omega_rad", "expected", "rc")}
    xy = np.empty((n, 2))
    seeds = [scene_seed(seed, i) for i in range(n_crystals)]
    row = 0
    for number, own in enumerate(seeds):
        rng = Generator(PCG64(SeedSequence([3, seed, number])))
        seen = scene(own, crystals=int(rng.random() >= empty))
        for _ in range(views):
            zoom, omega = rng.uniform(*zooms), rng.uniform(0.0, 2.0 * math.pi)
            at = _stage(rng, rng.random() < out_of_view)
            picture = seen.picture(zoom, omega, at_um=at).astype(np.float64)
            places = _places(rng, seen, seen.view(zoom, omega, at), crops)
            expected = seen.rc_px(places, zoom, omega, at_um=at)
            rows = slice(row, row + crops)
            if mask_px:
                shape = seen.crystal_mask(zoom, omega, at_um=at).astype(np.float64)
            for k, (x, y) in enumerate(places):
                part = crop(picture, (float(x), float(y)), rule.edge_px(zoom), size_px)
                image[row + k] = np.rint(part)
                if mask_px:
                    part = crop(shape, (float(x), float(y)), rule.edge_px(zoom), mask_px)
                    mask[row + k] = np.rint(255.0 * part)
            columns["zoom"][rows], columns["omega_rad"][rows] = zoom, omega
            columns["expected"][rows], xy[rows] = expected, places
            columns["rc"][rows] = rng.poisson(expected)
            row += crops
        if progress is not None:
            progress(number + 1, n_crystals)
    each = views * crops
    return Crops(
        image, columns["rc"].astype(np.int64), np.repeat(np.arange(n_crystals), each),
        columns["zoom"], columns["omega_rad"], xy, columns["expected"],
        np.repeat(np.array(seeds, dtype=np.int64), each), mask,
    )  # fmt: skip


def _stage(rng: Generator, away: bool) -> tuple[float, float, float]:
    """Where the stage stands: about the loop, or so far along the spindle that it is not seen."""
    x, y, z = rng.normal(0.0, (50.0, 25.0, 25.0))
    if away:
        x += rng.choice([-1.0, 1.0]) * rng.uniform(600.0, 1000.0)
    return (float(x), float(y), float(z))


def _places(rng: Generator, seen: Scene, view: View, n: int) -> F64:
    """(n, 2) middles of crops [px]: near the crystal, on the mount, anywhere in the picture."""
    rows, columns = view.shape
    anywhere = rng.random((n, 2)) * np.array([columns, rows])
    rim = seen.mount.rim_um(1.1)
    flat = np.column_stack([rim, np.zeros(len(rim))]) + seen.mount.offset_um
    mount = _in_box(rng, view.to_px(view.across(flat)), n, 20.0 * view.scale)
    near = mount
    if seen.crystals:
        outline = seen.crystals[0].silhouette_um(view.omega_rad)
        near = _in_box(rng, view.to_px(outline), n, 12.0 * view.scale)
    kind = rng.choice(3, size=n, p=[0.55, 0.28, 0.17])
    drawn = np.where((kind == 0)[:, None], near, np.where((kind == 1)[:, None], mount, anywhere))
    inside = np.all((drawn >= 0.0) & (drawn < np.array([columns, rows])), axis=1, keepdims=True)
    return np.asarray(np.where(inside, drawn, anywhere))


def _in_box(rng: Generator, corners_px: F64, n: int, margin_px: float) -> F64:
    low, high = corners_px.min(axis=0) - margin_px, corners_px.max(axis=0) + margin_px
    return np.asarray(low + rng.random((n, 2)) * (high - low))
