"""The published files of panel corrections, as our tables and back: text, and maps as TIFF.

``panelshifts.txt`` itself is read and written by :mod:`refimpl.io.midas_outputs`; here its px,
degrees and micrometres become the (p, 7) table of
:data:`~refimpl.detector.tilted_flat.PANEL_FIELDS`. The signs are the same: dY is a shift towards
higher fast, dZ towards higher slow (both in the model frame), dTheta turns fast towards slow. The
published file has no room for the tilts of a panel. They go beside it, in a file of ours,
``<PanelShiftsFile>.tilts.txt`` (``# ID tiltFast tiltSlow``, degrees), which other codes ignore. It
names the checksum of the file that it belongs to: when another code has written that anew, the
tilts are refused, not mixed with shifts that were fitted without them.

``<PanelShiftsFile>.shifts.tif`` and ``.strain.tif`` are one little-endian float32 image each, in
one strip, in the model frame (row 0 is the lowest Z), -1 where there is no panel. The published
writer puts its ten tags out of order; ours are sorted, as TIFF asks.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.corrections import panel_image, shift_map
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import FormatError
from refimpl.frames import F64, I64
from refimpl.io.atomic import atomic_path, write_text
from refimpl.io.flat_formats import open_tiff
from refimpl.io.midas_outputs import PanelShifts, read_panel_shifts, write_panel_shifts
from refimpl.reading import read_bytes
from refimpl.units import DEG, UM

__all__ = [
    "STRAIN_SCALE",
    "corrections_from_shifts",
    "read_corrections",
    "read_panel_tif",
    "shifts_from_corrections",
    "tilts_path",
    "write_corrections",
    "write_shifts_tif",
    "write_strain_tif",
]

STRAIN_SCALE = 1e4
"""Unit of ``.strain.tif`` in the version of the manual; later versions write 1e6."""

_TILTS_HEADER = "# ID tiltFast tiltSlow"
_BELONGS = "# of the shifts with SHA-256"
_UNITS = (1.0, 1.0, DEG, UM, 1.0)


def corrections_from_shifts(shifts: PanelShifts, count: int, path: str | Path | None = None) -> F64:
    """(p, 7) corrections of a published table, by panel number.

    Parameters
    ----------
    shifts
        Of :func:`~refimpl.io.midas_outputs.read_panel_shifts`, in any order.
    count
        Panels p of the detector.
    path
        File that the table came from, for the message.

    Raises
    ------
    FormatError
        The table is one of another detector: panels are missing or too many.
    """
    columns = (shifts.d_y_px, shifts.d_z_px, shifts.d_theta_deg, shifts.d_lsd_um, shifts.d_p2)
    table = _by_panel(shifts.panel_id, np.stack(columns, axis=1), count, path)
    return np.hstack([table * _UNITS, np.zeros((count, len(PANEL_FIELDS) - len(_UNITS)))])


def _by_panel(panel_id: I64, values: F64, count: int, path: str | Path | None) -> F64:
    """(p, k) rows of a file in the order of the detector's panels.

    Raises
    ------
    FormatError
        The rows are not those of p panels.
    """
    given = {int(panel) for panel in panel_id}
    missing = [n for n in range(count) if n not in given]
    beyond = sorted(panel for panel in given if panel >= count)
    if missing or beyond:
        parts = [
            f"{', '.join(map(str, found[:5]))}{', ...' if len(found) > 5 else ''} {what}"
            for what, found in (("missing", missing), ("unknown", beyond))
            if found
        ]
        raise FormatError(
            f"panel corrections of another detector: {len(panel_id)} panels ({'; '.join(parts)}), "
            f"this one has {count}, 0 to {count - 1}",
            path=path,
        )
    table = np.empty((count, values.shape[1]))
    table[panel_id] = values
    return table


def shifts_from_corrections(corrections: F64) -> PanelShifts:
    """Published table of (p, 7) corrections; the two tilts have no place in it."""
    table = np.asarray(corrections, dtype=np.float64)[:, : len(_UNITS)] / _UNITS
    return PanelShifts(np.arange(len(table), dtype=np.int64), *(c.copy() for c in table.T))


def tilts_path(path: str | Path) -> Path:
    """File of the tilts that goes with a ``PanelShiftsFile``."""
    return Path(f"{path}.tilts.txt")


def write_corrections(path: str | Path, corrections: F64) -> tuple[Path, ...]:
    """Write ``panelshifts.txt``, and the file of tilts where a tilt is not 0; atomic.

    A file of tilts that is there already is written anew even with zeros: it would be read with
    this one.

    Returns
    -------
    Paths of the files written.
    """
    table = np.asarray(corrections, dtype=np.float64)
    written = [write_panel_shifts(path, shifts_from_corrections(table))]
    beside = tilts_path(path)
    if np.any(table[:, 5:7]) or beside.exists():
        degrees = table[:, 5:7] / DEG
        lines = [f"{n:d} {a:.10f} {b:.10f}" for n, (a, b) in enumerate(degrees)]
        head = [_TILTS_HEADER, f"{_BELONGS} {_checksum(written[0])}"]
        written.append(write_text(beside, "\n".join([*head, *lines]) + "\n"))
    return tuple(written)


def read_corrections(path: str | Path, count: int) -> F64:
    """(p, 7) corrections of a ``PanelShiftsFile``, with the tilts beside it if there are any.

    Parameters
    ----------
    path
        ``panelshifts.txt``, ours or any code's.
    count
        Panels p of the detector.

    Raises
    ------
    FormatError
        Either file cannot be read, is broken, or is one of another detector; or the tilts belong
        to another version of the file.
    """
    file = Path(path)
    table = corrections_from_shifts(read_panel_shifts(file), count, file)
    beside = tilts_path(file)
    if beside.exists():
        first = read_bytes(beside).decode("utf-8", errors="replace").splitlines()[:2]
        if f"{_BELONGS} {_checksum(file)}" not in first:
            raise FormatError(
                f"these tilts do not belong to {file.name} as it is now: remove this file to go on "
                "without tilts",
                path=beside,
            )
        tilts = read_panel_shifts(beside)  # the same layout with two columns: ID, tilt, tilt
        degrees = np.stack([tilts.d_y_px, tilts.d_z_px], axis=1)
        table[:, 5:7] = _by_panel(tilts.panel_id, degrees, count, beside) * DEG
    return table


def _checksum(file: Path) -> str:
    return hashlib.sha256(read_bytes(file)).hexdigest()


# --- maps ----------------------------------------------------------------------------------------


def write_shifts_tif(
    path: str | Path, boxes: I64, corrections: F64, shape: tuple[int, int]
) -> Path:
    """Write ``.shifts.tif``: how far every pixel is moved by its panel [px]; atomic.

    Parameters
    ----------
    path
        Published: ``<PanelShiftsFile>.shifts.tif``.
    boxes, corrections, shape
        As in :func:`~refimpl.detector.corrections.shift_map`.
    """
    return _write_tif(Path(path), shift_map(boxes, corrections, shape))


def write_strain_tif(
    path: str | Path,
    boxes: I64,
    strain: F64,
    shape: tuple[int, int],
    *,
    scale: float = STRAIN_SCALE,
) -> Path:
    """Write ``.strain.tif``: the mean strain of every panel; atomic.

    Parameters
    ----------
    path
        Published: ``<PanelShiftsFile>.strain.tif``.
    boxes, shape
        As in :func:`~refimpl.detector.corrections.shift_map`.
    strain
        (p,) mean absolute strain; NaN for a panel without points, which becomes -1.
    scale
        Times which it is written: 1e4 as published, 1e6 in later versions.
    """
    return _write_tif(Path(path), panel_image(boxes, np.asarray(strain) * scale, shape))


def _write_tif(path: Path, image: NDArray[np.float32]) -> Path:
    import tifffile

    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            image,
            byteorder="<",
            photometric="minisblack",
            rowsperstrip=image.shape[0],
            metadata=None,
            software=False,
        )
    return path


def read_panel_tif(path: str | Path, shape: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """Map of a ``.shifts.tif`` or ``.strain.tif``, ours or published.

    Parameters
    ----------
    path
        File.
    shape
        (n_slow, n_fast) that the image must have; None takes any.

    Returns
    -------
    (n_slow, n_fast) in the model frame, -1 where there is no panel.

    Raises
    ------
    FormatError
        It cannot be read, is not one float32 image, or has another shape.
    """
    file = Path(path)
    try:
        file.open("rb").close()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=file) from error
    try:
        with open_tiff(file) as source:
            image, n = source.frame(0), source.n_frames
    except FormatError as error:
        raise FormatError("not a TIFF: no page of it can be read", path=file) from error
    if n != 1 or image.dtype != np.float32:
        got = f"{image.dtype} of {image.shape}" if n == 1 else f"{n} pages"
        raise FormatError(f"a map of panels is one float32 image, got {got}", path=file)
    if shape is not None and image.shape != tuple(shape):
        raise FormatError(
            f"this map has {image.shape[1]} x {image.shape[0]} px, the image "
            f"{shape[1]} x {shape[0]} (fast x slow)",
            path=file,
        )
    return image
