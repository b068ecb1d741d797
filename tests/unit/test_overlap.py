"""Confidence, screening and climbing on small scenes, against a look-up pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.forward.nearfield_stack import simulate_stack
from refimpl.frames import F64
from refimpl.objective.overlap import (
    coarser_setup,
    confidence,
    maximise,
    screen,
    single_pixel,
)
from refimpl.objective.overlap_climb import turned
from refimpl.rotations import expmap
from refimpl.testing.strategies_overlap import (
    random_lit,
    random_orientations,
    random_overlap_setup,
    random_voxels,
)

Known = NDArray[np.bool_]


def lit_of(setup: Setup, voxels: Voxels, u: F64) -> LitPixels:
    stack = simulate_stack(setup, voxels, u)
    return LitPixels.from_hits(stack.pixels(), stack.shape)


def brute_pixel(setup: Setup, yl: float, zl: float, omega: float, at: F64) -> tuple[float, float]:
    """Project by formulas (3) and (4), with matrices."""
    c, s = math.cos(omega), math.sin(omega)
    lean = 0.0 if setup.scan.published_wedge else setup.scan.wedge_rad
    xa, ya = at[0] * c - at[1] * s, at[0] * s + at[1] * c
    lsd = setup.detector.lsd_mm[0]
    x, z = xa * math.cos(lean), xa * math.sin(lean)
    t = 1.0 - x / lsd
    p0 = setup.detector.foot_mm
    q = setup.detector.rotation @ np.array([0.0, ya + yl * t, z + zl * t]) - p0
    centre = setup.detector.beam_centre_px[0]
    px = setup.detector.pixel_size_mm
    return (
        (p0[1] - q[1] * p0[0] / q[0]) / px + centre[0],
        (p0[2] - q[2] * p0[0] / q[0]) / px + centre[1],
    )


def away(x: float) -> int:
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def brute_footprint(corners: list[tuple[float, float]], single: bool, published: bool) -> list[Any]:
    """Offsets, Z outer; the polygon by its edge functions as the specification writes them."""
    if single:
        return [tuple(away(sum(c[i] for c in corners) / len(corners)) for i in (0, 1))]
    v = [(away(y), away(z)) for y, z in corners]
    if not published:
        area = sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(v, v[1:] + v[:1], strict=True))
        v = v if area >= 0 else v[::-1]
    out = []
    for z in range(min(c[1] for c in v), max(c[1] for c in v) + 1):
        for y in range(min(c[0] for c in v), max(c[0] for c in v) + 1):
            inside, rim = True, False
            for a, b in zip(v, v[1:] + v[:1], strict=True):
                side = (b[0] - a[0]) * (z - a[1]) - (b[1] - a[1]) * (y - a[0])
                inside &= side >= 0
                length = math.hypot(b[0] - a[0], b[1] - a[1])
                rim |= length > 0 and (side / length) ** 2 < 0.9801
            if inside or rim:
                out.append((y, z))
    return out


def brute_counts(
    setup: Setup, known: Known, corner: F64, u: F64, single: bool, published: bool
) -> list[int]:
    """Total, overlap and lit at each distance: section 1.9 pixel by pixel."""
    spots = spots_of_setup(setup, u[None], backend="python")
    detector, scan = setup.detector, setup.scan
    ny, nz = detector.shape_px
    counts = [0] * (2 + detector.n_distances)
    for yl, zl, omega in zip(spots.yl_mm, spots.zl_mm, spots.omega_rad, strict=True):
        frame = math.floor((omega - scan.start_rad) / scan.step_rad)
        at = [brute_pixel(setup, yl, zl, omega, c) for c in corner]
        on = all(0 <= y <= ny and 0 <= z <= nz for y, z in at)
        if not 0 <= frame < scan.n_frames or not on:
            continue
        yc, zc = brute_pixel(setup, yl, zl, omega, np.zeros(2))
        relative = [(y - yc, z - zc) for y, z in at]
        for oy, oz in brute_footprint(relative, single, published):
            places = []
            for lsd, centre in zip(detector.lsd_mm, detector.beam_centre_px, strict=True):
                ratio, first = lsd / detector.lsd_mm[0], detector.beam_centre_px[0]
                y = math.floor((yc - first[0]) * ratio + centre[0]) + oy
                z = math.floor((zc - first[1]) * ratio + centre[1]) + oz
                places.append((y, z))
            if not all(0 <= y < ny and 0 <= z < nz for y, z in places):
                if published:
                    break
                continue
            lit = [bool(known[d, frame, y, z]) for d, (y, z) in enumerate(places)]
            counts[0] += 1
            counts[1] += all(lit)
            for d, one in enumerate(lit):
                counts[2 + d] += one
    return counts


@given(seed=st.integers(0, 2**32 - 1), published=st.booleans())
@settings(max_examples=25)
def test_confidence_is_that_of_every_pixel_looked_up(seed: int, published: bool) -> None:
    rng = np.random.default_rng(seed)
    setup, n = random_overlap_setup(rng), 3
    lit, vertices, u = random_lit(rng, setup), random_voxels(rng, n), random_orientations(rng, n)
    known = np.zeros(lit.shape, dtype=bool)
    known[tuple(lit.pixels().T)] = True
    found = confidence(vertices, u, setup, lit, published=published)
    single = single_pixel(vertices, setup.detector.pixel_size_mm)
    for i in range(n):
        counts = brute_counts(setup, known, vertices[i], u[i], bool(single[i]), published)
        assert [found.total[i], found.overlap[i]] == counts[:2]
        total = max(counts[0], 1)
        assert found.confidence[i] == counts[1] / total
        assert found.by_distance[i].tolist() == [c / total for c in counts[2:]]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_what_is_simulated_is_found(seed: int) -> None:
    """C(truth) = 1 exactly, for every shape of voxel and either wedge."""
    rng = np.random.default_rng(seed)
    setup = random_overlap_setup(rng)
    shape = str(rng.choice(["triangle", "square", "point"]))
    voxels = Voxels(
        rng.uniform(-0.2, 0.2, (5, 2)),
        rng.choice([0.03, 0.151], 5),
        rng.random(5) < 0.5,
        shape,  # type: ignore[arg-type]
    )
    u = random_orientations(rng, 5)
    lit = lit_of(setup, voxels, u)
    found = confidence(voxels.vertices(), u, setup, lit)
    assert (found.confidence[found.total > 0] == 1.0).all()
    assert (found.total > 0).any()
    assert (found.by_distance[found.total > 0] == 1.0).all()


def test_fault_14_pixels_at_the_edge_do_not_depend_on_the_order() -> None:
    """A spot that leaves the detector at its first pixel loses that pixel, not all of them.

    Published: once one footprint pixel is off, the later ones are ignored, the earlier ones count.
    """
    changed = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        setup = random_overlap_setup(rng)
        voxels = Voxels(rng.uniform(-0.2, 0.2, (20, 2)), np.full(20, 0.2), np.ones(20, dtype=bool))
        lit, u = random_lit(rng, setup), random_orientations(rng, 20)
        vertices = voxels.vertices()
        here = confidence(vertices, u, setup, lit)
        # corners the other way about: the same triangle, so the same counts
        again = confidence(vertices[:, ::-1], u, setup, lit)
        assert np.array_equal(here.total, again.total)
        assert np.array_equal(here.overlap, again.overlap)
        published = confidence(vertices, u, setup, lit, published=True)
        assert (published.total <= here.total).all()
        changed += int((published.total < here.total).sum())
    assert changed > 5  # the edge was reached


@given(seed=st.integers(0, 2**32 - 1), least=st.sampled_from([0.0, 0.01, 0.2, 0.6, 1.0]))
@settings(max_examples=12)
def test_screening_keeps_what_looking_at_everything_keeps(seed: int, least: float) -> None:
    rng = np.random.default_rng(seed)
    setup = random_overlap_setup(rng)
    vertices, u = random_voxels(rng, 17), random_orientations(rng, 9)
    lit = random_lit(rng, setup)
    known = np.array([confidence(v, u, setup, lit, threads=1).confidence for v in vertices])
    for abandon in (False, True):
        for keep in (None, 1, 3):
            found = screen(
                vertices, u, setup, lit, least=least, keep=keep, abandon=abandon, threads=1
            )
            for i, row in enumerate(known):
                order = [
                    j for j in np.argsort(-row, kind="stable") if row[j] >= least and row[j] > 0
                ]
                rows = slice(found.start[i], found.start[i + 1])
                assert found.orientation[rows].tolist() == order[:keep]
                assert found.confidence[rows].tolist() == row[order[:keep]].tolist()


def test_blocks_of_a_screening_join(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    setup = random_overlap_setup(rng)
    vertices, u = random_voxels(rng, 7), random_orientations(rng, 300)
    lit = random_lit(rng, setup)
    whole = screen(vertices, u, setup, lit, least=0.01, keep=5)
    monkeypatch.setattr("refimpl.objective.overlap._BLOCK", 1)
    seen: list[tuple[int, int]] = []
    parts = screen(
        vertices, u, setup, lit, least=0.01, keep=5, progress=lambda *p: seen.append(p), threads=2
    )
    assert seen == [(64, 300), (128, 300), (192, 300), (256, 300), (300, 300)]
    for name in ("start", "orientation", "confidence"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name
    assert len(whole.orientation) > 7


def grain() -> tuple[Setup, F64, F64, LitPixels]:
    """A voxel in a grain of its own kind: spots of 3 x 3 px and 3 frames."""
    rng = np.random.default_rng(8)
    setup = random_overlap_setup(rng, reflections=40).changed(wedge_rad=0.0)
    voxel = Voxels(np.array([[0.05, -0.03]]), np.array([0.03]), np.array([True]))
    u = random_orientations(rng, 1)
    return setup, voxel.vertices()[0], u[0], lit_of(setup, voxel, u).dilated(1, 1)


@pytest.mark.parametrize("backend", ["python", "cython"])
def test_a_climb_finds_the_top(backend: str) -> None:
    setup, corner, truth, lit = grain()
    start = expmap(np.array([0.02, -0.03, 0.025])) @ truth
    before = confidence(corner, start, setup, lit).confidence[0]
    found = maximise(
        corner, start, setup, lit, edges_rad=[0.06, 0.02, 0.01], size_rad=1e-3, backend=backend
    )
    assert 0.0 < before < 0.9
    assert found.confidence[0] == 1.0
    assert found.confidence[0] == confidence(corner, found.orientations, setup, lit).confidence[0]
    assert np.allclose(found.orientations[0] @ found.orientations[0].T, np.eye(3), atol=1e-14)
    assert found.evaluations[0] < 400


def test_a_climb_does_not_stop_on_a_plateau() -> None:
    """Four equal values: the published rule ends there, at once; ends only when small."""
    setup, corner, truth, _ = grain()
    dark = LitPixels.from_hits(
        np.zeros((0, 4)),
        (setup.detector.n_distances, setup.scan.n_frames, *setup.detector.shape_px),
    )
    found = maximise(corner, truth, setup, dark, edges_rad=[0.02], size_rad=1e-3)
    assert found.confidence[0] == 0.0
    assert np.array_equal(found.orientations[0], truth)  # nothing was better
    # 0.02 halves five times to come under 1e-3; each shrink asks five times
    assert found.evaluations[0] >= 1 + 4 + 5 * 5


def test_a_climb_that_starts_at_the_top_asks_once() -> None:
    setup, corner, truth, lit = grain()
    found = maximise(corner, truth, setup, lit, edges_rad=[0.02], size_rad=1e-3)
    assert (found.confidence[0], found.evaluations[0]) == (1.0, 1)
    few = maximise(
        corner, expmap(np.full(3, 0.2)) @ truth, setup, lit, edges_rad=[0.02, 0.01],
        size_rad=1e-9, max_evaluations=30,
    )  # fmt: skip
    assert few.evaluations[0] <= 1 + 2 * 34


def test_threads_and_batches_change_nothing() -> None:
    setup, corner, truth, lit = grain()
    rng = np.random.default_rng(2)
    u = np.array([expmap(rng.normal(0.0, 0.03, 3)) @ truth for _ in range(23)])
    task: dict[str, Any] = {"edges_rad": [0.05, 0.02], "size_rad": 1e-3}
    one = maximise(corner, u, setup, lit, **task, threads=1)
    for threads in (2, 5):
        many = maximise(corner, u, setup, lit, **task, threads=threads)
        assert many.orientations.tobytes() == one.orientations.tobytes()
        assert many.evaluations.tobytes() == one.evaluations.tobytes()
    alone = maximise(corner, u[7], setup, lit, **task)
    assert alone.orientations[0].tobytes() == one.orientations[7].tobytes()
    assert len(np.unique(one.confidence)) > 1


@given(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3))
def test_the_turn_is_a_rotation_by_twice_the_arc_tangent(x: list[float]) -> None:
    v = np.array(x)
    size = math.sqrt(float(v @ v))
    turn = turned(np.eye(3), v)
    expected = expmap(v * (2.0 * math.atan(0.5 * size) / size)) if size > 0.0 else np.eye(3)
    # a rotation matrix in double precision, of operations that cancel nothing
    assert np.abs(turn - expected).max() < 1e-14


def test_cells_see_what_pixels_see() -> None:
    """A level of the pyramid never loses a lit spot."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        # a detector that no spot misses: at the edge a cell may be on it and its pixel not
        setup = random_overlap_setup(rng)
        centre = np.full((setup.detector.n_distances, 2), [120.3, 40.2])
        setup = setup.changed(shape_px=(240, 200), beam_centre_px=centre, n_frames=364)
        voxels = Voxels(rng.uniform(-0.2, 0.2, (4, 2)), np.full(4, 0.03), np.ones(4, dtype=bool))
        u = random_orientations(rng, 4)
        lit = lit_of(setup, voxels, u)
        level, coarse = coarser_setup(setup, 3, 2), lit.coarser(3, 2)
        assert coarse.shape[1:] == (level.scan.n_frames, *level.detector.shape_px)
        found = confidence(voxels.vertices(), u, level, coarse)
        assert (found.confidence[found.total > 0] == 1.0).all()
        assert (found.total > 0).any()


