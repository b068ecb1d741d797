r"""Geometry to and from ImageD11: the ``.par`` file, one ``name value`` a line.

ImageD11's frame is that of MIDAS: x along the beam, y to the left, z up. A pixel at slow and fast
index (s, f), counted from pixel centres, is at

.. math::

   \begin{pmatrix} z' \\ y' \end{pmatrix} = O \begin{pmatrix} (s - z_c)\,z_s \\ (f - y_c)\,y_s
   \end{pmatrix}, \qquad x = (D, 0, 0)^T + R_x(t_x) R_y(t_y) R_z(t_z)\,(0, y', z')^T

with O the matrix ``o11 o12 o21 o22`` of 0, 1 and -1, lengths in micrometres by
custom, tilts in radians. The rotation axis is :math:`W^T C^T (0, 0, 1)^T` for ``wedge`` and
``chi`` in degrees, turned the other way for ``omegasign`` -1. Source: ImageD11 2.1.3,
``transform.py`` (``compute_xyz_lab``, ``compute_g_from_k``). The file has no place for the shape of
the image: it is written under names of ours, ``image_n_slow`` and ``image_n_fast``, which ImageD11
keeps and ignores. *Not* converted: ``t_x t_y t_z``, which move the sample (refused unless 0), the
unit cell, and the spline files that ImageD11 is given beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from refimpl.detector.orientation import model_from_file
from refimpl.detector.panel import Panel
from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.frames import F64, PIXEL_CENTRE, lab_from_midas, midas_from_lab
from refimpl.interop.plane import upright_codes
from refimpl.reading import read_text
from refimpl.rotations import midas_tilt, rx, ry, tilts_of_matrix
from refimpl.units import DEG, UM

__all__ = [
    "axis_of_par",
    "format_par",
    "panel_of_par",
    "par_from_panel",
    "par_of_axis",
    "parse_par",
    "read_par",
]

_NEEDED: Final = ("distance", "y_center", "y_size", "z_center", "z_size")
_ORIENTATION: Final = {"o11": 1.0, "o12": 0.0, "o21": 0.0, "o22": -1.0}
"""ImageD11's own defaults."""
_MOVES: Final = ("t_x", "t_y", "t_z")

Values = dict[str, float | str]


def parse_par(text: str, path: str | Path | None = None) -> Values:
    """Values by name; numbers where they are numbers. A name that is repeated: the last counts.

    Raises
    ------
    FormatError
        A line is not a name and a value, or one that is needed is missing or no number.
    """
    out: Values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise FormatError(
                f"{line.strip()[:60]!r}: expected 'name value'", path=path, line=number
            )
        name = words[0].replace("-", "_")
        try:
            out[name] = float(words[1])
        except ValueError:
            out[name] = words[1]
    for name in _NEEDED:
        if name not in out:
            raise FormatError(f"not an ImageD11 file: no {name}", path=path, key=name)
    known = (*_NEEDED, *_ORIENTATION, *_MOVES, "tilt_x", "tilt_y", "tilt_z", "wavelength",
             "wedge", "chi", "omegasign", "image_n_slow", "image_n_fast")  # fmt: skip
    for name in known:
        value = out.get(name, 0.0)
        if isinstance(value, str) or not np.isfinite(value):
            raise FormatError(f"{name} {value!r} is not a number", path=path, key=name)
    return out


