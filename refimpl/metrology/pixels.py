"""Pixels to millimetres and back, with the tables of corrections that an experiment names.

``refimpl metrology import --x-corrections X --y-corrections Y`` writes the names of the tables into
the image set. They are added to recorded pixels before the panels' own parallax; recorded and
predicted pixels of reflection tables stay those of the image as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from refimpl.detector.hierarchy import OffsetTables
from refimpl.detector.offset_tables import offsets_of_corrections
from refimpl.errors import FormatError, GeometryError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64, I64
from refimpl.io.xds_tables import Layout, read_with_layout
from refimpl.metrology.correction_tables import image_shape, without_parallax

__all__ = ["TABLE_KEYS", "mm_to_pixels", "offsets_of", "pixels_to_mm", "with_corrections"]

TABLE_KEYS: Final = ("x_corrections", "y_corrections")
"""Keys of the image set that name the tables. Other programs do not know them."""


@lru_cache(maxsize=2)
def _read(x: Path, y: Path, shape: tuple[int, int], _: tuple[int, int]) -> tuple[F64, F64, Layout]:
    return read_with_layout(x, y, shape)


def _tables(experiment: Experiment, paths: Sequence[Path]) -> tuple[OffsetTables, Layout]:
    if experiment.detector is None:
        raise GeometryError("tables of corrections for an experiment without a detector")
    for path in paths:
        if not path.is_file():
            raise FormatError("no such table of corrections", path=path)
    stamp = paths[0].stat().st_mtime_ns, paths[1].stat().st_mtime_ns
    x, y, layout = _read(paths[0], paths[1], image_shape(experiment.detector), stamp)
    return offsets_of_corrections(experiment.detector, x, y), layout


def offsets_of(experiment: Experiment) -> OffsetTables | None:
    """Offsets of the panels of an experiment; None where it names no tables.

    Raises
    ------
    FormatError
        A table is missing or of another detector.
    """
    entry = experiment.imageset or {}
    names = [str(entry.get(key) or "") for key in TABLE_KEYS]
    if not all(names):
        return None
    return _tables(experiment, [Path(name) for name in names])[0]


def with_corrections(experiment: Experiment, x_path: Path, y_path: Path) -> Experiment:
    """Experiment whose pixels are corrected by two tables.

    Tables in the layout of XDS have the parallax in them: the panels lose their own.

    Raises
    ------
    FormatError
        A table is missing, unreadable or of another detector.
    GeometryError
        There is no detector.
    """
    paths = [x_path.absolute(), y_path.absolute()]
    _, layout = _tables(experiment, paths)
    detector = experiment.detector
    assert detector is not None  # _tables demands one
    named = dict(zip(TABLE_KEYS, map(str, paths), strict=True))
    return replace(
        experiment,
        imageset={**(experiment.imageset or {}), **named},
        detector=without_parallax(detector) if layout == "xds" else detector,
    )


def pixels_to_mm(experiment: Experiment, panel: I64, x_px: F64, y_px: F64) -> tuple[F64, F64]:
    """Position on the panels [mm] of recorded pixels (n,), corrected by tables and for parallax."""
    assert experiment.detector is not None
    return experiment.detector.pixel_to_mm(panel, x_px, y_px, offsets_of(experiment))


def mm_to_pixels(experiment: Experiment, panel: I64, x_mm: F64, y_mm: F64) -> tuple[F64, F64]:
    """Pixels (n,) that record photons at positions on the panels [mm]."""
    assert experiment.detector is not None
    return experiment.detector.mm_to_pixel(panel, x_mm, y_mm, offsets_of(experiment))