def test_input_refused() -> None:
    rng = np.random.default_rng(0)
    setup = random_overlap_setup(rng)
    lit, v, u = random_lit(rng, setup), random_voxels(rng, 3), random_orientations(rng, 3)
    climb: dict[str, Any] = {"edges_rad": [0.1], "size_rad": 1e-3}
    with pytest.raises(ConfigError, match="3 voxels and 2 orientations: expected equal numbers"):
        confidence(v, u[:2], setup, lit)
    with pytest.raises(
        ConfigError, match=r"orientations have shape \(3, 4\): expected \(n, 3, 3\)"
    ):
        confidence(v, np.zeros((3, 4)), setup, lit)
    with pytest.raises(ConfigError, match=r"vertices have shape \(3,\): expected \(n, k, 2\)"):
        confidence(np.zeros(3), u, setup, lit)
    with pytest.raises(ConfigError, match="voxels of 9 corners: expected 1 to 8"):
        confidence(np.zeros((1, 9, 2)), u, setup, lit)
    with pytest.raises(
        ConfigError, match=r"lit pixels of .* distances, frames, Y and Z: the setup"
    ):
        confidence(v, u, setup.changed(n_frames=7), lit)
    far = setup.changed(lsd_mm=np.full(17, 5.0), beam_centre_px=np.zeros((17, 2)))
    stack = LitPixels.from_hits(np.zeros((0, 4)), (17, setup.scan.n_frames, *lit.shape[2:]))
    with pytest.raises(ConfigError, match="17 distances: expected at most 16"):
        confidence(v, u, far, stack)
    with pytest.raises(ConfigError, match=r"least = 1\.5: expected 0 to 1"):
        screen(v, u, setup, lit, least=1.5)
    with pytest.raises(ConfigError, match="keep = 0: expected 1 up"):
        screen(v, u, setup, lit, least=0.1, keep=0)
    with pytest.raises(
        ConfigError, match=r"edges_rad \[0.0\] and size_rad 0.001: expected positive"
    ):
        maximise(v, u, setup, lit, **{**climb, "edges_rad": [0.0]})
    with pytest.raises(ConfigError, match="max_evaluations = 3: expected 4 up"):
        maximise(v, u, setup, lit, **climb, max_evaluations=3)


def test_nothing_to_do() -> None:
    rng = np.random.default_rng(0)
    setup = random_overlap_setup(rng)
    lit = random_lit(rng, setup)
    assert len(confidence(np.zeros((0, 3, 2)), np.zeros((0, 3, 3)), setup, lit).total) == 0
    found = screen(np.zeros((4, 3, 2)), np.zeros((0, 3, 3)), setup, lit, least=0.1)
    assert found.start.tolist() == [0] * 5


def test_a_steep_detector_is_screened_without_short_cuts() -> None:
    rng = np.random.default_rng(6)
    setup = random_overlap_setup(rng)
    steep = setup.changed(tilts_rad=np.array([0.01, 0.6, 0.02]))
    v, u, lit = random_voxels(rng, 5), random_orientations(rng, 20), random_lit(rng, setup)
    one, other = (screen(v, u, steep, lit, least=0.01, abandon=a) for a in (True, False))
    assert np.array_equal(one.orientation, other.orientation)
