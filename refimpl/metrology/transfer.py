r"""Carry a refined layout of panels over to another experiment, at its distance and beam centre.

The panels of the refined detector are one rigid body. It is laid onto the panels that the other
experiment believes in, by the rigid motion that brings the panels' corners closest (least squares):
so the other's distance, beam centre and orientation stay what its header says, on the mean over the
panels, and the panels keep their mutual placement. This is what the tutorial reaches by
``combine_experiments reference_from_experiment.detector=0`` and two more refinements; the distance
still wants refining against the other's data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.hierarchy import Hierarchy
from refimpl.errors import GeometryError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.metrology.congruence import best_motion, same_panels

__all__ = ["moved_rigidly", "transfer"]


def moved_rigidly(detector: Hierarchy, turn: F64, shift: F64) -> Hierarchy:
    """Whole detector rotated about the sample (3, 3), then shifted (3,) [mm]; the tree follows."""

    def at(frame: F64) -> F64:
        out = turn @ frame
        out[:, 2] += shift
        return np.asarray(out)

    if detector.root is None:
        return detector.with_d(np.array([at(d) for d in detector.d]))
    ((_, _, root),) = detector.groups(0)
    return detector.with_group_frames(0, at(root)[None])


def transfer(
    experiments: Sequence[Experiment],
    detector_from: Hierarchy,
    distance: float | None = None,
    *,
    weight: NDArray[np.generic] | None = None,
) -> tuple[Experiment, ...]:
    """Experiments with the panel layout of a refined detector.

    Parameters
    ----------
    experiments
        Each with a detector of the same panels and a beam; those that share a detector go on
        sharing one.
    detector_from
        Refined detector.
    distance
        Where given, the body is then moved along the beam until its mean plane, weighted like the
        panels, crosses the beam at this distance [mm].
    weight
        (p,) of the panels in the fit, such as their numbers of reflections: panels that were held
        in the refinement had better not count. Default: all alike.

    Raises
    ------
    GeometryError
        No detector or beam, other panels, weights of which none is positive, a distance that is
        not positive.

    Examples
    --------
    >>> from refimpl import metrology
    >>> from refimpl.testing.rotation_case import rotation_case
    >>> case = rotation_case(n=10)
    >>> (far,) = metrology.transfer(case.start, case.truth[0].detector, 400.0)
    >>> bool(abs(far.detector.d[4, 2, 2]) > 398.0)
    True
    """
    if distance is not None and not distance > 0.0:
        raise GeometryError(f"transfer: distance {distance} mm: expected a positive number")
    w = np.ones(len(detector_from)) if weight is None else np.asarray(weight, dtype=np.float64)
    if w.shape != (len(detector_from),) or np.any(w < 0.0) or not np.any(w > 0.0):
        raise GeometryError(
            f"transfer: weights of shape {w.shape}: expected {len(detector_from)}, none negative "
            "and one positive"
        )
    done: list[tuple[Hierarchy, Hierarchy]] = []
    out = []
    for number, e in enumerate(experiments):
        if e.detector is None or e.beam is None:
            raise GeometryError(f"experiment {number} has no detector or no beam")
        known = [new for old, new in done if old is e.detector]
        if not known:
            new = _laid_onto(detector_from, e.detector, w)
            if distance is not None:
                new = _at_distance(new, distance, e.beam.s0, w)
            done.append((e.detector, new))
            known = [new]
        out.append(replace(e, detector=known[0]))
    return tuple(out)


def _corners(detector: Hierarchy) -> F64:
    """(p, 4, 3) corners [mm]."""
    size = np.array([np.multiply(m.size_px, m.pixel_size_mm) for m in detector.modules])
    at = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    local = np.concatenate([at[None] * size[:, None], np.ones((len(size), 4, 1))], axis=2)
    return np.einsum("pij,pcj->pci", detector.d, local)


def _laid_onto(source: Hierarchy, target: Hierarchy, weight: F64) -> Hierarchy:
    same_panels(source, target)
    turn, shift = best_motion(
        _corners(source).reshape(-1, 3), _corners(target).reshape(-1, 3), np.repeat(weight, 4)
    )
    return moved_rigidly(source, turn, shift)


def _at_distance(detector: Hierarchy, distance: float, s0: F64, weight: F64) -> Hierarchy:
    """Moved along the beam until the mean plane of its panels crosses it at a distance."""
    along = s0 / np.sqrt(s0 @ s0)
    d = detector.d
    w = weight / weight.sum()
    normal = w @ np.cross(d[:, :, 0], d[:, :, 1])
    centre = w @ _corners(detector).mean(axis=1)
    if abs(float(normal @ along)) < 1e-3:
        raise GeometryError("transfer: the beam runs within the mean plane of the panels")
    now = float(centre @ normal) / float(along @ normal)
    return moved_rigidly(detector, np.eye(3), (distance - now) * along)
