r"""Tables of pixel corrections from a refined metrology, and how two sets of tables compare.

A program that knows one flat detector, or the panels where their maker puts them, takes a spot's
pixel, adds the table's number and goes on with its own geometry. So the correction of a pixel is
where the ray to its true place crosses the plane that the program believes in:

.. math::

   (dx, dy) = \mathrm{px}_\mathrm{before}(D_\mathrm{before}\, \vec r_\mathrm{after}(x, y))
              - (x, y)

The ray starts at the sample, so the tables hold for one distance where panels lie out of plane.
Both sides use their own parallax: a program that corrects for it itself believes in panels that
have one, and its tables are without; :func:`without_parallax` makes the other kind. What a table
says of a whole detector (its place, roll and scale) is not its metrology: :func:`compare_tables`
takes that out first. Files of tables are read and written by :mod:`refimpl.io.xds_tables`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.errors import GeometryError
from refimpl.frames import F64
from refimpl.metrology.congruence import best_motion

__all__ = [
    "TableComparison",
    "compare_tables",
    "correction_tables",
    "flat_detector",
    "image_shape",
    "on_panels",
    "without_parallax",
]


def image_shape(detector: Hierarchy) -> tuple[int, int]:
    """(n_slow, n_fast) of the image that holds all panels at their offsets."""
    ends = [np.add(m.raw_image_offset, m.size_px) for m in detector.modules]
    fast, slow = np.max(ends, axis=0)
    return int(slow), int(fast)


def on_panels(detector: Hierarchy, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(n_slow, n_fast) pixels of an image that lie on a panel."""
    out = np.zeros(shape, dtype=bool)
    for module in detector.modules:
        (fast, slow), (nf, ns) = module.raw_image_offset, module.size_px
        out[slow : slow + ns, fast : fast + nf] = True
    return out


def flat_detector(detector: Hierarchy, weight: NDArray[np.generic] | None = None) -> Hierarchy:
    """One panel for the whole image that lies as near to the panels as one can.

    Its pixels are laid onto those of the panels by the rigid motion that brings the panels'
    corners closest (least squares): what a program that knows one flat detector should believe in.

    Parameters
    ----------
    detector
        Panels with one pixel size, at their offsets in the image.
    weight
        (p,) of the panels, such as their numbers of reflections. Default: all alike.

    Raises
    ------
    GeometryError
        Panels of different pixel sizes, weights of which none is positive.

    Examples
    --------
    >>> from refimpl.testing.rotation_case import panel_grid
    >>> flat = flat_detector(panel_grid((2, 3)))
    >>> len(flat), flat.modules[0].size_px
    (1, (740, 490))
    """
    first = detector.modules[0]
    if any(m.pixel_size_mm != first.pixel_size_mm for m in detector.modules):
        raise GeometryError("a flat detector for panels of different pixel sizes: expected one")
    p = len(detector)
    w = np.ones(p) if weight is None else np.asarray(weight, dtype=np.float64)
    if w.shape != (p,) or np.any(w < 0.0) or not np.any(w > 0.0):
        raise GeometryError(
            f"flat detector: weights of shape {w.shape}: expected {p}, none negative, not all 0"
        )
    size = np.array([m.size_px for m in detector.modules], dtype=np.float64)
    start = np.array([m.raw_image_offset for m in detector.modules], dtype=np.float64)
    at = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    within = at[None] * size[:, None] * first.pixel_size_mm  # (p, 4, 2) on the panel
    whole = within + start[:, None] * first.pixel_size_mm
    flat = np.concatenate([whole, np.zeros((p, 4, 1))], axis=2).reshape(-1, 3)
    local = np.concatenate([within, np.ones((p, 4, 1))], axis=2)
    lab = np.einsum("pij,pcj->pci", detector.d, local).reshape(-1, 3)
    turn, shift = best_motion(flat, lab, np.repeat(w, 4))
    n_slow, n_fast = image_shape(detector)
    module = replace(
        first, name="flat", size_px=(n_fast, n_slow), raw_image_offset=(0, 0), extra={}
    )
    frame = np.column_stack([turn[:, 0], turn[:, 1], shift])
    return Hierarchy((module,)).with_d(frame[None])


