r"""Corrections of panels: what they do to a position, and detectors that differ in name only.

A panel is turned about its centre, then shifted (published order), then its distance, p2 and
tilts act with the rest of the model (:mod:`refimpl.detector.tilted_flat`):

.. math::

   Y' = c_Y + (Y - c_Y)\cos\Delta\theta - (Z - c_Z)\sin\Delta\theta + \Delta Y, \quad
   Z' = c_Z + (Y - c_Y)\sin\Delta\theta + (Z - c_Z)\cos\Delta\theta + \Delta Z

Published positions count from pixel centres, Y = fast - 0.5, and so do their panel centres, (first
+ last) / 2: the differences are the same in both. Source: MIDAS, AutoCalibrate manual version 10,
section 7.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import GeometryError
from refimpl.frames import F64, I64
from refimpl.rotations import midas_tilt, rx, tilts_of_matrix

__all__ = [
    "GAP",
    "corrected_position",
    "fixed_panel",
    "panel_angles",
    "panel_image",
    "panel_rotation",
    "remove_modes",
    "same_gauge",
    "shift_map",
]

F32 = NDArray[np.float32]

GAP = -1.0
"""Value of a pixel in no panel, in the published maps."""

_FAST, _SLOW, _THETA, _LSD, _P2, _TILT_FAST, _TILT_SLOW = range(len(PANEL_FIELDS))


def corrected_position(fast_px: F64, slow_px: F64, box: I64, correction: F64) -> tuple[F64, F64]:
    """Position after the panel's rotation and shift (published YRawCorr, ZRawCorr + 0.5).

    Parameters
    ----------
    fast_px, slow_px
        (...) raw positions on one panel, corner origin.
    box
        (4,) fast0, slow0, fast1, slow1 of the panel.
    correction
        (7,) numbers named by :data:`~refimpl.detector.tilted_flat.PANEL_FIELDS`; only shift and
        rotation are used.

    Returns
    -------
    fast_px, slow_px
        (...) [px].
    """
    centre_fast, centre_slow = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3])
    x, y = np.asarray(fast_px) - centre_fast, np.asarray(slow_px) - centre_slow
    c, s = np.cos(correction[_THETA]), np.sin(correction[_THETA])
    return (
        centre_fast + (x * c - y * s) + correction[_FAST],
        centre_slow + (x * s + y * c) + correction[_SLOW],
    )


def shift_map(boxes: I64, corrections: F64, shape: tuple[int, int]) -> F32:
    """How far every pixel's centre is moved by its panel: the published ``.shifts.tif``.

    Parameters
    ----------
    boxes
        (p, 4) fast0, slow0, fast1, slow1 of each panel, half open [px].
    corrections
        (p, 7) numbers named by :data:`~refimpl.detector.tilted_flat.PANEL_FIELDS`.
    shape
        (n_slow, n_fast) of the image in the model frame.

    Returns
    -------
    (n_slow, n_fast) [px] sqrt((dY + rotDY)^2 + (dZ + rotDZ)^2); -1 in gaps.
    """
    image = np.full(shape, GAP, dtype=np.float32)
    for box, correction in zip(boxes, corrections, strict=True):
        fast, slow = np.arange(box[0], box[2]) + 0.5, (np.arange(box[1], box[3]) + 0.5)[:, None]
        moved = corrected_position(fast, slow, box, correction)
        image[box[1] : box[3], box[0] : box[2]] = np.hypot(moved[0] - fast, moved[1] - slow)
    return image


def panel_image(boxes: I64, values: F64, shape: tuple[int, int]) -> F32:
    """One number a panel as an image; -1 in gaps and where the number is NaN.

    Parameters
    ----------
    boxes
        (p, 4), as in :func:`shift_map`.
    values
        (p,).
    shape
        (n_slow, n_fast) of the image in the model frame.
    """
    image = np.full(shape, GAP, dtype=np.float32)
    for box, value in zip(boxes, values, strict=True):
        image[box[1] : box[3], box[0] : box[2]] = GAP if np.isnan(value) else value
    return image


def fixed_panel(model: TiltedFlat, panel: int) -> TiltedFlat:
    """Return the same detector, told from one panel: the published convention of ``FixPanelID``.

    That panel gets shift, rotation, dLsd and dP2 of 0; what they were goes into the global
    parameters, and every other panel is restated against them:

    - the shift into the beam centre, which then counts from where that panel thinks it is;
    - the rotation into the tilts: the plane is turned in itself about the beam centre. Without
      tilts that is ``tx`` alone, with tilts ``ty`` and ``tz`` follow;
    - dLsd into Lsd, and the parallax is scaled with Lsd, for it is a length on that plane;
    - dP2 into p2.

    Every pixel in a panel keeps its 2-theta and eta: all of this is exact to rounding, with
    tilts, distortion and parallax too. The two tilts of the panel itself, which the published
    code lacks, stay with it: moving them into ty and tz would change Lsd + dLsd of the other
    panels, which the distortion is normalised by. *Not* kept: pixels in no panel, which have no
    correction to restate and follow the global parameters; and the wording of a gauge (a sum of
    shifts that was 0 is not any more).

    Parameters
    ----------
    model
        With panels; without corrections it is returned as it is.
    panel
        Index of the panel (published FixPanelID).

    Raises
    ------
    GeometryError
        No panels, no such panel, or pixels that are not square with a rotation to absorb: a
        rotation in pixels is then none in millimetres.
    """
    if model.panel_boxes is None:
        raise GeometryError("FixPanelID: the detector has no panels", key="FixPanelID", got=panel)
    count = len(model.panel_boxes)
    if not 0 <= panel < count:
        raise GeometryError(
            f"FixPanelID {panel}: the detector has {count} panels, 0 to {count - 1}",
            key="FixPanelID",
            got=panel,
        )
    if model.panel_corrections is None:
        return model
    moves = np.array(model.panel_corrections)
    turns = [panel_rotation(move) for move in moves]
    angle = float(np.arctan2(turns[panel][1, 2], turns[panel][2, 2]))
    fast_mm, slow_mm = model.pixel_size_mm
    if angle != 0.0 and abs(fast_mm - slow_mm) > 1e-12 * fast_mm:
        raise GeometryError(
            f"FixPanelID {panel}: its rotation cannot go into the tilts, because the pixels of "
            f"{fast_mm:g} x {slow_mm:g} mm are not square",
            key="FixPanelID",
            got=panel,
        )
    centres = model.corrections[:, :2]
    beam = np.array(model.beam_centre_px)
    c, s = np.cos(angle), np.sin(angle)
    turned = (centres + moves[:, :2] - beam) @ np.array([[c, -s], [s, c]])  # by minus the angle
    shifts = beam + turned - centres
    beam = beam - shifts[panel]
    moves[:, [_FAST, _SLOW]] = shifts - shifts[panel]
    if angle != 0.0:
        for move, turn in zip(moves, turns, strict=True):
            move[[_THETA, _TILT_FAST, _TILT_SLOW]] = panel_angles(rx(angle) @ turn)
        moves[panel, _THETA] = 0.0
    lsd = model.lsd_mm + float(moves[panel, _LSD])
    p = list(model.p)
    p[2] += float(moves[panel, _P2])
    moves[:, [_LSD, _P2]] -= moves[panel, [_LSD, _P2]]
    return model.replace(
        lsd_mm=lsd,
        beam_centre_px=(float(beam[0]), float(beam[1])),
        tilts_rad=_turned_tilts(model.tilts_rad, angle),
        parallax_mm=model.parallax_mm * lsd / model.lsd_mm,
        p=tuple(p),
        panel_corrections=moves,
    )


def _turned_tilts(
    tilts_rad: tuple[float, float, float], angle: float
) -> tuple[float, float, float]:
    """Tilts of the plane turned in itself, so that what turned by `angle` on it stands still."""
    return tilts_rad if angle == 0.0 else tilts_of_matrix(midas_tilt(*tilts_rad) @ rx(-angle))


def panel_rotation(move: F64) -> F64:
    """(3, 3) rotation of a panel against the plane, MIDAS frame: its own angle, then its tilts."""
    return midas_tilt(0.0, move[_TILT_FAST], move[_TILT_SLOW]) @ rx(-move[_THETA])


def panel_angles(turn: F64) -> tuple[float, float, float]:
    """d_theta, tilt_fast, tilt_slow [rad] of :func:`panel_rotation`."""
    return (
        float(np.arctan2(turn[1, 2], turn[1, 1])),
        float(np.arctan2(-turn[2, 0], turn[0, 0])),
        float(np.arctan2(turn[1, 0], np.hypot(turn[0, 0], turn[2, 0]))),
    )


def remove_modes(
    boxes: I64, corrections: F64, weights: F64 | None = None, *, expansion: bool = True
) -> F64:
    """Shifts without what they have in common with a shift, turn or growth of the whole detector.

    Two fits of one frame agree in their shifts only up to these modes, which the global
    parameters (beam centre, tx, Lsd) take up almost or wholly. The weighted sum of what is left
    along each mode is 0, whatever point the modes are taken about.

    Parameters
    ----------
    boxes
        (p, 4), as in :func:`shift_map`.
    corrections
        (p, 7) numbers named by :data:`~refimpl.detector.tilted_flat.PANEL_FIELDS`, or its first
        columns (at least two).
    weights
        (p,) of each panel; 0 leaves a panel out of the sums, but it is moved with the others.
        None weighs all alike.
    expansion
        Whether growth is removed.

    Returns
    -------
    (p, ...) copy. Where panels have a rotation of their own, the common turn is subtracted from
    it too; everything else is as it was. Exact to first order in the turn: for comparisons, not
    for output.

    Raises
    ------
    GeometryError
        Fewer than two panels with a weight, or panels that all have one centre.
    """
    table = np.array(corrections, dtype=np.float64)
    count = len(table)
    root = np.sqrt(np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64))
    modes = _modes(np.asarray(boxes, dtype=np.float64), expansion)
    weighted = modes * np.tile(root, 2)[:, None]
    if np.linalg.matrix_rank(weighted) < modes.shape[1]:
        raise GeometryError(
            f"{np.count_nonzero(root)} panels with a weight do not tell a turn or growth of the "
            "whole from a shift: two panels in different places are needed"
        )
    shifts = table[:, :2].T.ravel()
    common, *_ = np.linalg.lstsq(weighted, shifts * np.tile(root, 2), rcond=None)
    table[:, :2] = (shifts - modes @ common).reshape(2, count).T
    if table.shape[1] > _THETA and np.any(table[:, _THETA]):
        table[:, _THETA] -= common[2]
    return table


def _modes(boxes: F64, expansion: bool) -> F64:
    """(2 p, 4) shift along fast, along slow, turn [rad], growth; all fast rows first.

    Turn and growth are about the mean centre, which keeps the columns apart numerically.
    """
    centres = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    x, y = (centres - centres.mean(axis=0)).T
    one, zero = np.ones_like(x), np.zeros_like(x)
    pairs = [(one, zero), (zero, one), (-y, x), (x, y)]
    return np.stack([np.concatenate(pair) for pair in pairs[: 4 if expansion else 3]], axis=1)


def same_gauge(
    first: F64, second: F64, boxes: I64, weights: F64 | None = None, *, expansion: bool = True
) -> tuple[F64, F64]:
    """Both sets of corrections without their common modes, ready to be compared.

    Parameters
    ----------
    first, second
        (p, ...) corrections of two fits.
    boxes, weights, expansion
        As in :func:`remove_modes`; the same for both.
    """
    return (
        remove_modes(boxes, first, weights, expansion=expansion),
        remove_modes(boxes, second, weights, expansion=expansion),
    )
