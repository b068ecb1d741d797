r"""A list of flat panels as the parametrised model: one plane, and what each panel departs by.

Any detector of several panels (HEXRD, NeXus, DIALS, geometry.json) is a
:class:`~refimpl.detector.panel.Detector`; this module finds the global plane and the (p, 7)
corrections of :class:`~refimpl.detector.model.TiltedFlat` that put every pixel at exactly the same
place. A panel has six degrees of freedom, and so have its corrections: two shifts, a height along
the beam, a rotation and two tilts. With :math:`T` the tilt of the plane and :math:`P` the axes of
the panel (normal, left, up), :math:`T^{-1}P = R_y(\mathrm{tilt_{fast}})\,
R_z(\mathrm{tilt_{slow}})\,R_x(-\Delta\theta)` gives the angles; the panel's centre, moved along
the beam into the plane, gives the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.detector.corrections import panel_angles
from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import model_from_file, transformed_shape
from refimpl.detector.panel import Detector, Panel
from refimpl.detector.panel_boxes import boxes_in_model_frame, check_boxes
from refimpl.errors import GeometryError
from refimpl.frames import F64, I64, midas_from_lab
from refimpl.interop.plane import upright_codes
from refimpl.rotations import expmap, tilts_of_matrix

__all__ = ["boxes_of_detector", "tilted_flat_from_panels"]

_SAME_PIXEL = 1e-9
"""Relative difference of pixel sizes that is rounding in a file (1e-6 px across 1000 px)."""
_NO_TURN = 1e-12
"""Angle [rad] that shears no panel by more than 1e-9 px."""
_IN_LINE, _CURVED = 1e-3, 0.1
"""Spread of the centres across, and out of, the plane from which they do not define one."""


def boxes_of_detector(detector: Detector, image_transform: Sequence[int] = ()) -> I64:
    """(p, 4) fast0, slow0, fast1, slow1 of each panel, half open [px], in the model frame.

    Parameters
    ----------
    detector
        Panels in the pixel order of the image as stored.
    image_transform
        Codes that take that image to the model frame; none gives boxes as stored.

    Raises
    ------
    GeometryError
        Panels outside the image or on top of each other.
    """
    corners = [(*panel.image_origin_px, *panel.size_px) for panel in detector.panels]
    boxes = np.array(corners, dtype=np.int64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    check_boxes(boxes, detector.image_shape, [repr(panel.name) for panel in detector.panels])
    return boxes_in_model_frame(boxes, image_transform, detector.image_shape)


def tilted_flat_from_panels(
    detector: Detector, *, image_transform: Sequence[int] | None = None
) -> TiltedFlat:
    """Model whose every pixel lies where the detector's does.

    The global plane is the one nearest to the panels' centres (of fewer than three panels, or
    panels round a curve or in a line: the mean of their directions), its axes are the mean of
    theirs, and the beam centre makes the mean of the shifts 0. So the corrections are small; a
    refinement states its own gauge, which may share them out otherwise.

    Parameters
    ----------
    detector
        Panels in the lab frame, in the pixel order of the image as stored. Panels keep their
        order (:func:`~refimpl.detector.panel_boxes.published_order` gives the published one).
    image_transform
        ImTransOpt codes that take that image to the model frame. None chooses the one of the
        eight that brings the panels nearest to upright.

    Raises
    ------
    GeometryError
        No panels, panels that do not fit the image, pixels of several sizes, a distortion, codes
        that mirror the image, or a plane that the beam does not cross downstream of the sample.
    """
    _check(detector)
    axes = np.array(
        [[midas_from_lab(np.array(v)) for v in (p.fast_axis, p.slow_axis)] for p in detector.panels]
    )
    codes = upright_codes(*axes.mean(axis=0)) if image_transform is None else tuple(image_transform)
    boxes = boxes_of_detector(detector, codes)
    matrix, _ = model_from_file(codes, detector.image_shape)
    frames = np.array([_frame(matrix @ pair) for pair in axes])
    centres = midas_from_lab(np.array([_centre(panel) for panel in detector.panels]))
    tilt = _plane(frames, centres)
    if tilt[0, 0] <= 0.0 or np.any(frames[:, 0, 0] <= 0.0):
        raise GeometryError(
            f"image transform {list(codes)} mirrors the image with respect to the panels, or a "
            "panel faces away from the sample"
        )
    normal = tilt[:, 0]
    heights = centres @ normal / normal[0]  # where the plane through each centre meets the beam
    lsd = float(heights.mean())
    if lsd <= 0.0:
        raise GeometryError("the mean plane of the panels does not cross the beam downstream")
    size = np.abs(matrix) @ detector.panels[0].pixel_size_mm
    along = np.zeros_like(centres)
    along[:, 0] = heights
    on_plane = (centres - along) @ tilt  # T^-1 of each: (0, y, z) from where the beam meets it
    from_beam = np.stack([-on_plane[:, 1] / size[0], on_plane[:, 2] / size[1]], axis=1)
    middles = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    beam = (middles - from_beam).mean(axis=0)
    moves = np.zeros((len(boxes), 7))
    moves[:, :2] = beam + from_beam - middles
    moves[:, 3] = heights - lsd
    for move, frame in zip(moves, frames, strict=True):
        move[[2, 5, 6]] = panel_angles(tilt.T @ frame)
    if abs(size[0] - size[1]) > _SAME_PIXEL * size[0] and np.any(np.abs(moves[:, 2]) > _NO_TURN):
        raise GeometryError(
            f"the pixels of {size[0]:g} x {size[1]:g} mm are not square, and the panels are turned "
            "against each other: the rotation of a panel is one of pixels and would shear them"
        )
    return TiltedFlat(
        shape=transformed_shape(codes, detector.image_shape),
        pixel_size_mm=(float(size[0]), float(size[1])),
        lsd_mm=lsd,
        beam_centre_px=(float(beam[0]), float(beam[1])),
        tilts_rad=tilts_of_matrix(tilt),
        panel_boxes=boxes,
        panel_corrections=moves,
        image_transform=codes,
    )


def _check(detector: Detector) -> None:
    """Refuse what the model cannot hold."""
    if not detector.panels:
        raise GeometryError("the detector has no panels")
    if (
        any(detector.distortion.p)
        or detector.distortion.parallax_mm
        or any(detector.distortion.panel_d_p2)
    ):
        raise GeometryError(
            "the detector has a distortion, which is tied to the plane it was fitted with: use "
            "the parameters it came from"
        )
    first = detector.panels[0]
    for panel in detector.panels:
        difference = np.subtract(panel.pixel_size_mm, first.pixel_size_mm)
        if np.any(np.abs(difference) > _SAME_PIXEL * min(first.pixel_size_mm)):
            raise GeometryError(
                f"panel {panel.name!r} has pixels of {_size(panel)} mm, {first.name!r} of "
                f"{_size(first)}: one detector has one size"
            )


def _size(panel: Panel) -> str:
    return f"{panel.pixel_size_mm[0]:g} x {panel.pixel_size_mm[1]:g}"


def _centre(panel: Panel) -> F64:
    """(3,) lab position of the middle of a panel [mm]."""
    n_fast, n_slow = panel.size_px
    return panel.lab_mm(np.array(0.5 * n_fast), np.array(0.5 * n_slow))


def _plane(frames: F64, centres: F64) -> F64:
    """(3, 3) tilt of the global plane: columns normal, left, up."""
    tilt = _nearest_rotation(frames.mean(axis=0))
    _, spread, directions = np.linalg.svd(centres - centres.mean(axis=0), full_matrices=True)
    if len(centres) < 3 or spread[1] < _IN_LINE * spread[0] or spread[2] > _CURVED * spread[1]:
        return tilt
    normal = directions[2] * np.sign(directions[2] @ tilt[:, 0])
    axis = np.cross(tilt[:, 0], normal)
    sine = float(np.sqrt(axis @ axis))
    if sine == 0.0:
        return tilt
    return expmap(axis / sine * np.arctan2(sine, tilt[:, 0] @ normal)) @ tilt


def _frame(axes: F64) -> F64:
    """(3, 3) columns normal, left, up of a panel, from its axes to the right and up."""
    right, up = axes
    return _nearest_rotation(np.stack([np.cross(-right, up), -right, up], axis=1))


def _nearest_rotation(matrix: F64) -> F64:
    """Rotation nearest to a matrix (its polar factor); axes in a file have few digits."""
    u, _, vt = np.linalg.svd(matrix)
    return np.asarray(u @ vt)
