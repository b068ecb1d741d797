r"""Geometry from GSAS-II image controls (.imctrl), read only.

With :math:`(dx, dy)` in mm from the direct beam on the image, x along its rows and y along its
columns, GSAS-II takes

.. math::

   Z = \sin t\,(dx \sin\phi - dy \cos\phi), \quad
   \tan 2\theta = \frac{\sqrt{dx^2 + dy^2 - Z^2}}{D / \cos t - Z}

where D is the length of the normal from the sample, t the tilt and :math:`\phi` its rotation, so
the point on the image lies :math:`D / \cos t - Z` down the beam. This fixes a plane up to a roll
about the beam, which no ring shows; it is chosen so that the plane is tilted without roll and the
image's rows run from the top down. Source: Von Dreele (2014), J. Appl. Cryst. 47, 1748; GSAS-II,
``GetTthAzmDsp``. *Not* converted: the penetration correction DetDepth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel import Panel
from refimpl.errors import FormatError, GeometryError
from refimpl.frames import F64
from refimpl.interop.plane import tilted_flat_from_panel
from refimpl.reading import read_text
from refimpl.rotations import expmap
from refimpl.units import DEG

__all__ = ["ImageControls", "parse_imctrl", "read_imctrl", "tilted_flat_from_imctrl"]


@dataclass(frozen=True)
class ImageControls:
    """The geometry of an .imctrl file, in its own units.

    Attributes
    ----------
    wavelength_angstrom
        Wavelength.
    distance_mm
        From the sample along the normal of the detector.
    centre_mm
        (x, y) of the direct beam from the outer corner of the image.
    tilt_deg, rotation_deg
        Tilt and the direction it goes in.
    det_depth
        Penetration parameter.
    """

    wavelength_angstrom: float
    distance_mm: float
    centre_mm: tuple[float, float]
    tilt_deg: float
    rotation_deg: float
    det_depth: float = 0.0


def parse_imctrl(text: str, path: str | Path | None = None) -> ImageControls:
    """Geometry from the text of a file.

    Raises
    ------
    FormatError
        A needed key is missing or not a number.
    """
    found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def numbers(key: str, count: int = 1, default: str | None = None) -> list[float]:
        words = found.get(key, default)
        if words is None:
            raise FormatError(f"the key {key!r} is missing", path=path, key=key)
        try:
            values = [float(w) for w in words.strip().strip("[]").split(",")]
        except ValueError:
            values = []
        if len(values) != count or not np.all(np.isfinite(values)):
            raise FormatError(f"{key}:{words}: expected {count} number(s)", path=path, key=key)
        return values

    x, y = numbers("center", 2)
    return ImageControls(
        wavelength_angstrom=numbers("wavelength")[0],
        distance_mm=numbers("distance")[0],
        centre_mm=(x, y),
        tilt_deg=numbers("tilt")[0],
        rotation_deg=numbers("rotation")[0],
        det_depth=numbers("DetDepth", default="0.0")[0],
    )


def read_imctrl(path: str | Path) -> ImageControls:
    """Geometry of a file; see :func:`parse_imctrl`."""
    try:
        text = read_text(path, errors="replace")
    except OSError as exc:
        raise FormatError(f"cannot be read: {exc.strerror}", path=path) from exc
    return parse_imctrl(text, path)


def tilted_flat_from_imctrl(
    controls: ImageControls,
    shape: tuple[int, int],
    pixel_size_mm: tuple[float, float],
    *,
    ignore_depth: bool = False,
) -> TiltedFlat:
    """Model with the two-theta of GSAS-II at every pixel.

    Parameters
    ----------
    controls
        Geometry.
    shape
        (n_slow, n_fast) of the image, which the file does not say.
    pixel_size_mm
        Along (fast, slow), which the file does not say.
    ignore_depth
        Leave the penetration correction out.

    Raises
    ------
    GeometryError
        DetDepth is not zero.
    """
    if controls.det_depth != 0.0 and not ignore_depth:
        raise GeometryError(
            f"DetDepth = {controls.det_depth:g}: the penetration correction of GSAS-II has no "
            "equal here; pass ignore_depth=True to leave it out"
        )
    tilt, turn = controls.tilt_deg * DEG, controls.rotation_deg * DEG
    # Down the beam a step in x gains -sin(t) sin(phi), a step in y sin(t) cos(phi): a plane across
    # the beam with x to the right (-X) and y down (-Y), turned by t about the axis below.
    axis = np.array([-np.cos(turn), -np.sin(turn), 0.0])
    rotation = expmap(tilt * axis)
    fast, slow = rotation @ np.array([-1.0, 0.0, 0.0]), rotation @ np.array([0.0, -1.0, 0.0])
    hit = np.array([0.0, 0.0, controls.distance_mm / np.cos(tilt)])
    corner = hit - controls.centre_mm[0] * fast - controls.centre_mm[1] * slow
    axes = _triple(fast), _triple(slow)
    return tilted_flat_from_panel(
        Panel("imctrl", _triple(corner), *axes, pixel_size_mm, shape[::-1])
    )


def _triple(v: F64) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])
