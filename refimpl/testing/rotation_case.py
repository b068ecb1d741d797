"""Small simulated rotation data sets with their truth, for tests of refinement.

A detector of a grid of panels with errors of its own, one crystal, a full turn; small enough that
a refinement takes a fraction of a second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from refimpl.crystal.crystal_model import Crystal
from refimpl.detector.hierarchy import Group, Hierarchy, Module
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.forward.rotation import predict_rotation
from refimpl.frames import F64
from refimpl.io.reflection_table import ReflectionTable
from refimpl.rotations import expmap

__all__ = ["RotationCase", "panel_grid", "rotation_case"]

PIXEL = 0.172


@dataclass(frozen=True)
class RotationCase:
    """Experiments as they are and as they are believed to be, and what was seen."""

    truth: tuple[Experiment, ...]
    start: tuple[Experiment, ...]
    table: ReflectionTable


def panel_grid(
    shape: tuple[int, int] = (3, 3), size_px: tuple[int, int] = (240, 240), distance: float = 150.0
) -> Hierarchy:
    """Coplanar panels (rows, columns) across the beam along -z, on a tree of one level."""
    rows, columns = shape
    pitch = np.array(size_px) * PIXEL + 2.0
    first = -0.5 * (np.array([columns, rows]) * pitch - 2.0)
    modules = []
    for k in range(rows * columns):
        row, column = divmod(k, columns)
        x, y = first + pitch * [column, row]
        offset = (column * (size_px[0] + 10), row * (size_px[1] + 10))
        modules.append(
            Module(f"p{k}", (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (float(x), float(y), 0.0), size_px,
                   (PIXEL, PIXEL), raw_image_offset=offset, trusted_range=(-1.0, 1e6))
        )  # fmt: skip
    root = Group(
        "root",
        (1.0, 0.0, 0.0),
        (0.0, -1.0, 0.0),
        (0.7, -1.1, -distance),
        tuple(range(len(modules))),
    )
    return Hierarchy(tuple(modules), root)


def rotation_case(
    seed: int = 1,
    shape: tuple[int, int] = (3, 3),
    n: int = 3000,
    shift_mm: float = 0.1,
    turn_mrad: float = 2.0,
    noise: float = 1.0,
    empty: tuple[int, ...] = (),
) -> RotationCase:
    """Reflections of one crystal on a detector whose panels are off by some errors.

    Parameters
    ----------
    seed
        Of everything.
    shape
        Rows and columns of panels.
    n
        Reflections.
    shift_mm, turn_mrad
        Standard deviations of the panels' errors.
    noise
        Of the observations, in units of their stated uncertainty (0.02 mm, 1 mrad).
    empty
        Panels that see nothing.
    """
    rng = np.random.default_rng(seed)
    start = panel_grid(shape)
    d = start.d
    for k, columns in enumerate(d):
        turned = expmap(rng.normal(0.0, turn_mrad * 1e-3, 3))
        half = 0.5 * PIXEL * np.array(start.modules[k].size_px)
        centre = columns @ [*half, 1.0] + rng.normal(0.0, shift_mm, 3)
        d[k, :, :2] = turned @ columns[:, :2]
        d[k, :, 2] = centre - d[k, :, :2] @ half
    u = expmap(rng.normal(0.0, 1.0, 3))
    cell = np.diag([57.8, 57.8, 150.0])
    crystal = Crystal(cell @ u.T, "P 4")
    beam = Beam(np.array([0.0, 0.0, 1.0]), 0.9763)
    axis = Goniometer(np.array([1.0, 0.0, 0.0]), np.eye(3), np.eye(3))
    scan = Scan((1, 720), (0.0, 0.5))
    truth = Experiment("", beam, start.with_d(d), axis, scan, crystal, {})
    table = _observed(truth, n, rng, noise, empty)
    off = Crystal(cell * 1.0003 @ (expmap(rng.normal(0.0, 3e-4, 3)) @ u).T, "P 4")
    believed = replace(truth, detector=start, crystal=off)
    return RotationCase((truth,), (believed,), table)


def _observed(
    truth: Experiment, n: int, rng: np.random.Generator, noise: float, empty: tuple[int, ...]
) -> ReflectionTable:
    """Table of n reflections that the panels of the true experiment see."""
    assert truth.crystal is not None
    assert truth.beam is not None
    assert truth.detector is not None
    detector = truth.detector
    panels = [k for k in range(len(detector)) if k not in empty]
    rows: list[dict[str, F64]] = []
    count = 0
    while count < n:
        hkl = rng.integers(-40, 41, (20000, 3)) * [1, 1, 2]
        p0 = np.ascontiguousarray(hkl @ truth.crystal.A.T)
        entering = rng.integers(0, 2, len(hkl)).astype(np.uint8)
        for k in panels:
            panel = np.full(len(hkl), k, dtype=np.int32)
            xyz, s1, status = predict_rotation(
                p0, panel, entering, np.zeros(len(hkl)), truth.beam.s0, np.array([1.0, 0.0, 0.0]),
                detector.inverse_d,
            )  # fmt: skip
            size = np.array(detector.modules[k].size_px) * PIXEL
            good = (status == 0) & np.all((xyz[:, :2] > 0.5) & (xyz[:, :2] < size - 0.5), axis=1)
            far = np.abs(np.cross(s1, truth.beam.s0) @ [1.0, 0.0, 0.0]) > 0.1
            good &= far & np.any(hkl != 0, axis=1)
            rows.append({"miller_index": hkl[good], "panel": panel[good], "s1": s1[good],
                         "entering": entering[good], "xyz": xyz[good]})  # fmt: skip
            count += int(good.sum())
    whole = {key: np.concatenate([r[key] for r in rows]) for key in rows[0]}
    chosen = np.sort(rng.permutation(len(whole["panel"]))[:n])
    columns = {key: value[chosen] for key, value in whole.items()}
    sigma = np.array([0.02, 0.02, 1e-3])
    xyz = columns.pop("xyz")
    xyz[:, 2] %= 2.0 * np.pi
    xyz = xyz + noise * sigma * rng.normal(size=xyz.shape)
    frame = xyz[:, 2] / truth.scan.width_rad  # type: ignore[union-attr]
    columns |= {
        "id": np.zeros(n, dtype=np.int64), "flags": np.full(n, 4, dtype=np.int64),
        "entering": columns["entering"].astype(bool), "xyzobs.mm.value": xyz,
        "xyzobs.mm.variance": np.tile(sigma**2, (n, 1)),
        "xyzobs.px.value": np.column_stack([xyz[:, :2] / PIXEL, frame]),
    }  # fmt: skip
    return ReflectionTable(columns=columns)
