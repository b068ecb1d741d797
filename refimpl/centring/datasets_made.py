"""Pictures with counts made of other knowledge: outlines of crystals, mesh scans."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.centring.crops import CropRule, crop, grey, standardised
from refimpl.centring.samples import Samples
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64

__all__ = ["FULL_COUNT", "labelled_samples", "mesh_samples"]

FULL_COUNT = 1000.0
"""Stand-in count of a beam that is wholly on a crystal whose outline was drawn."""

_FWHM_OF_SIGMA = 2.3548200450309493
_ZOOM = re.compile(r"zoom[_ ]?(\d+(?:\.\d+)?)", re.IGNORECASE)


def mesh_samples(
    picture: NDArray[Any], points_px: ArrayLike, count: ArrayLike, *, crystal: str, size: int = 128,
    rule: CropRule, zoom: float, omega_rad: float = np.nan, name: str = "",
) -> Samples:  # fmt: skip
    """Crops about the points of a mesh scan over one picture, with the counts measured there.

    A mesh scan knows the count of every point, where a usual collection knows that of the middle
    only (Schurmann & Lindhe 2019, future work).

    Parameters
    ----------
    picture
        (h, w) or (h, w, 3) as it was before the scan.
    points_px
        (n, 2) places (x, y) of the beam in it, from its outer corner.
    count
        (n,) reflections.
    crystal
        Its id.
    size, rule, zoom
        Of the crops.
    omega_rad, name
        Of the picture.

    Raises
    ------
    ConfigError
        Points and counts do not go together, or are not finite.
    """
    points, rc = np.asarray(points_px, dtype=np.float64), np.asarray(count, dtype=np.float64)
    if points.ndim != 2 or points.shape[1:] != (2,) or rc.shape != points.shape[:1]:
        raise ConfigError(
            f"mesh: {points.shape} points and {rc.shape} counts: expected (n, 2), (n,)"
        )
    if not np.isfinite(points).all():
        raise ConfigError("mesh: a point is not finite")
    values, edge = grey(picture), rule.edge_px(zoom)
    if not np.isfinite(values).all():
        raise ConfigError("mesh: the picture has values that are not finite")
    images = np.empty((len(points), 1, size, size), dtype=np.float32)
    for row, (x, y) in enumerate(points):
        images[row, 0] = standardised(crop(values, (float(x), float(y)), edge, size))
    n = len(points)
    return Samples(
        images, rc, np.full(n, crystal), np.full(n, zoom), np.full(n, omega_rad), np.full(n, name)
    )


def labelled_samples(
    files: Sequence[str | Path], *, size: int = 128, crops: int = 40, rule: CropRule | None = None,
    edge_part: float = 0.4, beam_part: float = 1.0 / 12.0, seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:  # fmt: skip
    """Crops of pictures on which crystals were outlined, with stand-in counts.

    No reflections were counted: a row's count is :data:`FULL_COUNT` times the part of a Gaussian
    beam that falls on an outlined crystal. A net learns from it where crystals are, not how they
    diffract. Half of the crops are about crystals, where there are any, the others anywhere.

    Parameters
    ----------
    files
        Files of labelme (:func:`refimpl.io.labelme.read_labelme`); each is one crystal, by the
        name of the file.
    size, crops
        Edge of the crops [px], crops of each picture.
    rule
        Edge by the zoom, which is looked for in the name of the file (``zoom_5``); None: a part of
        the shorter side of the picture.
    edge_part, beam_part
        That part; and full width at half maximum of the beam as a part of the edge.
    seed
        Of the places; those of a file do not depend on the other files.

    Raises
    ------
    FormatError
        A file is not one of labelme, or has no zoom in its name where the rule needs one.
    ConfigError
        No files, two of one name, or a number that cannot be.
    """
    from refimpl.io.labelme import read_labelme

    paths = sorted((Path(f) for f in files), key=lambda p: p.stem)
    names = [p.stem for p in paths]
    if not names or len(set(names)) < len(names):
        raise ConfigError("labelled pictures: no files" if not names else "two files of one name")
    if min(crops, size) < 1 or not (edge_part > 0.0 and beam_part > 0.0):
        raise ConfigError(
            f"labelled pictures: {crops} crops of {size} px, parts {edge_part:g}, {beam_part:g}: "
            "expected positive numbers"
        )
    parts = []
    for number, path in enumerate(paths):
        seen = read_labelme(path)
        height, width = seen.picture.shape[:2]
        zoom = float(found[1]) if (found := _ZOOM.search(path.stem)) else float("nan")
        if rule is not None and rule.slope_px and zoom != zoom:
            raise FormatError("no zoom in the name: the crop is linear in it", path=path)
        own = rule or CropRule(edge_part * min(height, width), 0.0)
        edge = own.edge_px(zoom if own.slope_px else 0.0)
        rng = np.random.default_rng([seed, 7, *path.stem.encode()])
        mask = seen.mask("crystal")
        places = _places(rng, mask, crops, edge / 4.0)
        share = _beam_share(mask, beam_part * edge, places)
        made = mesh_samples(
            seen.picture, places, FULL_COUNT * share, crystal=path.stem, size=size,
            rule=CropRule(edge, 0.0), zoom=0.0, name=path.name,
        )  # fmt: skip
        parts.append((made, zoom))
        if progress is not None:
            progress(number + 1, len(paths))
    sets = [made for made, _ in parts]
    return Samples(
        np.concatenate([m.images for m in sets]), np.concatenate([m.count for m in sets]),
        np.concatenate([m.crystal for m in sets]), np.repeat([zoom for _, zoom in parts], crops),
        name=np.concatenate([m.name for m in sets]),
    )  # fmt: skip


def _places(rng: np.random.Generator, mask: NDArray[np.bool_], n: int, near_px: float) -> F64:
    """(n, 2) middles of crops (x, y): every other one near a crystal, if there is one."""
    height, width = mask.shape
    out = rng.random((n, 2)) * np.array([width, height])
    row, column = np.nonzero(mask)
    if len(row):
        half = out[::2]
        pick = rng.integers(len(row), size=len(half))
        half[:] = np.column_stack([column[pick], row[pick]]) + 0.5
        half += rng.normal(0.0, near_px / 2.0, half.shape)
        np.clip(half, 0.0, np.array([width, height]), out=half)
    return np.asarray(out)


def _beam_share(mask: NDArray[np.bool_], fwhm_px: float, places: F64) -> F64:
    """(n,) part of a Gaussian beam at each place that falls on the mask."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    blurred = gaussian_filter(mask.astype(np.float64), fwhm_px / _FWHM_OF_SIGMA, mode="constant")
    found = map_coordinates(blurred, places.T[::-1] - 0.5, order=1, mode="nearest")
    return np.asarray(np.clip(found, 0.0, 1.0))
