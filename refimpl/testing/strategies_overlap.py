"""Arguments for the pairs of :mod:`refimpl.objective` that compare voxels with lit pixels."""

from __future__ import annotations

import numpy as np

from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import NearfieldDetector, OmegaScan, Reflections, Setup, Voxels
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.frames import F64
from refimpl.objective.overlap_scene import margin_px, scene_arrays
from refimpl.rotations import matrix_of_quaternion
from refimpl.testing.strategies import Arguments, strategy

__all__ = ["random_lit", "random_orientations", "random_overlap_setup", "random_voxels"]

_SCENE = (
    "single", "g", "theta_rad", "ranges", "boxes", "camera", "distances", "scan", "coarse", "rank",
    "tiles",
)  # fmt: skip


def random_overlap_setup(rng: np.random.Generator, reflections: int = 9) -> Setup:
    """Set up a small detector at two or three distances, tilted, that loses some spots."""
    d = int(rng.integers(1, 4))
    detector = NearfieldDetector(
        np.sort(rng.uniform(5.0, 9.0, d)),
        np.stack([rng.uniform(40.0, 60.0, d), rng.uniform(3.0, 9.0, d)], axis=-1),
        rng.uniform(-0.02, 0.02, 3),
        0.0314,
        (101, 83),
    )
    scan = OmegaScan(
        3.1 * rng.choice([1.0, 0.7]),
        -0.0173,
        363,
        np.array([[-3.1, -0.3], [-0.1, 3.0]]),
        np.array([[-1.9, 1.7, 0.05, 2.4], [-1.7, 1.8, -0.3, 2.5]]),
        exclude_pole_rad=float(rng.choice([0.0, 0.11])),
        wedge_rad=float(rng.choice([0.0, 0.013])),
        published_wedge=bool(rng.integers(2)),
    )
    hkl = rng.integers(-3, 4, (reflections, 3)).astype(np.int32)
    hkl[~hkl.any(axis=1)] = (1, 1, 2)
    g: F64 = hkl * np.array([0.241, 0.253, 0.237])
    theta = np.arcsin(0.5 * 0.181 * np.sqrt((g**2).sum(axis=1)))
    ring = np.arange(reflections, dtype=np.int32)
    listed = Reflections(hkl, g, theta, ring)
    return Setup(detector, scan, listed, 0.181, 1, (4.1, 3.9, 4.2, 90.0, 90.0, 90.0))


def random_orientations(rng: np.random.Generator, n: int) -> F64:
    """(n, 3, 3) orientations, uniform."""
    q = rng.normal(size=(n, 4))
    return matrix_of_quaternion(q / np.sqrt((q**2).sum(axis=1, keepdims=True)))


def random_voxels(rng: np.random.Generator, n: int) -> F64:
    """(n, k, 2) corners of triangles, squares or points, smaller and larger than a pixel."""
    shape = rng.choice(["triangle", "square", "point"])
    voxels = Voxels(
        rng.uniform(-0.2, 0.2, (n, 2)),
        rng.choice([0.03, 0.07, 0.151], n),
        rng.random(n) < 0.5,
        str(shape),  # type: ignore[arg-type]
    )
    return voxels.vertices()


def random_lit(rng: np.random.Generator, setup: Setup) -> LitPixels:
    """Light rectangles of every size on some frames, some of them the same at all distances."""
    ny, nz = setup.detector.shape_px
    shape = (setup.detector.n_distances, setup.scan.n_frames, ny, nz)
    hits = [np.zeros((0, 4), dtype=np.int64)]
    for _ in range(int(rng.choice([0, 30, 120]))):
        y, z, f = rng.integers(0, ny), rng.integers(0, nz), rng.integers(0, shape[1])
        to = y + rng.choice([1, 5, 70]), z + rng.choice([1, 4, 60]), f + rng.choice([1, 9, 60])
        where = np.mgrid[0 : shape[0], f : to[2] : 2, y : to[0], z : to[1]].reshape(4, -1).T
        hits.append(where[(where < np.array(shape)).all(axis=1)])
    return LitPixels.from_hits(np.concatenate(hits), shape)


def _scene(rng: np.random.Generator, n: int, reflections: int = 9) -> tuple[Setup, Arguments]:
    setup = random_overlap_setup(rng, reflections)
    vertices = random_voxels(rng, n)
    scene = scene_arrays(vertices, setup, random_lit(rng, setup))
    arguments = dict(zip(_SCENE, scene, strict=True))
    return setup, {"vertices": vertices, **arguments, "published": bool(rng.integers(2))}


@strategy("overlap_counts.count_overlap", chunk=8, most=8, specials={"orientations": (np.nan,)})
def _counted(rng: np.random.Generator, n: int) -> Arguments:
    _, arguments = _scene(rng, n)
    return {**arguments, "orientations": random_orientations(rng, n)}


@strategy("overlap_spots.screen_spots", chunk=16, most=6, specials={})
def _screened(rng: np.random.Generator, n: int) -> Arguments:
    setup, arguments = _scene(rng, n)
    lit = LitPixels(
        (setup.detector.n_distances, setup.scan.n_frames, *setup.detector.shape_px),
        arguments["coarse"],
        arguments["rank"],
        arguments["tiles"],
    )
    spots = spots_of_setup(setup, random_orientations(rng, 4), backend="python")
    margin = margin_px(arguments["vertices"], setup) or 0
    for name in ("g", "theta_rad", "ranges", "boxes"):
        del arguments[name]
    return {
        **arguments,
        "least": rng.choice([0.0, 0.01, 0.2, 0.7, 1.0], n),
        "yl_mm": spots.yl_mm,
        "zl_mm": spots.zl_mm,
        "omega_rad": spots.omega_rad,
        "key": spots.key,
        "near": lit.near(margin) if rng.random() < 0.8 else np.zeros(0, dtype=np.uint64),
        "margin_px": margin,
    }


@strategy("overlap_climb.climb", chunk=2, most=1, specials={"orientations": (np.nan,)})
def _climbing(rng: np.random.Generator, n: int) -> Arguments:
    _, arguments = _scene(rng, n, reflections=5)
    return {
        **arguments,
        "orientations": random_orientations(rng, n),
        "edges_rad": np.array([0.11, 0.03]),
        "size_rad": 0.004,
        "most": int(rng.integers(5, 20)),
        "enough": float(rng.choice([1.0, 0.3])),
    }
