"""Every reflection that a rotating crystal throws onto a detector, and detectors to catch them.

Lattice points to a resolution cross the Ewald sphere twice a turn; each crossing within the scan
is looked for on every panel. Systematic absences, intensities and the extent of spots are not
modelled: this is where spots may be, not which of them are seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.crystal_model import Crystal
from refimpl.detector.hierarchy import Group, Hierarchy, Module
from refimpl.errors import ConfigError
from refimpl.forward.experiment import Experiment
from refimpl.forward.rotation import NEVER, predict_rotation
from refimpl.frames import F64

__all__ = ["Reflections", "all_reflections", "crystal_of_cell", "grid_of_panels", "lattice_points"]


@dataclass(frozen=True, eq=False)
class Reflections:
    """Predicted reflections, in the order of panels, then of lattice points.

    Attributes
    ----------
    hkl
        (n, 3) Miller indices.
    entering
        (n,) 1 for the crossing into the sphere, 0 for the one out of it.
    panel
        (n,).
    xyz
        (n, 3) X, Y on the panel [mm], phi [rad] within the scan.
    s1
        (n, 3) diffracted beam vectors [1/angstrom].
    """

    hkl: NDArray[np.int32]
    entering: NDArray[np.uint8]
    panel: NDArray[np.int32]
    xyz: F64
    s1: F64

    def __len__(self) -> int:
        return len(self.hkl)

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Reflections:
        """Some of them."""
        return Reflections(
            self.hkl[keep], self.entering[keep], self.panel[keep], self.xyz[keep], self.s1[keep]
        )


def lattice_points(crystal: Crystal, d_min_angstrom: float) -> NDArray[np.int32]:
    """(n, 3) Miller indices of spacing `d_min_angstrom` and more, 0 0 0 left out.

    Raises
    ------
    ConfigError
        The resolution is not positive, or asks for more than 2e8 indices.
    """
    if not d_min_angstrom > 0.0:
        raise ConfigError(f"d_min = {d_min_angstrom} Å: expected a positive resolution")
    lengths = np.sqrt((crystal.real_space**2).sum(axis=1))
    most = np.floor(lengths / d_min_angstrom).astype(np.int64)  # |h| = |p . a| <= |p| |a|
    if (count := float(np.prod(2.0 * most + 1.0))) > 2e8:
        raise ConfigError(
            f"d_min = {d_min_angstrom} Å: {count:.2g} Miller indices for a cell of "
            f"{', '.join(f'{v:.1f}' for v in lengths)} Å: expected 2e8 at most"
        )
    axes = [np.arange(-m, m + 1, dtype=np.int32) for m in most]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    p2 = ((hkl @ crystal.A.T) ** 2).sum(axis=1)
    return np.ascontiguousarray(hkl[(p2 > 0.0) & (p2 <= d_min_angstrom**-2)])


def all_reflections(experiment: Experiment, d_min_angstrom: float) -> Reflections:
    """Every reflection to a resolution that hits a panel during the scan.

    Where panels overlap, a ray counts on each that it hits.

    Parameters
    ----------
    experiment
        A rotation scan with beam, detector and crystal.
    d_min_angstrom
        Smallest spacing.

    Raises
    ------
    ConfigError
        A model is missing, the experiment is a still, the resolution is unusable.
    """
    e = experiment
    if e.beam is None or e.detector is None or e.crystal is None:
        raise ConfigError("all_reflections: the experiment needs a beam, a detector and a crystal")
    if e.is_still or e.goniometer is None or e.scan is None:
        raise ConfigError("all_reflections: the experiment is a still: expected a rotation scan")
    hkl = lattice_points(e.crystal, d_min_angstrom)
    g, inverse_d = e.goniometer, e.detector.inverse_d
    p0 = np.ascontiguousarray(hkl @ (g.setting @ g.fixed @ e.crystal.A).T)
    ends = np.sort(e.scan.phi_of_frame(e.scan.array_start + np.array([0, e.scan.n_images])))
    size = np.array([np.array(m.size_px) * m.pixel_size_mm for m in e.detector.modules])
    zero, middle = np.zeros(len(hkl), dtype=np.int32), np.full(len(hkl), ends[0] + np.pi)
    found = []
    for entering in (1, 0):
        which = np.full(len(hkl), entering, dtype=np.uint8)
        xyz, s1, status = predict_rotation(
            p0, zero, which, middle, e.beam.s0, g.setting @ g.rotation_axis, inverse_d[:1]
        )
        for turn in range(int((ends[1] - ends[0]) / (2.0 * np.pi)) + 1):
            phi = xyz[:, 2] + 2.0 * np.pi * turn
            rows = np.flatnonzero((status != NEVER) & (phi >= ends[0]) & (phi <= ends[1]))
            found += _on_panels(hkl[rows], which[rows], phi[rows], s1[rows], inverse_d, size)
    joined = Reflections(*(np.concatenate(column) for column in zip(*found, strict=True)))
    return joined.select(np.argsort(joined.panel, kind="stable"))


def _on_panels(
    hkl: NDArray[np.int32],
    entering: NDArray[np.uint8],
    phi: F64,
    s1: F64,
    inverse_d: F64,
    size: F64,
) -> list[tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32], F64, F64]]:
    """Columns of :class:`Reflections` for each panel that rays hit."""
    found = []
    for panel, (inverse, (width, height)) in enumerate(zip(inverse_d, size, strict=True)):
        u, v, w = inverse @ s1.T
        hit = (w > 0.0) & (u >= 0.0) & (u <= width * w) & (v >= 0.0) & (v <= height * w)
        at = np.flatnonzero(hit)
        xyz = np.column_stack([u[at] / w[at], v[at] / w[at], phi[at]])
        found.append((hkl[at], entering[at], np.full(len(at), panel, dtype=np.int32), xyz, s1[at]))
    return found


def crystal_of_cell(
    cell: tuple[float, float, float], orientation: F64, hall: str = " P 4"
) -> Crystal:
    """Crystal of a cell with right angles.

    Parameters
    ----------
    cell
        a, b, c [angstrom].
    orientation
        (3, 3) near a rotation; the nearest one is taken, so that printed digits serve.
    hall
        Hall symbol.
    """
    left, _, right = np.linalg.svd(np.asarray(orientation, dtype=np.float64))
    return Crystal(np.diag(cell) @ (left @ right).T, hall)


def grid_of_panels(
    shape: tuple[int, int],
    *,
    size_px: tuple[int, int] = (487, 195),
    gap_px: tuple[int, int] = (7, 17),
    pixel_mm: float = 0.172,
    distance_mm: float,
    beam_px: tuple[float, float],
    turn: F64 | None = None,
) -> Hierarchy:
    """Flat detector of equal panels, row by row, the fast axis first; a Pilatus 6M by default.

    Parameters
    ----------
    shape
        Columns (fast), rows (slow).
    size_px, gap_px
        Of a panel and between panels, (fast, slow).
    pixel_mm
        Size of the square pixels.
    distance_mm
        From the sample to the detector's plane, before it is turned.
    beam_px
        Where the beam, along -z, meets it (fast, slow), before it is turned.
    turn
        (3, 3) rotation of the whole about the sample.
    """
    corner = np.array([-beam_px[0] * pixel_mm, beam_px[1] * pixel_mm, -distance_mm])
    turn = np.eye(3) if turn is None else turn
    modules = []
    for k in range(shape[0] * shape[1]):
        x, y = (k % shape[0]) * (size_px[0] + gap_px[0]), (k // shape[0]) * (size_px[1] + gap_px[1])
        modules.append(
            Module(
                f"Panel{k}", (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (x * pixel_mm, y * pixel_mm, 0.0),
                size_px, (pixel_mm, pixel_mm), raw_image_offset=(x, y),
                trusted_range=(0.0, 1048500.0),
            )
        )  # fmt: skip
    whole = Group(
        "Detector", _vector(turn[:, 0]), _vector(-turn[:, 1]), _vector(turn @ corner),
        tuple(range(len(modules))),
    )  # fmt: skip
    return Hierarchy(tuple(modules), whole)


def _vector(v: F64) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])
