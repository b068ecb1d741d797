"""All reflections that a crystal gives during a scan: what a spot finder could have found.

Every lattice point to a resolution, less systematic absences, is followed through the Ewald sphere
in and out; a reflection is kept where its angle lies in the scan and its ray meets a panel.
Static models only; one crystal an experiment. Source: as :mod:`refimpl.forward.rotation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.crystal_model import Crystal
from refimpl.detector.hierarchy import Hierarchy
from refimpl.errors import ConfigError
from refimpl.forward.experiment import Experiment, Scan
from refimpl.forward.rotation import NEVER, predict_rotation
from refimpl.frames import F64, I64
from refimpl.io.reflection_table import PREDICTED, ReflectionTable
from refimpl.metrology.pixels import mm_to_pixels

__all__ = ["highest_resolution", "predict_all"]

_MOST: Final = 50_000_000
"""Lattice points that are still enumerated."""


def predict_all(
    experiments: Sequence[Experiment],
    d_min_angstrom: float | None = None,
    *,
    threads: int | None = None,
) -> ReflectionTable:
    """Predict every reflection of every experiment.

    Parameters
    ----------
    experiments
        Rotation scans with a crystal each.
    d_min_angstrom
        Resolution limit; default: that of the farthest corner of the detector.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Returns
    -------
    Table with ``miller_index``, ``id``, ``panel``, ``entering``, ``flags``, ``s1`` [1/Å], ``d``
    [Å], ``xyzcal.mm`` [mm, mm, rad] and ``xyzcal.px`` [px, px, images].

    Raises
    ------
    ConfigError
        An experiment lacks a model or is a still, or the limit is not a positive number.
    """
    if d_min_angstrom is not None and not 0.0 < d_min_angstrom < np.inf:
        raise ConfigError(f"d_min {d_min_angstrom}: expected a positive number of angstrom")
    parts = [_one(e, number, d_min_angstrom, threads) for number, e in enumerate(experiments)]
    if not parts:
        raise ConfigError("no experiments given")
    names = {number: e.identifier for number, e in enumerate(experiments) if e.identifier}
    columns = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
    return ReflectionTable(columns=columns, identifiers=names)


def highest_resolution(experiment: Experiment) -> float:
    """Least d [Å] that the corners of the detector see."""
    beam, detector = experiment.beam, experiment.detector
    assert beam is not None
    assert detector is not None
    least = np.inf
    for d, module in zip(detector.d, detector.modules, strict=True):
        for share in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
            xy = np.array(share) * module.size_px * module.pixel_size_mm
            ray = d @ np.array([*xy, 1.0])
            ray = ray / np.linalg.norm(ray) / beam.wavelength_angstrom
            least = min(least, 1.0 / float(np.linalg.norm(ray - beam.s0)))
    return least


def _one(
    e: Experiment, number: int, d_min: float | None, threads: int | None
) -> dict[str, NDArray[np.generic]]:
    """Columns of one experiment."""
    for what in ("beam", "detector", "goniometer", "scan", "crystal"):
        if getattr(e, what) is None:
            raise ConfigError(f"experiment {number} has no {what}: it cannot be predicted")
    assert e.beam and e.detector and e.goniometer and e.scan and e.crystal  # noqa: PT018
    if e.is_still:
        raise ConfigError(f"experiment {number} is a still: expected a rotation scan")
    hkl = lattice_points(e.crystal, d_min or highest_resolution(e))
    g = e.goniometer
    p0 = np.ascontiguousarray(hkl @ (g.setting @ g.fixed @ e.crystal.A).T)
    ends = np.sort(np.asarray([e.scan.phi_of_frame(float(z)) for z in _frames(e.scan)]))
    hits = []
    for entering in (1, 0):
        xyz, s1, status = predict_rotation(
            p0, np.zeros(len(p0), dtype=np.int32), np.full(len(p0), entering, dtype=np.uint8),
            np.full(len(p0), ends.mean()), e.beam.s0, g.setting @ g.rotation_axis,
            e.detector.inverse_d[:1], threads=threads,  # type: ignore[call-arg]
        )  # fmt: skip
        turns = int(np.ceil((ends[1] - ends[0]) / (2.0 * np.pi))) // 2 + 1
        for k in range(-turns, turns + 1):
            phi = xyz[:, 2] + 2.0 * np.pi * k
            inside = np.flatnonzero((status != NEVER) & (phi >= ends[0]) & (phi < ends[1]))
            hits.append((hkl[inside], s1[inside], phi[inside], np.full(len(inside), entering == 1)))
    index, s1, phi, enters = (np.concatenate(part) for part in zip(*hits, strict=True))
    panel, xy_mm = on_panels(e.detector, s1)
    seen = panel >= 0
    x_px, y_px = mm_to_pixels(e, panel[seen], *xy_mm[seen].T)
    z = e.scan.frame_of_phi(phi[seen])
    return {
        "miller_index": index[seen].astype(np.int32),
        "id": np.full(int(seen.sum()), number, dtype=np.int32),
        "panel": panel[seen].astype(np.uint64),
        "entering": enters[seen],
        "flags": np.full(int(seen.sum()), PREDICTED, dtype=np.uint64),
        "s1": s1[seen],
        "d": 1.0 / np.linalg.norm(s1[seen] - e.beam.s0, axis=1),
        "xyzcal.mm": np.column_stack([xy_mm[seen], phi[seen]]),
        "xyzcal.px": np.column_stack([x_px, y_px, z]),
    }


def _frames(scan: Scan) -> tuple[int, int]:
    return scan.array_start, scan.array_start + scan.n_images


def lattice_points(crystal: Crystal, d_min: float) -> I64:
    """(h, 3) indices to a resolution [Å] but 000 and the systematic absences.

    Raises
    ------
    ConfigError
        There are more than can be enumerated: the limit is too fine.
    """
    import gemmi

    most = np.floor(np.linalg.norm(crystal.real_space, axis=1) / d_min).astype(np.int64)
    count = int(np.prod(2.0 * most + 1.0))
    if count > _MOST:
        raise ConfigError(
            f"d_min {d_min:g}: {count} lattice points, expected at most {_MOST}; raise the limit"
        )
    axes = [np.arange(-m, m + 1) for m in most]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    q2 = np.einsum("ni,ij,nj->n", grid, crystal.A.T @ crystal.A, grid, optimize=True)
    near = grid[(q2 <= d_min**-2) & (q2 > 0.0)]
    operations = gemmi.symops_from_hall(crystal.hall.strip())
    absent = operations.systematic_absences(near.astype(np.int32))
    return np.asarray(near[~np.asarray(absent, dtype=bool)])


def on_panels(detector: Hierarchy, s1: F64) -> tuple[I64, F64]:
    """Panel that each ray (n, 3) meets, -1 for none, and where (n, 2) [mm]; the first one wins."""
    panel, xy = np.full(len(s1), -1, dtype=np.int64), np.full((len(s1), 2), np.nan)
    left = np.arange(len(s1))
    for k, (inverse, module) in enumerate(zip(detector.inverse_d, detector.modules, strict=True)):
        u, v, w = inverse @ s1[left].T
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = u / w, v / w
            size = np.array(module.size_px) * module.pixel_size_mm
            hit = (w > 0.0) & (x >= 0.0) & (x < size[0]) & (y >= 0.0) & (y < size[1])
        panel[left[hit]] = k
        xy[left[hit]] = np.column_stack([x[hit], y[hit]])
        left = left[~hit]
    return panel, xy
