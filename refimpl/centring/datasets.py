"""Pictures with counts from wherever they are: tables, HDF5, npz, or simulated."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from refimpl.centring.crops import CropRule, crop, planes, standardised
from refimpl.centring.dataset_files import read_columns, samples_of, write_hdf5, write_npz
from refimpl.centring.samples import Samples
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64

__all__ = ["Source", "open_samples", "rule_of", "simulated", "write_hdf5", "write_npz"]

Source = str | os.PathLike[str]
"""A folder, a CSV, HDF5 or npz file, ``simulated:N[xVIEWSxCROPS]`` or ``labelme:FOLDER``."""

_FILES = (".h5", ".hdf5", ".npz")
_SIMULATED = re.compile(r"simulated:(\d+)(?:x(\d+)x(\d+))?")

_LABELME = "labelme:"

Progress = Callable[[int, int], None]


def open_samples(
    source: Source, *, size: int = 128, channels: int = 1, rule: CropRule | None = None,
    seed: int = 0, progress: Progress | None = None,
) -> Samples:  # fmt: skip
    """Read pictures with their counts, cropped, resized and standardised.

    Parameters
    ----------
    source
        A folder with a table of pictures, or the table itself
        (:func:`refimpl.io.picture_table.read_picture_table`); an ``.h5`` or ``.npz`` file of
        :func:`write_hdf5` and :func:`write_npz`, or with arrays of whole pictures ``images``
        (n, h, w[, 3]), ``rc``, ``crystal`` and perhaps ``zoom``; or ``simulated:N`` crystals, with
        ``xVIEWSxCROPS`` pictures of each (2 x 10); or ``labelme:FOLDER`` of outlined crystals, with
        stand-in counts (:func:`refimpl.centring.datasets_made.labelled_samples`).
    size, channels
        Edge of the pictures [px]; 1 grey, 3 colour.
    rule
        How pictures are cropped by the zoom; None: the largest square about the middle. Files of
        samples are cropped already, simulated ones as :func:`rule_of` says.
    seed
        Of what is simulated.
    progress
        Called with pictures done, and how many there are; of simulated ones with crystals.

    Raises
    ------
    FormatError
        The source is missing or not what it should be, a picture cannot be read (file and line).
    ConfigError
        A size or a number of channels that cannot be; a zoom is missing that the rule needs.
    """
    if size < 1 or channels not in (1, 3):
        raise ConfigError(
            f"pictures of {size} px and {channels} channels: expected 1 px or more, 1 or 3 channels"
        )
    text = os.fspath(source)
    wanted = _wanted(text)
    if wanted is not None:
        if rule is not None and rule != rule_of(text):
            raise ConfigError("simulated pictures are cropped to 240 um: give no rule", key="crop")
        made = simulated(*wanted, size, seed, progress=progress)
        return made if channels == 1 else _coloured(made)
    if text.startswith(_LABELME):
        return _labelled(Path(text.removeprefix(_LABELME)), size, channels, rule, seed, progress)
    path = Path(text)
    if path.suffix.lower() in _FILES:
        return _from_file(path, size, channels, rule)
    return _from_table(path, size, channels, rule, progress)


def rule_of(source: Source, rule: CropRule | None = None) -> CropRule | None:
    """How pictures of a source are cropped, for the checkpoint; None where that is not known.

    Raises
    ------
    FormatError
        The file cannot be read.
    """
    text = os.fspath(source)
    if _wanted(text) is not None:
        from refimpl.centring.simulate_view import crop_rule

        return crop_rule()
    if rule is None and Path(text).suffix.lower() in _FILES:
        kept = read_columns(text).get("crop_px")
        return None if kept is None else CropRule(float(kept[0]), float(kept[1]))
    return rule


def simulated(
    n_crystals: int, views: int = 2, crops: int = 10, size: int = 128, seed: int = 0, *,
    progress: Progress | None = None,
) -> Samples:  # fmt: skip
    """Crops of simulated photographs, 240 um wide; see :mod:`refimpl.centring.simulate_samples`.

    A crystal is named by the seed and its number.

    Raises
    ------
    ConfigError
        A number below 1.
    """
    from refimpl.centring.simulate_samples import samples

    made = samples(n_crystals, views, crops, size, seed, progress=progress)
    names = [f"{seed}-{number:05d}" for number in made.crystal]
    return Samples.of(made.image, made.rc, names, zoom=made.zoom, omega_rad=made.omega_rad)


def _wanted(text: str) -> tuple[int, int, int] | None:
    """Crystals, views and crops of a simulated source; None for another one."""
    if not text.startswith("simulated:"):
        return None
    found = _SIMULATED.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"source {text!r}: expected simulated:N or simulated:NxVIEWSxCROPS", key="source",
            got=text,
        )  # fmt: skip
    return int(found[1]), int(found[2] or 2), int(found[3] or 10)


def _coloured(made: Samples) -> Samples:
    """Grey pictures as three equal channels."""
    from dataclasses import replace

    return replace(made, images=np.repeat(made.images, 3, axis=1))


def _labelled(
    folder: Path, size: int, channels: int, rule: CropRule | None, seed: int,
    progress: Progress | None,
) -> Samples:  # fmt: skip
    from refimpl.centring.datasets_made import labelled_samples

    files = sorted(folder.glob("*.json"))
    if not files:
        raise FormatError("no .json files of labelme in this folder", path=folder)
    made = labelled_samples(files, size=size, rule=rule, seed=seed, progress=progress)
    return made if channels == 1 else _coloured(made)


def _from_file(path: Path, size: int, channels: int, rule: CropRule | None) -> Samples:
    columns = read_columns(path)
    if rule is not None and "kind" in columns:
        raise ConfigError("these pictures are cropped already: give no rule", path=path, key="crop")
    return samples_of(
        columns, path, lambda picture, zoom: _seen(planes(picture, channels), zoom, rule, size),
        size=size, channels=channels,
    )  # fmt: skip


def _from_table(
    path: Path, size: int, channels: int, rule: CropRule | None, progress: Progress | None
) -> Samples:
    from refimpl.io.photographs import read_photograph
    from refimpl.io.picture_table import find_picture_table, read_picture_table

    place = find_picture_table(path) if path.is_dir() else path
    table = read_picture_table(place)
    images = np.empty((len(table), channels, size, size), dtype=np.float32)
    columns = [table[c].tolist() for c in ("image", "zoom", "x_px", "y_px", "line")]
    last, layers = None, np.empty(0)
    for row, (name, zoom, x, y, line) in enumerate(zip(*columns, strict=True)):
        try:
            if name != last:  # a mesh scan has many rows of one picture
                last, layers = name, planes(read_photograph(place.parent / name), channels)
            images[row] = _seen(layers, zoom, rule, size, None if x != x else (x, y))
        except (FormatError, ConfigError) as error:
            raise FormatError(str(error), path=place, line=line, key="image", got=name) from error
        if progress is not None:
            progress(row + 1, len(table))
    return Samples(
        images, table["rc"].to_numpy(dtype=np.float64), np.array(table["crystal"].tolist()),
        table["zoom"].to_numpy(dtype=np.float64),
        np.radians(table["omega_deg"].to_numpy(dtype=np.float64)),
        np.array(table["image"].tolist()),
    )  # fmt: skip


def _seen(
    layers: F64, zoom: float, rule: CropRule | None, size: int,
    at: tuple[float, float] | None = None,
) -> F64:  # fmt: skip
    """(channels, size, size) what a net sees of a picture."""
    if not np.isfinite(layers).all():
        raise ConfigError("the picture has values that are not finite")
    height, width = layers.shape[1:]
    own = rule or CropRule(float(min(height, width)), 0.0)
    if own.slope_px and zoom != zoom:
        raise ConfigError("no zoom: the crop is linear in it", key="zoom")
    edge = own.edge_px(zoom if own.slope_px else 0.0)
    centre = (width / 2.0, height / 2.0) if at is None else at
    return np.stack([standardised(crop(plane, centre, edge, size)) for plane in layers])
