"""Spots of a known crystal on a small detector, for tests of indexing.

A tilted detector of two panels, a beam that is not along an axis, and a scan or a still; every
lattice point within the resolution that crosses the Ewald sphere during the scan and meets a panel
makes a spot, seen with Gaussian errors. Not here: intensities, spots that overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.crystal.reduction import primitive_basis, space_group
from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.forward.rotation import predict_rotation
from refimpl.frames import F64, I64
from refimpl.io.reflection_table import STRONG, ReflectionTable
from refimpl.rotations import expmap

__all__ = ["LatticeSpots", "lattice_spots", "small_experiment"]

PIXEL_MM = 0.172
SIZE_PX = (700, 1400)


@dataclass(frozen=True)
class LatticeSpots:
    """Simulated spots and the truth.

    Attributes
    ----------
    experiment
        Without crystal.
    table
        The spots in pixels.
    hkl
        (n, 3) indices in the basis that was given; 0 0 0 for noise.
    """

    experiment: Experiment
    table: ReflectionTable
    hkl: I64


def small_experiment(degrees: float = 30.0, distance_mm: float = 180.0) -> Experiment:
    """Experiment with two panels side by side, tilted, and ``degrees`` in half degrees."""
    tilt = expmap(np.array([0.03, -0.05, 0.02]))
    fast, slow, normal = tilt[:, 0], -tilt[:, 1], tilt[:, 2]
    width, height = SIZE_PX[0] * PIXEL_MM, SIZE_PX[1] * PIXEL_MM
    corner = -distance_mm * normal - (width + 1.3) * fast - (0.5 * height + 2.1) * slow
    panels = tuple(
        Module(
            name=f"panel {k}",
            fast_axis=_triple(fast),
            slow_axis=_triple(slow),
            origin_mm=_triple(corner + k * (width + 2.0) * fast),
            size_px=SIZE_PX,
            pixel_size_mm=(PIXEL_MM, PIXEL_MM),
        )
        for k in range(2)
    )
    direction = np.array([0.01, -0.02, 1.0])
    return Experiment(
        beam=Beam(direction / np.linalg.norm(direction), 0.97),
        detector=Hierarchy(panels),
        goniometer=Goniometer(np.array([1.0, 0.0, 0.0]), np.eye(3), np.eye(3)),
        scan=Scan((1, max(1, round(2.0 * degrees))), (10.0, 0.5)),
    )


def _triple(v: F64) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])


def lattice_spots(
    basis: F64,
    group: str = "P 1",
    *,
    degrees: float = 30.0,
    d_min: float = 2.6,
    error_px: float = 0.2,
    most: int = 1500,
    noise: int = 0,
    seed: int = 0,
    experiment: Experiment | None = None,
) -> LatticeSpots:
    """Spots of a crystal.

    Parameters
    ----------
    basis
        (3, 3) rows a, b, c [Å] at angle zero.
    group
        Space group; only its centring matters.
    degrees
        Rotation.
    d_min
        Resolution [Å].
    error_px
        Standard error of each coordinate [px]; that of the angle is as much of an image.
    most
        Spots at most, drawn at random; so many are left in their order.
    noise
        Spots added anywhere.
    seed
        Of errors, draw and noise.
    experiment
        The scan, with two panels like those of :func:`small_experiment`; None for that.
    """
    rng = np.random.default_rng(seed)
    experiment = experiment or small_experiment(degrees)
    assert experiment.detector is not None
    assert experiment.scan is not None
    hkl, panel, x, y, phi = _crossings(experiment, basis, group, d_min)
    keep = np.sort(rng.choice(len(hkl), min(most, len(hkl)), replace=False))
    z = experiment.scan.frame_of_phi(phi[keep])
    px = np.column_stack([x[keep] / PIXEL_MM, y[keep] / PIXEL_MM, z])
    px += error_px * rng.normal(size=px.shape)
    wild = rng.uniform(size=(noise, 3)) * [*SIZE_PX, experiment.scan.n_images]
    pixels = np.concatenate([px, wild])
    columns = {
        "panel": np.concatenate([panel[keep], rng.integers(0, 2, noise)]).astype(np.uint64),
        "xyzobs.px.value": pixels,
        "xyzobs.px.variance": np.full(pixels.shape, error_px**2),
        "flags": np.full(len(pixels), STRONG, dtype=np.uint64),
        "id": np.zeros(len(pixels), dtype=np.int32),
    }
    truth = np.concatenate([hkl[keep], np.zeros((noise, 3), dtype=np.int64)])
    return LatticeSpots(experiment, ReflectionTable(columns), truth)


def _crossings(
    experiment: Experiment, basis: F64, group: str, d_min: float
) -> tuple[I64, I64, F64, F64, F64]:
    """Indices, panel, x, y [mm] and angle [rad] of every crossing that is seen."""
    assert experiment.detector is not None
    assert experiment.beam is not None
    assert experiment.goniometer is not None
    assert experiment.scan is not None
    inside = _lattice_points(basis, group, d_min)
    gonio = experiment.goniometer
    # S R(e) F = R(S e) S F
    a_matrix = np.asarray(gonio.setting @ gonio.fixed @ np.linalg.inv(basis), dtype=np.float64)
    p0 = inside @ a_matrix.T
    inverse, axis = experiment.detector.inverse_d, gonio.setting @ gonio.rotation_axis
    low, high = (float(experiment.scan.phi_of_frame(z)) for z in (0, experiment.scan.n_images))
    parts = []
    for panel in range(len(inverse)):
        for entering in (0, 1):
            xyz, _, status = predict_rotation(
                p0,
                np.full(len(p0), panel, dtype=np.int32),
                np.full(len(p0), entering, dtype=np.uint8),
                np.full(len(p0), 0.5 * (low + high)),
                experiment.beam.s0,
                axis,
                inverse,
            )
            with np.errstate(invalid="ignore"):
                seen = (status == 0) & (xyz[:, 2] > low) & (xyz[:, 2] < high)
                for k in range(2):
                    seen &= (xyz[:, k] > 0.0) & (xyz[:, k] < SIZE_PX[k] * PIXEL_MM)
            rows = np.flatnonzero(seen)
            parts.append((inside[rows], np.full(len(rows), panel), xyz[rows]))
    hkl = np.concatenate([p[0] for p in parts])
    panels = np.concatenate([p[1] for p in parts])
    x, y, phi = np.concatenate([p[2] for p in parts]).T
    return hkl, panels, x, y, phi


def _lattice_points(basis: F64, group: str, d_min: float) -> I64:
    """Indices (h, 3) within a resolution that the centring allows, without 0 0 0."""
    reach = [int(np.linalg.norm(row) / d_min) + 1 for row in basis]
    axes = [np.arange(-r, r + 1) for r in reach]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    points = grid @ np.linalg.inv(basis).T
    length = np.sqrt((points * points).sum(axis=1))
    primitive = primitive_basis(basis, space_group(group)) @ np.linalg.inv(basis)
    whole = grid @ primitive.T  # indices on the primitive basis: whole where allowed
    allowed = np.abs(whole - np.rint(whole)).max(axis=1) < 1e-6
    return grid[(length > 1e-9) & (length < 1.0 / d_min) & allowed]
