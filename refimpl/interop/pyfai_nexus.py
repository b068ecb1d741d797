r"""The NeXus detector of pyFAI: an HDF5 file with the four corners of every pixel.

It goes beside a ``.poni`` file and holds what that cannot: panels, each where it is, and the
distortion of the ring radius. A corner is put on the ray that it belongs to after correction,

.. math:: (x, y, z) \to z\,(-\sin\eta\,\tan 2\theta,\ \cos\eta\,\tan 2\theta,\ 1)

so that pyFAI's :math:`2\theta` is the corrected one; it interpolates linearly between the corners
of a pixel. pyFAI keeps corners as single precision numbers of metres: :math:`2\theta` is good to
:math:`10^{-7}` rad, not better. Pixels between panels are masked. The geometry itself is kept
beside the corners, so that reading gives back what was written, as long as the ``.poni`` file is
the one that was written with it; files of others are read where their pixels are one flat grid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.panel import Detector, Panel
from refimpl.errors import FormatError, GeometryError
from refimpl.frames import F64
from refimpl.hdf5 import check_written, read_hdf5
from refimpl.hdf5.writing import new_hdf5
from refimpl.interop.poni_file import Poni, format_poni, parse_poni
from refimpl.reading import parse_json
from refimpl.units import M

__all__ = [
    "belongs",
    "corners_of_rows",
    "detector_file",
    "nexus_poni_text",
    "panel_of_corners",
    "parse_nexus_poni",
    "read_nexus_detector",
    "write_nexus_detector",
]

OWN: Final = "refimpl_geometry"
_ROWS: Final = 64
_OFF_GRID_M: Final = 2e-7
"""Corners off a regular grid that are rounding in single precision [m]."""


def write_nexus_detector(
    path: str | Path, detector: Detector, plane: Panel, geometry: Mapping[str, Any]
) -> Poni:
    """Write the file of corners; the caller makes it appear whole (``io.atomic.atomic_path``).

    Parameters
    ----------
    path
        HDF5 file.
    detector
        Panels with their distortion, of one image.
    plane
        The whole image as one panel: where corners between panels are put.
    geometry
        What is to be found again, ready for JSON.

    Returns
    -------
    Geometry for the ``.poni`` file: no rotation, the distance of the plane, the beam at 0.
    """
    rows, columns = detector.image_shape
    distance = float(plane.lab_mm(np.array(0.5 * columns), np.array(0.5 * rows))[2])
    pixel = plane.pixel_size_mm[1] / M, plane.pixel_size_mm[0] / M
    poni = Poni(distance / M, 0.0, 0.0, pixel1_m=pixel[0], pixel2_m=pixel[1],
                shape=(rows, columns), detector="NexusDetector")  # fmt: skip
    with new_hdf5(path) as file:
        entry = _group(file, "entry", "NXentry")
        file.attrs["default"] = "entry"
        # pyFAI looks only into entries with a start time; there is none to state
        entry["start_time"] = np.bytes_("1970-01-01T00:00:00+00:00")
        group = _group(_group(entry, "instrument", "NXinstrument"), "detector", "NXdetector")
        for name, value in {
            "API_VERSION": np.bytes_("1.0"), "IS_FLAT": False, "IS_CONTIGUOUS": False,
            "force_pixel": False, "pixel_size": np.array(pixel),
            "max_shape": np.array([rows, columns], dtype=np.int32),
            "shape": np.array([rows, columns], dtype=np.int32),
            "orientation": np.array(3, dtype=np.int32),
            OWN: json.dumps({**geometry, "poni": _numbers(poni)}),
        }.items():  # fmt: skip
            group[name] = value
        group["pixel_size"].attrs["unit"] = "m"
        chunk = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        mask = np.ones((rows, columns), dtype=np.int8)
        for panel in detector.panels:
            (f, s), (n_fast, n_slow) = panel.image_origin_px, panel.size_px
            mask[s : s + n_slow, f : f + n_fast] = 0
        group.create_dataset("mask", data=mask, **chunk)
        corners = group.create_dataset(
            "pixel_corners", shape=(rows, columns, 4, 3), dtype=np.float32,
            chunks=(min(16, rows), min(256, columns), 4, 3), **chunk,
        )  # fmt: skip
        corners.attrs["interpretation"] = "vertex"
        for first in range(0, rows, _ROWS):
            last = min(first + _ROWS, rows)
            lab = corners_of_rows(detector, plane, first, last)
            zyx = np.stack([lab[..., 2] - distance, lab[..., 1], -lab[..., 0]], axis=-1) / M
            corners[first:last] = zyx.astype(np.float32)
    return poni


def _numbers(poni: Poni) -> list[float]:
    return [poni.dist_m, poni.poni1_m, poni.poni2_m, poni.rot1_rad, poni.rot2_rad, poni.rot3_rad]


def belongs(geometry: Mapping[str, Any], poni: Poni) -> bool:
    """Whether a ``.poni`` file is the one that was written with the corners."""
    return np.array_equal(geometry.get("poni", ()), _numbers(poni))


def nexus_poni_text(poni: Poni, file: str | Path) -> str:
    """Text of the ``.poni`` file that goes with a file of corners.

    Parameters
    ----------
    poni
        Geometry.
    file
        The file of corners. pyFAI looks for it from where it runs: give an absolute path.
    """
    config = json.dumps({"filename": str(file), "orientation": poni.orientation})
    lines = [
        f"Detector_config: {config}" if line.startswith("Detector_config") else line
        for line in format_poni(poni).splitlines()
    ]
    named = ["Detector: NexusDetector" if s.startswith("Detector: ") else s for s in lines]
    return "\n".join(named) + "\n"


def detector_file(text: str) -> str | None:
    """Name of the file of corners in the text of a ``.poni`` file; None if it has another detector.

    Raises
    ------
    FormatError
        The configuration of a NexusDetector is not JSON with a file name.
    """
    rows = [line.partition(":") for line in text.splitlines()]
    found = {key.strip().lower(): value.strip() for key, _, value in rows}
    if found.get("detector") != "NexusDetector":
        return None
    try:
        return str(parse_json(found.get("detector_config", ""))["filename"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError("NexusDetector: no filename in Detector_config") from error


def parse_nexus_poni(text: str, shape: tuple[int, int], path: str | Path | None = None) -> Poni:
    """Geometry of the text of a ``.poni`` file whose detector is a file of corners.

    Parameters
    ----------
    text
        Of the file.
    shape
        (rows, columns) of the corners.
    path
        For messages.
    """
    config = json.dumps({"pixel1": 1.0, "pixel2": 1.0, "max_shape": list(shape)})
    kept = [s for s in text.splitlines() if not s.lower().startswith("detector")]
    return parse_poni("\n".join([*kept, "Detector: Detector", f"Detector_config: {config}"]), path)


def _group(parent: Any, name: str, nx_class: str) -> Any:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


_CORNERS: Final = ((0, 0), (0, 1), (1, 1), (1, 0))
"""(fast, slow) of the corners A, B, C, D of pyFAI: A to B along the slow axis."""


def corners_of_rows(detector: Detector, plane: Panel, first: int, last: int) -> F64:
    """(n_slow, n_fast, 4, 3) corrected lab positions [mm] of the corners of some rows.

    Parameters
    ----------
    detector, plane
        As of :func:`write_nexus_detector`.
    first, last
        Rows, half open.
    """
    columns = detector.image_shape[1]
    out = np.empty((last - first, columns, 4, 3))
    everywhere = np.meshgrid(np.arange(columns + 1.0), np.arange(first, last + 1.0))
    _four(out, plane.lab_mm(*everywhere))
    for index, panel in enumerate(detector.panels):
        (f0, s0), (n_fast, n_slow) = panel.image_origin_px, panel.size_px
        low, high = max(first, s0), min(last, s0 + n_slow)
        if low < high:
            f, s = np.meshgrid(np.arange(n_fast + 1.0), np.arange(low, high + 1.0) - s0)
            two_theta, eta = detector.two_theta_eta(f, s, index)
            z = panel.lab_mm(f, s)[..., 2]
            radius = z * np.tan(two_theta)
            place = np.stack([-radius * np.sin(eta), radius * np.cos(eta), z], axis=-1)
            _four(out[low - first : high - first, f0 : f0 + n_fast], place)
    return out


def _four(out: F64, grid: F64) -> None:
    """Put the places of a grid of corners (m + 1, n + 1, 3) into those of its pixels."""
    rows, columns = out.shape[:2]
    for k, (df, ds) in enumerate(_CORNERS):
        out[:, :, k] = grid[ds : ds + rows, df : df + columns]


def read_nexus_detector(path: str | Path) -> tuple[Mapping[str, Any] | None, NDArray[np.float32]]:
    """Geometry that was written here, or None, and the corners (n_slow, n_fast, 4, 3) [m].

    Raises
    ------
    FormatError
        Not readable, or no detector with ``pixel_corners``.
    """
    found: list[Any] = []
    try:
        with read_hdf5(path) as file:
            file.visititems(
                lambda _, node: (
                    found.append(node)
                    if hasattr(node, "keys") and "pixel_corners" in node
                    else None
                )
            )
            if not found:
                raise FormatError("no detector with pixel_corners", path=path)
            data = found[0]["pixel_corners"]
            if len(data.shape) != 4 or data.shape[2:] != (4, 3) or 0 in data.shape:
                raise FormatError(
                    f"pixel_corners of shape {data.shape}: expected (rows, columns, 4, 3)",
                    path=path,
                )
            if data.dtype.kind not in "iuf":
                raise FormatError(
                    f"pixel_corners of type {data.dtype}: expected numbers", path=path
                )
            check_written(data, path)
            corners = np.asarray(data[()], dtype=np.float32)
            own = found[0][OWN][()] if OWN in found[0] else None
    except (OSError, KeyError, RuntimeError, AttributeError, TypeError, MemoryError) as error:
        raise FormatError(f"cannot be read as HDF5: {error}", path=path) from error
    try:
        return (None if own is None else parse_json(own)), corners
    except (ValueError, RecursionError, TypeError) as error:
        raise FormatError(f"{OWN} is not JSON: {error}", path=path) from error


def panel_of_corners(corners: NDArray[np.float32], poni: Poni) -> Panel:
    """Whole image as one panel in the lab frame.

    Parameters
    ----------
    corners
        (n_slow, n_fast, 4, 3) along, up, right [m], as pyFAI has them.
    poni
        Where the detector is.

    Raises
    ------
    GeometryError
        The pixels are not one flat grid.
    """
    rows, columns = corners.shape[:2]
    own = corners.astype(np.float64)[..., [1, 2, 0]]  # up, right, along
    origin = own[0, 0, 0]
    fast = (own[0, -1, 3] - origin) / columns
    slow = (own[-1, 0, 1] - origin) / rows
    f, s = np.meshgrid(np.arange(columns), np.arange(rows))
    for k, (df, ds) in enumerate(_CORNERS):
        expected = origin + (f + df)[..., None] * fast + (s + ds)[..., None] * slow
        off = float(np.nanmax(np.abs(own[..., k, :] - expected)))
        if not off < _OFF_GRID_M:
            raise GeometryError(
                f"the pixels of the NeXus detector are off a flat grid by {off * M:.3g} mm: panels "
                "or a distortion, of which only files written here can be read back"
            )
    t = poni.rotation()
    shift = np.array([-poni.poni1_m, -poni.poni2_m, poni.dist_m])

    def lab(v: F64) -> tuple[float, float, float]:
        up, right, along = t @ v
        return -float(right), float(up), float(along)

    sizes = [float(np.sqrt(v @ v)) for v in (fast, slow)]
    slow = slow - (slow @ fast) * fast / sizes[0] ** 2  # single precision shears
    slow = slow / np.sqrt(slow @ slow)
    place = lab(origin + shift)
    return Panel(
        "nexus", (place[0] * M, place[1] * M, place[2] * M), lab(fast / sizes[0]), lab(slow),
        (sizes[0] * M, sizes[1] * M), (columns, rows),
    )  # fmt: skip