def without_parallax(detector: Hierarchy) -> Hierarchy:
    """Same panels, with the pixel to be taken as the place where a photon crossed the surface."""
    return replace(detector, modules=tuple(replace(m, parallax=False) for m in detector.modules))


def correction_tables(before: Hierarchy, after: Hierarchy) -> tuple[F64, F64]:
    """Corrections of every pixel of the image.

    Parameters
    ----------
    before
        What the program that uses the tables believes in: the same panels, or one panel for the
        whole image.
    after
        Where they are.

    Returns
    -------
    dx, dy
        (n_slow, n_fast) numbers to add to a recorded position [px]; 0 between the panels.

    Raises
    ------
    GeometryError
        Other panels, panels that overlap in the image (stacks have no single table), a ray that
        does not cross the plane.

    Examples
    --------
    >>> from refimpl.testing.rotation_case import panel_grid
    >>> one = panel_grid((1, 2))  # slow runs along -y
    >>> shift = [[0.0, 0.0, 0.172], [0.0, 0.0, 0.172], [0.0, 0.0, 0.0]]
    >>> dx, dy = correction_tables(one, one.with_d(one.d + shift))
    >>> round(float(dx[0, 0]), 6), round(float(dy[0, 0]), 6)
    (1.0, -1.0)
    """
    shape = image_shape(after)
    whole = len(before) == 1 and len(after) > 1
    if not whole and len(before) != len(after):
        raise GeometryError(
            f"tables: {len(before)} panels before, {len(after)} after: expected the same, or one"
        )
    if whole:
        (nf, ns), need = before.modules[0].size_px, shape
        if ns < need[0] or nf < need[1]:
            raise GeometryError(
                f"tables: an image of ({ns}, {nf}) pixels does not hold the panels' {need}"
            )
        shape = (ns, nf)
    out, filled = np.zeros((2, *shape)), np.zeros(shape, dtype=bool)
    d, inverse = after.d, before.inverse_d
    for k, module in enumerate(after.modules):
        (fast, slow), (nf, ns) = module.raw_image_offset, module.size_px
        at = np.s_[slow : slow + ns, fast : fast + nf]
        if filled[at].any():
            raise GeometryError(f"tables: panel {k} overlaps another in the image")
        filled[at] = True
        base = before.modules[0 if whole else k]
        y, x = np.mgrid[:ns, :nf] + 0.5
        x_mm, y_mm = after.pixel_to_mm(np.full(x.shape, k), x, y)
        local = np.stack([x_mm, y_mm, np.ones_like(x)], axis=-1)
        crossing = local @ (inverse[0 if whole else k] @ d[k]).T
        if not np.all(crossing[..., 2] > 0.0):
            raise GeometryError(f"tables: rays to panel {k} do not cross the plane it had before")
        met = crossing[..., :2] / crossing[..., 2:]
        found = before.mm_to_pixel(np.full(x.shape, 0 if whole else k), met[..., 0], met[..., 1])
        start = np.subtract(base.raw_image_offset, module.raw_image_offset) if whole else 0.0
        out[0][at] = found[0] - x + np.broadcast_to(start, 2)[0]
        out[1][at] = found[1] - y + np.broadcast_to(start, 2)[1]
    return out[0], out[1]


