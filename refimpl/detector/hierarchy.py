"""A detector as files of rotation data hold it: panels in local frames, hung on a tree of groups.

Each frame is given in the frame of its parent: ``M = M_parent [f | s | f x s]`` and
``o = o_parent + M_parent o_local``. What the rest of the code wants are the global columns
``d = (fast | slow | origin)`` of every panel, and the same of every group at a level of the tree.
Source of the layout: dxtbx ``Detector``, ``Panel``, ``PxMmStrategy``. Pixel coordinates are
(fast, slow), the centre of the first pixel is (0.5, 0.5). *Not* here: files (``io.dials_files``),
formulas of the parallax (``detector.parallax``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refimpl.detector.nodes import (
    Group,
    Module,
    Vector,
    frame_below,
    local_columns,
    local_fields,
)
from refimpl.detector.parallax import mm_from_px, px_from_mm
from refimpl.errors import ConfigError, GeometryError
from refimpl.frames import F64, I64

__all__ = ["Group", "GroupFrame", "Hierarchy", "Module", "OffsetTables", "Vector", "axes_of"]

GroupFrame = tuple[tuple[int, ...], tuple[int, ...], F64]
"""Path of child numbers from the root, panels below, global (3, 3) columns fast, slow, origin."""
OffsetTables = Sequence[tuple[F64, F64] | None]
"""For each panel dx, dy (n_slow, n_fast) [px], or None."""


def axes_of(d: F64) -> F64:
    """(..., 3, 3) columns fast, slow, normal of columns fast, slow, origin."""
    fast, slow = d[..., 0], d[..., 1]
    return np.stack([fast, slow, np.cross(fast, slow)], axis=-1)


_LAB = np.eye(3)
_LAB[:, 2] = 0.0
_LAB.flags.writeable = False


@dataclass(frozen=True)
class Hierarchy:
    """Panels and the tree that they hang on.

    Attributes
    ----------
    modules
        Panels in the order of their numbers.
    root
        The tree, which holds every panel once, or None: panels in the lab frame.

    Raises
    ------
    GeometryError
        The tree misses a panel, holds one twice, or names one that is not there.
    """

    modules: tuple[Module, ...]
    root: Group | None = None

    def __post_init__(self) -> None:
        if not self.modules:
            raise GeometryError("a detector needs at least one panel")
        if self.root is not None:
            held, expected = sorted(self.root.panels), list(range(len(self.modules)))
            if held != expected:
                wrong = sorted({*held} ^ {*expected} or {p for p in held if held.count(p) > 1})
                raise GeometryError(
                    f"the hierarchy must hold each of the {len(expected)} panels once; "
                    f"wrong: {wrong[:8]}"
                )

    def __len__(self) -> int:
        return len(self.modules)

    # --- frames ----------------------------------------------------------------------------------

    def _walk(self) -> Iterator[tuple[tuple[int, ...], Group | int, F64, F64]]:
        """Each node: path, node, global columns of its parent, its own global columns."""

        def below(path: tuple[int, ...], node: Group | int, parent: F64) -> Iterator[Any]:
            d = frame_below(
                parent, local_columns(self.modules[node] if isinstance(node, int) else node)
            )
            yield path, node, parent, d
            if isinstance(node, Group):
                for k, child in enumerate(node.children):
                    yield from below((*path, k), child, d)

        if self.root is None:
            for panel in range(len(self.modules)):
                yield from below((panel,), panel, _LAB)
        else:
            yield from below((), self.root, _LAB)

    @property
    def d(self) -> F64:
        """(p, 3, 3) global columns fast, slow, origin [mm] of every panel."""
        out = np.empty((len(self.modules), 3, 3))
        for _, node, _, d in self._walk():
            if isinstance(node, int):
                out[node] = d
        return out

    @property
    def inverse_d(self) -> F64:
        """(p, 3, 3) inverse of ``d``.

        Raises
        ------
        GeometryError
            A panel's plane holds the sample.
        """
        d = self.d
        for panel in np.flatnonzero(np.abs(np.linalg.det(d)) < 1e-9):
            raise GeometryError(
                f"panel {panel} ({self.modules[panel].name!r}): the sample lies in its plane"
            )
        return np.asarray(np.linalg.inv(d), dtype=np.float64)

    @property
    def half_mm(self) -> F64:
        """(p, 2) from each panel's corner to its centre, along fast and slow."""
        return np.array([np.multiply(m.size_px, m.pixel_size_mm) for m in self.modules]) * 0.5

    def centres(self, d: F64 | None = None) -> F64:
        """(p, 3) centres [mm] of the panels, where they are or with global columns (p, 3, 3)."""
        d, half = self.d if d is None else d, self.half_mm
        return np.asarray(d[:, :, 2] + d[:, :, 0] * half[:, :1] + d[:, :, 1] * half[:, 1:])

    @property
    def depth(self) -> int:
        """Deepest level of the tree: 0 without a tree."""
        return max((len(path) for path, *_ in self._walk()), default=0) if self.root else 0

    def groups(self, level: int) -> list[GroupFrame]:
        """Groups at a level of the tree: 0 is the root, leaf panels count as groups below them.

        Returns
        -------
        For each group its path (child numbers from the root), its panels and its global columns
        fast, slow, origin. Without a tree level 0 is all panels in the lab frame, level 1 each.

        Raises
        ------
        ConfigError
            The tree is less deep.
        """
        deepest = self.depth if self.root is not None else 1
        if not 0 <= level <= deepest:
            raise ConfigError(f"hierarchy level {level}: this detector has levels 0 to {deepest}")
        if self.root is None and level == 0:
            return [((), tuple(range(len(self.modules))), _LAB.copy())]
        return [
            (path, (node,) if isinstance(node, int) else node.panels, d)
            for path, node, _, d in self._walk()
            if len(path) == level or (len(path) < level and isinstance(node, int))
        ]

    def with_d(self, d: F64) -> Hierarchy:
        """Same detector with new global columns (p, 3, 3) of the panels; group frames are kept.

        Panels whose columns are equal to the present ones keep their local frames to the last bit.

        Raises
        ------
        GeometryError
            Wrong shape, or axes that are no orthonormal pair.
        """
        d = np.asarray(d, dtype=np.float64)
        if d.shape != (len(self.modules), 3, 3):
            raise GeometryError(f"d has shape {d.shape}: expected ({len(self.modules)}, 3, 3)")
        modules = list(self.modules)
        for _, node, parent, old in self._walk():
            if isinstance(node, int) and not np.array_equal(old, d[node]):
                modules[node] = replace(modules[node], **local_fields(parent, d[node]))  # type: ignore[arg-type]
        return Hierarchy(tuple(modules), self.root)

    def with_group_frames(self, level: int, frames: F64) -> Hierarchy:
        """Same detector with new global columns (g, 3, 3) of the groups of a level.

        What hangs on a group moves with it: local frames below are kept.

        Raises
        ------
        ConfigError
            The tree is less deep.
        GeometryError
            Wrong shape, or axes that are no orthonormal pair.
        """
        groups, frames = self.groups(level), np.asarray(frames, dtype=np.float64)
        if frames.shape != (len(groups), 3, 3):
            raise GeometryError(
                f"frames has shape {frames.shape}: expected ({len(groups)}, 3, 3) at level {level}"
            )
        if self.root is None and level == 0:
            return self.with_d(np.array([frame_below(frames[0], old) for old in self.d]))
        moved = {path: frame for (path, _, _), frame in zip(groups, frames, strict=True)}
        modules = list(self.modules)

        def rebuilt(path: tuple[int, ...], node: Group | int, parent: F64) -> Group | int:
            own = modules[node] if isinstance(node, int) else node
            d = frame_below(parent, local_columns(own))
            if path in moved and not np.array_equal(d, moved[path]):
                d = moved[path]
                own = replace(own, **local_fields(parent, d))  # type: ignore[arg-type]
            if isinstance(node, int):
                assert isinstance(own, Module)
                modules[node] = own
                return node
            assert isinstance(own, Group)
            children = (rebuilt((*path, k), c, d) for k, c in enumerate(own.children))
            return replace(own, children=tuple(children))

        if self.root is None:
            for panel in range(len(modules)):
                rebuilt((panel,), panel, _LAB)
            return Hierarchy(tuple(modules))
        root = rebuilt((), self.root, _LAB)
        assert isinstance(root, Group)
        return Hierarchy(tuple(modules), root)

    # --- pixels and millimetres -------------------------------------------------------------------

    def _points(self, panel: I64, *values: F64) -> tuple[Any, ...]:
        """d, pixel size, mu, thickness of each point, then the values as float arrays."""
        index = np.asarray(panel, dtype=np.int64)
        if index.size and not (index.min() >= 0 and index.max() < len(self.modules)):
            raise GeometryError(
                f"panel numbers {index.min()} to {index.max()}: this detector has "
                f"{len(self.modules)} panels, from 0"
            )
        own = np.array(
            [(*m.pixel_size_mm, m.mu_per_mm * m.parallax, m.thickness_mm) for m in self.modules]
        )[index]
        floats = (np.asarray(v, dtype=np.float64) for v in values)
        return (self.d[index], own[..., :2], own[..., 2], own[..., 3], *floats)

    def pixel_to_mm(
        self, panel: I64, x_px: F64, y_px: F64, offsets: OffsetTables | None = None
    ) -> tuple[F64, F64]:
        """Position on the panel [mm] of points in panel pixels, parallax corrected if it has one.

        Parameters
        ----------
        panel
            (n,) panel numbers.
        x_px, y_px
            (n,) panel pixel coordinates (fast, slow).
        offsets
            Tables dx, dy [px] by panel, subtracted first.

        Raises
        ------
        GeometryError
            A panel number that the detector has not, a table of another shape.
        """
        d, pixel, mu, thickness, x, y = self._points(panel, x_px, y_px)
        if offsets is not None:
            dx, dy = self._looked_up(panel, x, y, offsets)
            x, y = x - dx, y - dy
        return mm_from_px(d, x, y, pixel, mu, thickness)

    def mm_to_pixel(
        self, panel: I64, x_mm: F64, y_mm: F64, offsets: OffsetTables | None = None
    ) -> tuple[F64, F64]:
        """Panel pixel coordinates of points on the panel [mm]; see :meth:`pixel_to_mm`.

        The inverse is the published one: the direction of the ray is that of the point in mm, and
        the offsets are looked up at the pixel found without them.
        """
        d, pixel, mu, thickness, x, y = self._points(panel, x_mm, y_mm)
        x, y = px_from_mm(d, x, y, pixel, mu, thickness)
        if offsets is not None:
            dx, dy = self._looked_up(panel, x, y, offsets)
            x, y = x + dx, y + dy
        return x, y

    def _looked_up(self, panel: I64, x: F64, y: F64, offsets: OffsetTables) -> tuple[F64, F64]:
        """Offsets (n,) [px] of the pixels that hold the points; 0 outside the panel."""
        if len(offsets) != len(self.modules):
            raise GeometryError(
                f"{len(offsets)} offset tables for a detector of {len(self.modules)} panels"
            )
        out = np.zeros((2, *np.shape(x)))
        for k, (tables, module) in enumerate(zip(offsets, self.modules, strict=True)):
            if tables is None:
                continue
            shape = module.size_px[::-1]
            if tables[0].shape != shape or tables[1].shape != shape:
                raise GeometryError(
                    f"offset table of panel {k} has shape {tables[0].shape}: expected {shape}"
                )
            column, row = np.floor(x), np.floor(y)
            inside = (column >= 0) & (row >= 0) & (column < shape[1]) & (row < shape[0])
            hit = inside & (np.asarray(panel) == k)
            at = row[hit].astype(np.int64), column[hit].astype(np.int64)
            out[:, hit] = tables[0][at], tables[1][at]
        return out[0], out[1]
