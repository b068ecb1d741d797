r"""Geometry from HEXRD instrument descriptions, and back.

HEXRD's lab has x to the right and y up as the detector is looked at along the beam, which runs
along -z; a panel is measured from its centre, row 0 at +y:

.. math::

   x = s_c\,(j + \tfrac12 - n_c/2), \quad y = s_r\,(n_r/2 - i - \tfrac12), \quad
   P = \exp(\mathrm{tilt})\,(x, y, 0)^T + \mathrm{translation}

Turned by half a turn about y this is our lab frame: :math:`(x, y, z)_\mathrm{ours} = (-x, y, -z)`.
A beam that is not along -z is turned onto it first, by the smallest rotation. Source: Bernier et
al. (2011), J. Strain Anal. 46, 527, and HEXRD's instrument files. *Not* converted: the distortion
of a panel, which is centred on the panel and not on the beam; :func:`ge_41rt` evaluates the one
in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel import Detector, Panel
from refimpl.errors import ConfigError, GeometryError
from refimpl.frames import F64
from refimpl.interop.hexrd_file import (
    LAB_FROM_HEXRD,
    HexrdInstrument,
    HexrdPanel,
    parse_hexrd,
    read_hexrd,
)
from refimpl.interop.plane import panel_of_tilted_flat, require_plain, tilted_flat_from_panel
from refimpl.rotations import expmap, rotation_vector
from refimpl.units import kev_to_angstrom

__all__ = [
    "HexrdInstrument",
    "HexrdPanel",
    "detector_from_hexrd",
    "ge_41rt",
    "hexrd_from_tilted_flat",
    "parse_hexrd",
    "read_hexrd",
    "tilted_flat_from_hexrd",
]

GE_41RT_RADIUS_MM: Final = 204.8
"""Radius that HEXRD's GE_41RT polynomial is normalised by: half the side of the detector."""


def detector_from_hexrd(
    instrument: HexrdInstrument,
    image_shape: tuple[int, int] | None = None,
    image_origins_px: Mapping[str, tuple[int, int]] | None = None,
    *,
    ignore_distortion: bool = False,
) -> Detector:
    """Vectors of every panel, in the pixel order of the panels' own images.

    Parameters
    ----------
    instrument
        Instrument.
    image_shape
        (n_slow, n_fast) of the image that the panels are cut from; for one panel its own shape.
    image_origins_px
        (fast, slow) of each panel's first pixel in that image; (0, 0) for a single panel.
    ignore_distortion
        Take the panels as if they had no distortion.

    Raises
    ------
    GeometryError
        A panel has a distortion.
    ConfigError
        The place of several panels in the image is not given.
    """
    names = [p.name for p in instrument.panels]
    origins = dict(image_origins_px or {})
    missing = sorted(set(names) - set(origins))
    if len(names) > 1 and (image_shape is None or missing):
        raise ConfigError(
            f"{len(names)} panels in one image need image_shape and the image_origins_px of every "
            f"panel (missing: {', '.join(missing[:4]) or 'image_shape'})"
        )
    panels = tuple(
        _lab_panel(instrument, p, origins.get(p.name, (0, 0)), ignore_distortion)
        for p in instrument.panels
    )
    return Detector(panels, image_shape or instrument.panels[0].shape)


def _lab_panel(
    instrument: HexrdInstrument, panel: HexrdPanel, origin_px: tuple[int, int], ignore: bool
) -> Panel:
    if panel.distortion is not None and any(panel.distortion[1][:3]) and not ignore:
        raise GeometryError(
            f"panel {panel.name!r} has the distortion {panel.distortion[0]}, which is centred on "
            "the panel and has no equal here: pass ignore_distortion=True and fit it anew"
        )
    (rows, columns), (row_mm, column_mm) = panel.shape, panel.pixel_size_mm
    turn = instrument.to_lab()
    axes = turn @ expmap(np.array(panel.tilt))
    corner = np.array([-0.5 * columns * column_mm, 0.5 * rows * row_mm, 0.0])
    return Panel(
        name=panel.name,
        origin_mm=_floats(axes @ corner + turn @ np.array(panel.translation_mm)),
        fast_axis=_floats(axes[:, 0]),
        slow_axis=_floats(-axes[:, 1]),
        pixel_size_mm=(column_mm, row_mm),
        size_px=(columns, rows),
        image_origin_px=origin_px,
    )