@dataclass(frozen=True, eq=False)
class TableComparison:
    """Two sets of tables, panel by panel.

    Attributes
    ----------
    mean
        (p, 2) mean difference along fast and slow [px], after what is common is taken out.
    rms
        (p,) root mean square difference, both ways together [px].
    reference
        (p,) the same of the reference itself: what there was to find.
    common
        (4,) shift along fast and slow [px], roll [rad], scale - 1 of the first less the reference.
    overall, overall_reference
        Root mean square of all pixels [px].
    """

    mean: F64
    rms: F64
    reference: F64
    common: F64
    overall: float
    overall_reference: float

    def sentence(self) -> str:
        """In words."""
        return (
            f"the tables differ by {self.overall:.4f} px r.m.s. where the reference corrects by "
            f"{self.overall_reference:.4f} px; a common shift of ({self.common[0]:.3f}, "
            f"{self.common[1]:.3f}) px, a roll of {1e3 * self.common[2]:.4f} mrad and a scale of "
            f"{1.0 + self.common[3]:.6f} are taken out"
        )


def compare_tables(
    tables: tuple[F64, F64],
    reference: tuple[F64, F64],
    detector: Hierarchy,
    *,
    weight: F64 | None = None,
) -> TableComparison:
    """Compare tables with a factory's.

    Parameters
    ----------
    tables, reference
        dx and dy (n_slow, n_fast) each [px].
    detector
        Where the panels are in the image.
    weight
        (p,) of the panels; 0 leaves one out (held in the refinement). Default: by area.

    Raises
    ------
    GeometryError
        Tables of another shape than the image, weights that do not fit.

    Examples
    --------
    >>> from refimpl.testing.rotation_case import panel_grid
    >>> one = panel_grid((1, 2))
    >>> zero = np.zeros(image_shape(one))
    >>> found = compare_tables((zero + 0.5, zero), (zero, zero), one)
    >>> [round(float(v), 6) for v in found.common[:2]], round(found.overall, 6)
    ([0.5, 0.0], 0.0)
    """
    shape = image_shape(detector)
    for table in (*tables, *reference):
        if table.shape != shape:
            raise GeometryError(f"tables: shape {table.shape}: the panels' image is {shape}")
    p = len(detector)
    w = np.ones(p) if weight is None else np.asarray(weight, dtype=np.float64)
    if w.shape != (p,) or np.any(w < 0.0) or not np.any(w > 0.0):
        raise GeometryError(f"tables: weights of shape {w.shape}: expected {p}, not all 0")
    gone = np.array(tables) - np.array(reference)
    middle = 0.5 * np.array(shape[::-1])
    normal, right = np.zeros((4, 4)), np.zeros(4)
    for k, module in enumerate(detector.modules):
        at, rows = _place(module, middle)
        normal += w[k] * rows.T @ rows
        right += w[k] * rows.T @ gone[at].reshape(-1)
    common: F64 = np.asarray(np.linalg.solve(normal, right), dtype=np.float64)
    mean, rms, own = np.empty((p, 2)), np.empty(p), np.empty(p)
    areas = np.array([m.size_px[0] * m.size_px[1] for m in detector.modules], dtype=np.float64)
    for k, module in enumerate(detector.modules):
        at, rows = _place(module, middle)
        left = gone[at].reshape(-1) - rows @ common
        mean[k] = left.reshape(2, -1).mean(axis=1)
        rms[k] = np.sqrt(2.0 * np.mean(left**2))
        own[k] = np.sqrt(2.0 * np.mean(np.array(reference)[at] ** 2))
    share = w * areas / np.sum(w * areas)
    return TableComparison(
        mean, rms, own, common, float(np.sqrt(share @ rms**2)), float(np.sqrt(share @ own**2))
    )


def _place(module: Module, middle: F64) -> tuple[tuple[slice, ...], F64]:
    """Panel in both tables; (2 n, 4) what a shift, a roll and a scale do to its dx, then dy."""
    (fast, slow), (nf, ns) = module.raw_image_offset, module.size_px
    row, column = np.mgrid[slow : slow + ns, fast : fast + nf] + 0.5
    x, y = column.ravel() - middle[0], row.ravel() - middle[1]
    one, none = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate(
        [np.stack([one, none, -y, x], axis=1), np.stack([none, one, x, y], axis=1)]
    )
    return np.s_[:, slow : slow + ns, fast : fast + nf], rows
