"""The nodes of a detector's tree: panels and groups, each in the frame of its parent.

``M = M_parent [f | s | f x s]``, ``o = o_parent + M_parent o_local`` (dxtbx). The tree itself is
:class:`refimpl.detector.hierarchy.Hierarchy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refimpl.errors import GeometryError
from refimpl.frames import F64

__all__ = ["Group", "Module", "Vector", "frame_below", "local_columns", "local_fields"]

Vector = tuple[float, float, float]

NOT_UNIT = 1e-6
"""Largest deviation of the axes from an orthonormal pair."""


def _check_frame(what: str, fast: Vector, slow: Vector, origin: Vector) -> None:
    f, s = np.asarray(fast, dtype=np.float64), np.asarray(slow, dtype=np.float64)
    if f.shape != (3,) or s.shape != (3,) or np.shape(origin) != (3,):
        raise GeometryError(f"{what}: fast_axis, slow_axis and origin need three numbers each")
    off = (f @ f - 1.0, s @ s - 1.0, f @ s)
    if not all(abs(v) < NOT_UNIT for v in off):  # false for NaN, too
        raise GeometryError(
            f"{what}: fast_axis {tuple(fast)} and slow_axis {tuple(slow)} are not two "
            "perpendicular unit vectors"
        )
    if not np.isfinite(origin).all():
        raise GeometryError(f"{what}: origin {tuple(origin)} is not finite")


@dataclass(frozen=True)
class Module:
    """One panel as a file has it.

    Attributes
    ----------
    name
        Need not be unique, may be empty.
    fast_axis, slow_axis, origin_mm
        In the frame of the parent group; the lab frame where the detector has no tree.
    size_px, pixel_size_mm
        Along (fast, slow).
    raw_image_offset
        (fast, slow) of the panel's first pixel in the image as stored.
    trusted_range
        Smallest and largest valid count, both valid.
    thickness_mm, mu_per_mm
        Of the sensor; 0 where not known.
    parallax
        Whether pixels and millimetres differ by the parallax.
    material, identifier, type, gain, pedestal
        As in the file.
    mask
        Rectangles (fast0, slow0, fast1, slow1) [px] that are not valid, ends not included.
    extra
        The panel's entry as the file has it, for the writer.

    Raises
    ------
    GeometryError
        Axes that are no orthonormal pair, sizes that are not positive.
    """

    name: str
    fast_axis: Vector
    slow_axis: Vector
    origin_mm: Vector
    size_px: tuple[int, int]
    pixel_size_mm: tuple[float, float]
    raw_image_offset: tuple[int, int] = (0, 0)
    trusted_range: tuple[float, float] = (0.0, 0.0)
    thickness_mm: float = 0.0
    mu_per_mm: float = 0.0
    parallax: bool = False
    material: str = ""
    mask: tuple[tuple[int, int, int, int], ...] = ()
    gain: float = 1.0
    pedestal: float = 0.0
    identifier: str = ""
    type: str = "SENSOR_PAD"
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        what = f"panel {self.name!r}"
        _check_frame(what, self.fast_axis, self.slow_axis, self.origin_mm)
        if not (min(self.pixel_size_mm) > 0.0 and min(self.size_px) > 0):
            raise GeometryError(
                f"{what}: image_size {self.size_px} and pixel_size {self.pixel_size_mm} "
                "must be positive"
            )


@dataclass(frozen=True)
class Group:
    """A node of the tree; its frame is local to its parent's.

    Attributes
    ----------
    name
        May be empty.
    fast_axis, slow_axis, origin_mm
        In the frame of the parent group, the lab frame for the root.
    children
        Groups, and panels by their number.
    extra
        The group's entry as the file has it, for the writer.
    """

    name: str
    fast_axis: Vector
    slow_axis: Vector
    origin_mm: Vector
    children: tuple[Group | int, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _check_frame(f"group {self.name!r}", self.fast_axis, self.slow_axis, self.origin_mm)
        if not self.children:
            raise GeometryError(f"group {self.name!r} has no children")

    @property
    def panels(self) -> tuple[int, ...]:
        """Numbers of all panels below, in the order of the tree."""
        return tuple(p for c in self.children for p in ((c,) if isinstance(c, int) else c.panels))


def local_columns(node: Module | Group) -> F64:
    """(3, 3) local columns fast, slow, origin of a node."""
    return np.array([node.fast_axis, node.slow_axis, node.origin_mm], dtype=np.float64).T


def _turn(d: F64) -> F64:
    """(3, 3) rotation fast, slow, normal of a frame."""
    (a, b, _), (c, e, _), (f, g, _) = d.tolist()
    return np.array([[a, b, c * g - f * e], [c, e, f * b - a * g], [f, g, a * e - c * b]])


def frame_below(parent: F64, local: F64) -> F64:
    """Global columns of a frame that is local to ``parent``."""
    out = np.empty((3, 3))
    turn = _turn(parent)
    out[:, :2] = turn @ local[:, :2]
    out[:, 2] = parent[:, 2] + turn @ local[:, 2]
    return out


def local_fields(parent: F64, d: F64) -> dict[str, Vector]:
    """Local fields of a frame whose global columns are ``d``: inverse of `frame_below`."""
    back = _turn(parent).T
    columns = back @ np.column_stack([d[:, 0], d[:, 1], d[:, 2] - parent[:, 2]])
    fast, slow, origin = ((float(v[0]), float(v[1]), float(v[2])) for v in columns.T)
    return {"fast_axis": fast, "slow_axis": slow, "origin_mm": origin}