def tilted_flat_from_hexrd(
    instrument: HexrdInstrument, *, ignore_distortion: bool = False
) -> TiltedFlat:
    """Model of an instrument with one panel.

    Raises
    ------
    GeometryError
        It has several panels or a distortion.
    """
    if len(instrument.panels) != 1:
        raise GeometryError(
            f"the instrument has {len(instrument.panels)} panels, each with its own tilt: "
            "detector_from_hexrd gives their vectors"
        )
    panel = _lab_panel(instrument, instrument.panels[0], (0, 0), ignore_distortion)
    return tilted_flat_from_panel(panel)


def hexrd_from_tilted_flat(
    model: TiltedFlat, wavelength_angstrom: float, name: str = "detector"
) -> dict[str, Any]:
    """Instrument in HEXRD's own layout (``beam``, ``detectors``), ready for JSON or YAML.

    Raises
    ------
    GeometryError
        The model has distortion, parallax or panel corrections.
    """
    require_plain(model, "a HEXRD instrument")
    panel = panel_of_tilted_flat(model)
    columns, rows = panel.size_px
    fast, slow = (LAB_FROM_HEXRD @ np.array(v) for v in (panel.fast_axis, panel.slow_axis))
    centre = panel.lab_mm(np.array(0.5 * columns), np.array(0.5 * rows))
    matrix = np.stack([fast, -slow, np.cross(fast, -slow)], axis=1)
    column_mm, row_mm = panel.pixel_size_mm
    transform = {
        "tilt": [float(v) for v in rotation_vector(matrix)],
        "translation": [float(v) for v in LAB_FROM_HEXRD @ centre],
    }
    pixels = {"rows": rows, "columns": columns, "size": [row_mm, column_mm]}
    return {
        "beam": {
            "energy": kev_to_angstrom(wavelength_angstrom),
            "vector": {"azimuth": 90.0, "polar_angle": 90.0},
        },
        "detectors": {name: {"pixels": pixels, "transform": transform}},
    }


def _floats(v: F64) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])


def ge_41rt(xy_mm: F64, parameters: tuple[float, ...]) -> F64:
    r"""Undistorted position of points of a GE 41RT, as HEXRD corrects them.

    .. math::

       r' = r\,\bigl(1 + a_1 \rho^{n_1}\cos 2\phi + a_2 \rho^{n_2}\cos 4\phi + a_3\rho^{n_3}\bigr),
       \quad \rho = r / 204.8\,\mathrm{mm}

    Parameters
    ----------
    xy_mm
        (n, 2) from the centre of the panel, x to the right, y up.
    parameters
        a1, a2, a3, n1, n2, n3.

    Returns
    -------
    (n, 2) [mm].

    Raises
    ------
    GeometryError
        Not six parameters.
    """
    if len(parameters) != 6:
        raise GeometryError(f"GE_41RT has {len(parameters)} parameters: expected 6")
    a1, a2, a3, n1, n2, n3 = parameters
    xy = np.asarray(xy_mm, dtype=np.float64)
    r, phi = np.hypot(xy[:, 0], xy[:, 1]), np.arctan2(xy[:, 1], xy[:, 0])
    rho = r / GE_41RT_RADIUS_MM
    scale = 1.0 + a1 * rho**n1 * np.cos(2 * phi) + a2 * rho**n2 * np.cos(4 * phi) + a3 * rho**n3
    return np.asarray(xy * scale[:, None])
