r"""Geometry to and from XDS: ``XPARM.XDS`` and ``GXPARM.XDS`` of version 2012 and later.

All vectors are in a frame of the file's own. Pixels are counted from 1, so that the outer corner of
the first is at (0.5, 0.5); with :math:`c` a pixel coordinate as here (corner 0), the detector's
corner is at

.. math::

   P_0 = -(ORGX - \tfrac12)\,Q_x X - (ORGY - \tfrac12)\,Q_y Y + F\,(X \times Y)

and a segment with axes :math:`E_1, E_2, E_3` in the detector's frame begins, at image pixel
:math:`(x_1, y_1)` (from 1), at

.. math::

   P = P_0 + [X\,Y\,Z]\,\bigl(-(ORG_{XS} - x_1 + 1)\,Q_x E_1 - (ORG_{YS} - y_1 + 1)\,Q_y E_2
   + F_S E_3\bigr)

Sources: the description of XPARM.XDS in the manual of XDS; for segments the reader of cctbx
(``coordinate_frame_helpers``), since the manual leaves half a pixel times the turn of a segment
open. No XDS is at hand: what is here is checked against that text and on files of our own. XDS
prints 6 decimals; files written here are in free format with 17 digits. The cell vectors are those
at angle 0; the file does not say how many images there are.
"""

from __future__ import annotations

import numpy as np

from refimpl.crystal.crystal_model import Crystal
from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.errors import GeometryError
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.frames import F64
from refimpl.interop.xparm_file import Segment, Triple, Xparm, read_xparm, triple

__all__ = ["experiment_from_xparm", "read_xparm", "xparm_from_experiment"]


def experiment_from_xparm(xparm: Xparm) -> Experiment:
    """Experiment in the frame of the file; a scan of one image, since it does not say how many.

    Raises
    ------
    GeometryError
        Axes that are no perpendicular unit vectors.
    """
    x, y = _unit(xparm.x), _unit(xparm.y)
    frame = np.stack([x, y, np.cross(x, y)], axis=1)
    size = np.array([*xparm.pixel_mm])
    corner = frame @ [*(-(np.array(xparm.origin_px) - 0.5) * size), xparm.distance_mm]
    modules = []
    for k, s in enumerate(xparm.segments):
        fast, slow = _unit(s.fast), _unit(s.slow)
        axes = frame @ np.stack([fast, slow, np.cross(fast, slow)], axis=1)
        steps = (np.array(s.first) - 1 - s.origin) * size
        origin = corner + axes @ [*steps, s.distance_mm]
        extent = np.subtract(s.last, s.first) + 1
        modules.append(
            Module(
                f"segment{k + 1}", triple(axes[:, 0]), triple(axes[:, 1]), triple(origin),
                (int(extent[0]), int(extent[1])), xparm.pixel_mm,
                raw_image_offset=(s.first[0] - 1, s.first[1] - 1),
            )
        )  # fmt: skip
    crystal = None
    if xparm.space_group > 0 and np.any(xparm.vectors):
        crystal = Crystal(np.array(xparm.vectors), hall=_hall(xparm.space_group))
    return Experiment(
        beam=Beam(-_unit(xparm.beam), xparm.wavelength_angstrom),
        detector=Hierarchy(tuple(modules)),
        goniometer=Goniometer(_unit(xparm.axis)),
        scan=Scan((xparm.start, xparm.start), (xparm.angle_deg, xparm.width_deg)),
        crystal=crystal,
    )


def _unit(v: Triple) -> F64:
    vector = np.array(v)
    length = np.sqrt(vector @ vector)
    if not length > 0.0:
        raise GeometryError(f"vector {v} has no direction")
    return np.asarray(vector / length)


def _hall(number: int) -> str:
    import gemmi

    group = gemmi.find_spacegroup_by_number(number)
    if group is None:
        raise GeometryError(f"space group {number}: expected 1 to 230")
    return str(group.hall)


def xparm_from_experiment(experiment: Experiment) -> Xparm:
    """Content of a file in the frame of the experiment.

    The detector's frame is that of its first panel; a detector of one panel is the trivial segment.

    Raises
    ------
    GeometryError
        No beam or detector, panels with pixels of several sizes, or that share no image.
    """
    beam, detector = experiment.beam, experiment.detector
    if beam is None or detector is None:
        raise GeometryError("XPARM.XDS: the experiment has no beam or no detector")
    pixel = detector.modules[0].pixel_size_mm
    if not np.allclose([m.pixel_size_mm for m in detector.modules], pixel, rtol=1e-12, atol=0.0):
        raise GeometryError("XPARM.XDS has one pixel size, the panels have several")
    places = {m.raw_image_offset for m in detector.modules}
    if len(places) != len(detector):
        raise GeometryError("XPARM.XDS: the panels do not share one image")
    size, d = np.array(pixel), detector.d
    fast, slow, first = d[0].T
    frame = np.stack([fast, slow, np.cross(fast, slow)], axis=1)
    corner = first - frame[:, :2] @ (np.array(detector.modules[0].raw_image_offset) * size)
    local = frame.T @ corner
    segments = []
    for m, own in zip(detector.modules, d, strict=True):
        axes = frame.T @ np.stack([own[:, 0], own[:, 1], np.cross(own[:, 0], own[:, 1])], axis=1)
        step = axes.T @ (frame.T @ (own[:, 2] - corner))
        origin = np.array(m.raw_image_offset) - step[:2] / size
        low, high = np.array(m.raw_image_offset) + 1, np.add(m.raw_image_offset, m.size_px)
        segments.append(
            Segment(
                (int(low[0]), int(low[1])), (int(high[0]), int(high[1])),
                (float(origin[0]), float(origin[1])), float(step[2]),
                triple(axes[:, 0]), triple(axes[:, 1]),
            )
        )  # fmt: skip
    if len(segments) == 1:
        segments = [Segment(segments[0].first, segments[0].last)]
    ends = np.array([s.last for s in segments]).max(axis=0)
    axis, scan, cell = np.array([1.0, 0.0, 0.0]), experiment.scan, experiment.crystal
    turned = np.zeros((3, 3))
    if (g := experiment.goniometer) is not None:
        axis = g.setting @ g.rotation_axis
    if cell is not None:
        turned = cell.real_space if g is None else cell.real_space @ (g.setting @ g.fixed).T
    return Xparm(
        1 if scan is None else scan.image_range[0],
        *((0.0, 0.0) if scan is None else scan.oscillation_deg),
        triple(axis), beam.wavelength_angstrom, triple(beam.s0),
        0 if cell is None else _number(cell.hall),
        (0.0,) * 6 if cell is None else tuple(float(v) for v in cell.cell),
        (triple(turned[0]), triple(turned[1]), triple(turned[2])),
        (int(ends[0]), int(ends[1])), pixel,
        (float(0.5 - local[0] / size[0]), float(0.5 - local[1] / size[1])), float(local[2]),
        triple(fast), triple(slow), tuple(segments),
    )  # fmt: skip


def _number(hall: str) -> int:
    import gemmi

    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))
    if group is None:
        raise GeometryError(f"Hall symbol {hall!r} is no standard setting of a space group")
    return int(group.number)