def read_par(path: str | Path) -> Values:
    """Values of a ``.par`` file; see :func:`parse_par`."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as exc:
        raise FormatError(f"cannot be read as text: {exc}", path=path) from exc
    return parse_par(text, path)


def format_par(values: Mapping[str, Any]) -> str:
    """Text of a file: names in order, numbers with the digits that restore them."""
    lines = [
        f"{name} {float(value)!r}" if isinstance(value, float) else f"{name} {value}"
        for name, value in sorted(values.items())
    ]
    return "\n".join(lines) + "\n"


def _number(values: Mapping[str, Any], name: str, default: float = 0.0) -> float:
    return float(values.get(name, default))


def panel_of_par(values: Mapping[str, Any], shape: tuple[int, int] | None = None) -> Panel:
    """Image as one panel in the lab frame.

    Parameters
    ----------
    values
        Of :func:`parse_par`, lengths in micrometres.
    shape
        (n_slow, n_fast) of the image; needed where the file does not say.

    Raises
    ------
    ConfigError
        The shape is not known.
    GeometryError
        The sample is moved, the orientation is no flip or transpose, or sizes are not positive.
    """
    if shape is None and "image_n_slow" in values and "image_n_fast" in values:
        shape = int(values["image_n_slow"]), int(values["image_n_fast"])
    if shape is None:
        raise ConfigError("an ImageD11 file does not state the shape of the image: give it")
    if moved := [name for name in _MOVES if _number(values, name) != 0.0]:
        raise GeometryError(f"{', '.join(moved)}: the sample is off the origin, which is not read")
    o = np.array([_number(values, name, default) for name, default in _ORIENTATION.items()])
    flips = o.reshape(2, 2)
    if not np.array_equal(np.abs(flips).sum(axis=0), [1, 1]) or abs(np.linalg.det(flips)) != 1:
        raise GeometryError(f"o11 o12 o21 o22 = {o.tolist()}: expected a flip or a transpose")
    size_slow, size_fast = (_number(values, n) * UM for n in ("z_size", "y_size"))
    if size_slow * size_fast == 0.0:
        raise GeometryError("y_size and z_size must not be 0")
    tilt = midas_tilt(*(_number(values, f"tilt_{axis}") for axis in "xyz"))
    along = np.zeros((3, 2))  # (0, y', z') of one step along slow, fast
    along[2], along[1] = flips @ np.diag([size_slow, size_fast])
    slow, fast = (tilt @ along).T
    centre = np.array([_number(values, "z_center"), _number(values, "y_center")]) + PIXEL_CENTRE
    origin = np.array([_number(values, "distance") * UM, 0.0, 0.0])
    origin = origin - centre[0] * slow - centre[1] * fast
    return Panel(
        "imaged11", _lab(origin), _lab(fast / abs(size_fast)), _lab(slow / abs(size_slow)),
        (abs(size_fast), abs(size_slow)), (shape[1], shape[0]),
    )  # fmt: skip


def _lab(v: F64) -> tuple[float, float, float]:
    x, y, z = lab_from_midas(v)
    return float(x), float(y), float(z)


def par_from_panel(panel: Panel, wavelength_angstrom: float | None = None) -> Values:
    """Values that put every pixel of an image where the panel has it.

    Of the eight orientations that one is taken which leaves the smallest roll ``tilt_x``.

    Raises
    ------
    GeometryError
        The beam does not cross the panel's plane downstream of the sample.
    """
    origin, fast, slow = (
        midas_from_lab(np.array(v)) for v in (panel.origin_mm, panel.fast_axis, panel.slow_axis)
    )
    normal = np.cross(fast, slow)
    if normal[0] == 0.0 or (distance := float(origin @ normal / normal[0])) <= 0.0:
        raise GeometryError("the detector's plane does not cross the beam downstream of the sample")
    to_beam = np.array([distance, 0.0, 0.0]) - origin
    beam = np.array([fast @ to_beam, slow @ to_beam]) / panel.pixel_size_mm - PIXEL_CENTRE
    # model axes (right, up) of the codes, as signed sums of (fast, slow); y' is to the left
    right, up = _signs(fast, slow)
    flips = np.array([[up[1], up[0]], [-right[1], -right[0]]])
    left_axis = -(right[0] * fast + right[1] * slow)
    up_axis = up[0] * fast + up[1] * slow
    tilt = np.stack([np.cross(left_axis, up_axis), left_axis, up_axis], axis=1)
    tilts = tilts_of_matrix(tilt)
    out: Values = {
        "distance": distance / UM,
        "y_center": float(beam[0]), "y_size": panel.pixel_size_mm[0] / UM,
        "z_center": float(beam[1]), "z_size": panel.pixel_size_mm[1] / UM,
        **{f"tilt_{axis}": v for axis, v in zip("xyz", tilts, strict=True)},
        **{name: int(v) for name, v in zip(_ORIENTATION, flips.ravel(), strict=True)},
        **dict.fromkeys(_MOVES, 0.0),
        "image_n_slow": panel.size_px[1], "image_n_fast": panel.size_px[0],
        "wedge": 0.0, "chi": 0.0, "omegasign": 1.0,
    }  # fmt: skip
    if wavelength_angstrom is not None:
        out["wavelength"] = wavelength_angstrom
    return out


def _signs(fast: F64, slow: F64) -> F64:
    """(2, 2) rows right and up as signed sums of fast and slow."""
    return model_from_file(upright_codes(fast, slow), (1, 1))[0]


# --- rotation axis --------------------------------------------------------------------------------


def axis_of_par(values: Mapping[str, Any]) -> F64:
    """(3,) rotation axis in the lab frame, about which omega grows right-handed."""
    wedge, chi = _number(values, "wedge") * DEG, _number(values, "chi") * DEG
    axis = ry(-wedge) @ rx(chi) @ np.array([0.0, 0.0, 1.0])
    return lab_from_midas(axis * np.sign(_number(values, "omegasign", 1.0)))


def par_of_axis(axis: F64) -> Values:
    """Wedge, chi [degrees] and omegasign of a rotation axis (3,) in the lab frame."""
    v = midas_from_lab(np.asarray(axis, dtype=np.float64))
    v = v / np.sqrt(v @ v)
    sign = -1.0 if v[2] < 0.0 else 1.0
    x, y, z = v * sign
    return {
        "wedge": float(np.arctan2(-x, z) / DEG),
        "chi": float(np.arctan2(-y, np.hypot(x, z)) / DEG),
        "omegasign": sign,
    }
