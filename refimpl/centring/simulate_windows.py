"""Crops with and without a crystal for the classifier, as the thesis made them.

Empty loops were few and alike, so a window was slid over selected pictures of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from refimpl.centring.crops import crop
from refimpl.centring.simulate_samples import scene_seed
from refimpl.centring.simulate_scene import Scene, scene
from refimpl.centring.simulate_view import View, crop_rule
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["CLASSES", "Windows", "sliding_windows", "windows"]

CLASSES = ("crystal", "empty")
"""Classes by their labels 0 and 1: alphabetical, as Keras has them."""


class Windows(NamedTuple):
    """Crops, row by row.

    Attributes
    ----------
    image
        (n, size, size) uint8.
    label
        (n,) 0 crystal, 1 empty.
    crystal
        (n,) number of the scene, what a split goes by.
    zoom, omega_rad
        (n,) of the view.
    """

    image: NDArray[np.uint8]
    label: I64
    crystal: I64
    zoom: F64
    omega_rad: F64


def sliding_windows(view: View, seen: Scene, stride_um: float = 60.0) -> F64:
    """(n, 2) middles x, y [px] of windows slid over the loop in a picture, row by row.

    Raises
    ------
    ConfigError
        A stride that is not positive.
    """
    if not stride_um > 0.0:
        raise ConfigError(f"stride {stride_um} um: expected more than 0", key="stride_um")
    rim = seen.mount.rim_um()
    corner = np.column_stack([rim, np.zeros(len(rim))]) + seen.mount.offset_um
    st = view.across(corner)
    low, high = st.min(axis=0), st.max(axis=0)
    count = np.maximum(np.floor((high - low) / stride_um).astype(int), 0) + 1
    s, t = (
        (low[k] + high[k]) / 2.0 + (np.arange(count[k]) - (count[k] - 1) / 2.0) * stride_um
        for k in (0, 1)
    )
    places = view.to_px(np.stack(np.meshgrid(s, t), axis=-1).reshape(-1, 2))
    inside = np.all((places >= 0.0) & (places < np.array(view.shape[::-1])), axis=1)
    return np.asarray(places[inside])


def windows(
    n_scenes: int, views: int = 2, crops: int = 6, size_px: int = 128, seed: int = 0, *,
    zooms: tuple[float, float] = (1.0, 4.0), edge_um: float = 240.0, empty: float = 0.5,
) -> Windows:  # fmt: skip
    """Make crops of the two classes.

    Those of a crystal have it in their middle within a fifth of their width; those of empty loops
    are slid over the loop. The classes take turns, ``empty`` being the part of empty loops.

    Raises
    ------
    ConfigError
        A number below 1, or a part of empty loops outside 0 to 1.
    """
    if min(n_scenes, views, crops, size_px) < 1 or not 0.0 <= empty <= 1.0:
        raise ConfigError(
            f"windows: {n_scenes} scenes, {views} views, {crops} crops, {size_px} px, "
            f"{empty} empty: expected 1 or more of each and a part of 0 to 1"
        )
    rule = crop_rule(edge_um)
    images, labels, numbers, zoom_of, omega_of = [], [], [], [], []
    for number in range(n_scenes):
        is_empty = math.floor((number + 1) * empty) > math.floor(number * empty)
        rng = Generator(PCG64(SeedSequence([5, seed, number])))
        seen = scene(scene_seed(seed, number), crystals=0 if is_empty else 1)
        for _ in range(views):
            zoom, omega = float(rng.uniform(*zooms)), float(rng.uniform(0.0, 2.0 * math.pi))
            x, y, z = rng.normal(0.0, (50.0, 25.0, 25.0))
            at = (float(x), float(y), float(z))
            picture = seen.picture(zoom, omega, at_um=at).astype(np.float64)
            places = _middles(rng, seen.view(zoom, omega, at), seen, crops, edge_um)
            for px, py in places:
                part = crop(picture, (float(px), float(py)), rule.edge_px(zoom), size_px)
                images.append(np.rint(part).astype(np.uint8))
            labels += [int(is_empty)] * len(places)
            numbers += [number] * len(places)
            zoom_of += [zoom] * len(places)
            omega_of += [omega] * len(places)
    return Windows(
        np.array(images), np.array(labels, dtype=np.int64), np.array(numbers, dtype=np.int64),
        np.array(zoom_of), np.array(omega_of),
    )  # fmt: skip


def _middles(rng: Generator, view: View, seen: Scene, n: int, edge_um: float) -> F64:
    if seen.is_empty:
        slid = sliding_windows(view, seen)
        if not len(slid):
            slid = view.project(seen.mount.offset_um)[None]
        return slid[np.sort(rng.permutation(len(slid))[:n])]
    middle = view.project(seen.crystals[0].centre_um)
    return np.asarray(middle + rng.uniform(-0.2, 0.2, (n, 2)) * edge_um * view.scale)
