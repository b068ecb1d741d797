"""Orientations of near-field voxels: local fits, seeds, neighbours, no seeds, whole maps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from refimpl.crystal.cell import b_matrix
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.detector.lit_pixels import LitPixels
from refimpl.dispatch import use_backend
from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.forward.nearfield_setup import (
    NearfieldDetector,
    OmegaScan,
    Reflections,
    Setup,
    Voxels,
)
from refimpl.forward.nearfield_stack import simulate_stack
from refimpl.frames import F64
from refimpl.nearfield.blind import BlindSettings, Pyramid, blind_search
from refimpl.nearfield.grid import hex_grid
from refimpl.nearfield.levels import level_of, levels_down
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.reconstruct import LEDGER, reconstruct
from refimpl.nearfield.refine import (
    FitSettings,
    centred,
    climbed,
    points_in_ball,
    published_fit,
    scattered,
    turned,
)
from refimpl.nearfield.search import (
    SearchSettings,
    disputed,
    from_neighbours,
    neighbour_table,
    search,
    settings_of,
)
from refimpl.nearfield.seeds import random_seeds
from refimpl.nearfield.settings import SearchTable
from refimpl.nearfield.solutions import save_distinct
from refimpl.objective.overlap import confidence
from refimpl.rotations import (
    euler_of_matrix,
    matrix_of_euler,
    matrix_of_quaternion,
    quaternion_of_matrix,
)
from refimpl.scaleout import Interrupted
from refimpl.units import DEG

CELL = (4.08, 4.08, 4.08, 90.0, 90.0, 90.0)
GROUP = operators(225)
PLAIN = SearchSettings()


def small_setup() -> Setup:
    """512 x 512 px of 5 um, 360 frames of half a degree, two distances, gold."""
    hkl = np.array(list(np.ndindex(7, 7, 7)), dtype=np.int32) - 3
    parity = hkl % 2
    hkl = hkl[(parity == parity[:, :1]).all(axis=1) & hkl.any(axis=1)]
    g = hkl @ b_matrix(CELL).T
    theta = np.arcsin(0.5 * 0.173 * np.sqrt((g * g).sum(axis=1)))
    order = np.argsort(theta, kind="stable")
    hkl, g, theta = hkl[order], np.ascontiguousarray(g[order]), theta[order]
    ring = 1 + np.cumsum(np.diff(theta, prepend=theta[0]) > 1e-6)
    detector = NearfieldDetector(
        [8.3, 10.3], [[256.3, 5.2], [255.1, 7.9]], [0.009, 0.01, -0.008], 0.005, (512, 512)
    )
    box = np.array([[-1.2, 1.2, 0.1, 2.4]])
    scan = OmegaScan(np.pi / 2, -0.5 * DEG, 360, [[-np.pi / 2, np.pi / 2]], box, 6.0 * DEG)
    return Setup(detector, scan, Reflections(hkl, g, theta, ring), 0.173, 225, CELL)


def of_rings(setup: Setup, rings: tuple[int, ...]) -> Setup:
    """The same with the reflections of some rings."""
    r = setup.reflections
    keep = np.isin(r.ring, rings)
    return setup.changed(
        reflections=Reflections(r.hkl[keep], r.g[keep], r.theta_rad[keep], r.ring[keep])
    )


class Case:
    """A simulated map of four grains."""

    def __init__(self) -> None:
        self.setup = small_setup()
        self.voxels = hex_grid(0.010, 0.030)
        self.vertices = self.voxels.vertices()
        centres = np.array([[0.015, 0.012], [-0.02, 0.01], [0.0, -0.02], [0.02, -0.02]])
        far = ((self.voxels.xy_mm[:, None] - centres) ** 2).sum(axis=2)
        self.grain: NDArray[np.int64] = far.argmin(axis=1)
        self.inner = np.diff(np.sort(np.sqrt(far), axis=1)[:, :2], axis=1)[:, 0] > 0.012
        self.grains = random_seeds(4, GROUP, 3)
        self.u = matrix_of_quaternion(self.grains)[self.grain]
        pixels = simulate_stack(self.setup, self.voxels, self.u).pixels()
        shape = (2, 360, 512, 512)
        self.lit = LitPixels.from_hits(pixels, shape)
        off = np.random.default_rng(1).normal(size=(4, 3)) * 0.1 * DEG
        self.seed_matrices = turned(matrix_of_quaternion(self.grains), off)
        self.seeds = quaternion_of_matrix(self.seed_matrices)

    def errors_deg(self, euler_rad: F64, rows: Any = slice(None)) -> F64:
        q = quaternion_of_matrix(matrix_of_euler(np.nan_to_num(euler_rad)))
        return misorientation(q, quaternion_of_matrix(self.u[rows]), GROUP) / DEG


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.fixture(scope="module")
def found(case: Case) -> NearfieldMap:
    return reconstruct(case.setup, case.lit, case.voxels, case.seeds, engine="serial")


def same(a: NearfieldMap, b: NearfieldMap) -> None:
    """Bit-identical but for the number of evaluations of nothing."""
    for name in (
        "euler_rad", "confidence", "by_distance", "seed", "n_kept", "evaluations",
        "solutions_euler_rad", "solutions_confidence", "disputed",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


# --- local fits -----------------------------------------------------------------------------------


def test_points_fill_the_ball_evenly() -> None:
    p = points_in_ball(256)
    r = np.sqrt((p * p).sum(axis=1))
    assert p.shape == (256, 3)
    assert r.max() <= 1.0
    assert abs((r < 0.5).sum() - 32) <= 4  # an eighth of the volume
    assert (np.abs(p.mean(axis=0)) < 0.03).all()
    assert points_in_ball(5).tolist() == p[:5].tolist()


def test_turned_turns_in_the_sample_by_the_angle() -> None:
    u = matrix_of_quaternion(random_seeds(3, operators(1), 0))
    x = np.array([0.0, 0.0, 2.0 * np.tan(0.05)])  # 0.1 rad about the rotation axis
    got = turned(u, x)
    c, s = np.cos(0.1), np.sin(0.1)
    want = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ u
    np.testing.assert_allclose(got, want, atol=1e-15)


def test_a_climb_does_not_stop_on_a_plateau(case: Case) -> None:
    """The published rule stops when values agree; this one goes on and ends higher."""
    rows = np.flatnonzero(case.inner)[:12]
    v, s = case.vertices[rows], case.seed_matrices[case.grain[rows]]
    fit, old = FitSettings(), FitSettings.published()
    ours = climbed(v, s, case.setup, case.lit, fit, (0.4 * DEG, 0.1 * DEG), fit.size_rad)
    theirs = np.array(
        [
            published_fit(v[i], s[i], case.setup, case.lit, old).confidence[0]
            for i in range(len(rows))
        ]
    )
    assert ours.confidence.mean() > theirs.mean() + 0.02
    start = confidence(v, s, case.setup, case.lit).confidence
    assert (theirs >= start).all()
    assert (ours.confidence >= start).all()


def test_scatter_finds_what_a_climb_misses_and_the_middle_is_no_worse(case: Case) -> None:
    rows = np.flatnonzero(case.inner)[:6]
    v, s = case.vertices[rows], case.seed_matrices[case.grain[rows]]
    for fit in (FitSettings(scatter_points=64), FitSettings.quick()):
        got = scattered(v, s, case.setup, case.lit, fit)
        assert (got.confidence > 0.9).all()
        assert (got.evaluations > fit.scatter_points).all()
    mid = centred(v, got.orientations, got.confidence, case.setup, case.lit, FitSettings())
    assert (mid.confidence >= got.confidence).all()
    again = confidence(v, mid.orientations, case.setup, case.lit).confidence
    np.testing.assert_array_equal(again, mid.confidence)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"method": "newton"}, "FitSettings: method 'newton': expected restarted or published"),
        ({"size_rad": 0.0}, "FitSettings: size_rad 0.0: expected > 0"),
        ({"edges_rad": ()}, r"FitSettings: edges_rad \(\): expected one or more lengths > 0"),
    ],
)
def test_bad_fit_settings_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        FitSettings(**values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"least": 1.1}, "MinFracAccept 1.1: expected 0 to 1"),
        ({"n_saved": 0}, "SaveNSolutions 0: expected 1 or more"),
        ({"saved_angle_rad": 4.0}, "MinMisoNSaves 4.0 rad: expected 0 to pi"),
        ({"disputed_angle_rad": -1.0}, "NearestMisorientation -1.0 rad: expected 0 to pi"),
    ],
)
def test_bad_search_settings_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        SearchSettings(**values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"spacing_rad": 0.0}, "BlindSettings: spacing_rad 0.0: expected more than 0, at most 1"),
        ({"kept": 0}, "BlindSettings: kept 0: expected 1 or more"),
    ],
)
def test_bad_blind_settings_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        BlindSettings(**values)


def test_settings_come_from_the_keys_of_a_parameter_file() -> None:
    table = SearchTable(
        min_confidence=0.1, orient_tol_deg=3.0, n_solutions=2, min_solution_deg=0.5,
        nearest_misorientation_deg=4.0,
    )  # fmt: skip
    got = settings_of(table, FitSettings.quick())
    assert (got.least, got.n_saved) == (0.1, 2)
    angles = (got.saved_angle_rad, got.disputed_angle_rad, got.fit.tolerance_rad)
    np.testing.assert_allclose(angles, np.array([0.5, 4.0, 3.0]) * DEG)
    assert got.fit.behind == FitSettings.quick().behind
    assert settings_of(SearchTable()).disputed_angle_rad is None


# --- seeds ----------------------------------------------------------------------------------------


def test_seeds_that_are_off_lead_to_the_grains(case: Case, found: NearfieldMap) -> None:
    assert len(found) == len(case.voxels)
    error = case.errors_deg(found.euler_rad)
    assert (error[case.inner] < 0.1).all()  # degrees; the seeds are off by up to 0.3
    assert (found.confidence[case.inner] > 0.95).all()
    np.testing.assert_array_equal(found.seed[case.inner], case.grain[case.inner])
    again = confidence(case.vertices, found.matrices, case.setup, case.lit)
    np.testing.assert_array_equal(again.confidence, found.confidence)
    np.testing.assert_array_equal(again.by_distance, found.by_distance)
    assert (found.by_distance >= found.confidence[:, None]).all()
    assert (found.evaluations > len(case.seeds)).all()


def test_a_seed_too_far_for_a_sharp_stack_is_followed_down(case: Case) -> None:
    rows = np.flatnonzero(case.inner & (case.grain == 0))[:4]
    far = turned(matrix_of_quaternion(case.grains[:1]), np.array([0.3, -0.3, 0.2]) * DEG)
    plain = SearchSettings(fit=FitSettings(reach_starts=0, scatter_starts=0))
    a = search(case.vertices[rows], far, case.setup, case.lit, plain)
    b = search(case.vertices[rows], far, case.setup, case.lit, PLAIN)
    assert (b.confidence[:, 0] >= a.confidence[:, 0]).all()
    assert (case.errors_deg(b.euler_rad[:, 0], rows) < 0.1).all()


def test_what_ends_beyond_orient_tol_is_not_accepted(case: Case) -> None:
    rows = np.flatnonzero(case.inner)[:8]
    tight = SearchSettings(fit=FitSettings(tolerance_rad=0.02 * DEG))
    got = search(case.vertices[rows], case.seed_matrices, case.setup, case.lit, tight)
    own = quaternion_of_matrix(case.seed_matrices[got.seed])
    angle = misorientation(quaternion_of_matrix(matrix_of_euler(got.euler_rad[:, 0])), own, GROUP)
    # the middle of the plateau may lie centre_radius_rad beyond, 0.05 degrees
    assert (angle <= 0.0701 * DEG).all()


def test_rings_that_are_not_used_do_not_count(case: Case) -> None:
    rows = np.flatnonzero(case.inner)[:4]
    few = of_rings(case.setup, (2, 3))
    a = confidence(case.vertices[rows], case.u[rows], few, case.lit)
    b = confidence(case.vertices[rows], case.u[rows], case.setup, case.lit)
    assert (a.total < 0.5 * b.total).all()
    got = search(case.vertices[rows], case.seed_matrices, few, case.lit, PLAIN)
    assert (case.errors_deg(got.euler_rad[:, 0], rows) < 0.25).all()


def test_the_published_fit_takes_the_last_of_equals(case: Case) -> None:
    rows = np.flatnonzero(case.inner)[:2]
    seeds = case.seed_matrices[case.grain[rows[0]]][None].repeat(2, axis=0)
    old = SearchSettings(n_saved=2, fit=FitSettings.published())
    got = search(case.vertices[rows[:1]], seeds, case.setup, case.lit, old)
    assert got.seed.tolist() == [1]
    new = search(case.vertices[rows[:1]], seeds, case.setup, case.lit, PLAIN)
    assert new.seed.tolist() == [0]
    assert new.confidence[0, 0] >= got.confidence[0, 0]


def test_fault_01_voxels_without_a_seed_keep_their_row(case: Case) -> None:
    wrong = random_seeds(3, GROUP, 99)
    strict = SearchSettings(least=0.5)
    m = reconstruct(case.setup, case.lit, case.voxels, wrong, strict, engine="serial")
    assert len(m) == len(case.voxels)
    assert not m.solved.all()
    empty = ~m.solved
    assert np.isnan(m.euler_rad[empty]).all()
    assert (m.confidence[empty] == 0.0).all()
    assert (m.seed[empty] == -1).all()
    assert (m.n_kept[empty] == 0).all()
    np.testing.assert_array_equal(m.voxels.xy_mm, case.voxels.xy_mm)
    assert (m.evaluations >= 3).all()


@pytest.mark.parametrize(("size", "threads"), [(1, 1), (7, 2), (50, 5)])
def test_fault_02_blocks_neither_lose_nor_shift_voxels(
    case: Case, found: NearfieldMap, size: int, threads: int
) -> None:
    rows = slice(0, 96 if size > 1 else 12)
    part = reconstruct(
        case.setup, case.lit, case.voxels[rows], case.seeds, threads=threads, block_voxels=size,
        engine="threads",
    )  # fmt: skip
    whole = reconstruct(case.setup, case.lit, case.voxels[rows], case.seeds, engine="serial")
    same(part, whole)
    if size > 1:
        same(whole, found)


def test_fault_04_all_matches_are_filled_and_none_are_stale(case: Case, tmp_path: Path) -> None:
    few = case.voxels[:20]
    one = reconstruct(case.setup, case.lit, few, case.seeds, folder=tmp_path, engine="serial")
    np.testing.assert_array_equal(one.solutions_confidence[:, 0], one.confidence)
    three = SearchSettings(n_saved=3)
    again = reconstruct(
        case.setup, case.lit, few, case.seeds, three, folder=tmp_path, engine="serial"
    )
    fresh = reconstruct(case.setup, case.lit, few, case.seeds, three, engine="serial")
    same(again, fresh)
    assert again.n_solutions == 3
    assert (np.diff(again.solutions_confidence, axis=1) <= 0.0).all()
    for e, c in zip(again.solutions_euler_rad, again.solutions_confidence, strict=True):
        q = quaternion_of_matrix(matrix_of_euler(e[c > 0.0]))
        i, j = np.triu_indices(len(q), 1)
        assert (misorientation(q[i], q[j], GROUP) >= 0.999 * DEG).all()


def test_fault_13_a_better_near_duplicate_replaces_a_saved_solution() -> None:
    u = matrix_of_quaternion(random_seeds(2, GROUP, 0))
    near = turned(u[:1], np.array([0.0, 0.0, 0.3 * DEG]))
    all_of = np.concatenate([u[:1], near, u[1:]])
    assert save_distinct(all_of, np.array([0.5, 0.9, 0.7]), 3, DEG, GROUP) == [1, 2]
    assert save_distinct(all_of, np.array([0.5, 0.5, 0.7]), 3, DEG, GROUP) == [2, 0]
    assert save_distinct(all_of, np.array([0.5, 0.9, 0.7]), 1, DEG, GROUP) == [1]
    assert save_distinct(all_of, np.array([0.5, 0.9, 0.7]), 3, 0.0, GROUP) == [1, 2, 0]


# --- neighbours -----------------------------------------------------------------------------------


def test_fault_03_a_second_pass_replaces_only_what_is_worse(
    case: Case, found: NearfieldMap
) -> None:
    table = neighbour_table(case.voxels)
    assert table.shape == (96, 3)
    euler = euler_of_matrix(case.u)
    inside = case.inner & (table >= 0).all(axis=1)
    inside &= (case.grain[table] == case.grain[:, None]).all(axis=1)
    row = int(np.flatnonzero(inside)[0])
    euler[row] += [0.2, 0.0, 0.0]
    flagged = disputed(euler, table, 5.0 * DEG, 225)
    assert flagged[row]
    assert not flagged[table[row]].any()
    euler[row] = np.nan
    assert disputed(euler, table, 5.0 * DEG, 225)[row]
    assert not disputed(np.full((96, 3), np.nan), table, 5.0 * DEG, 225).any()
    before = search(
        case.vertices[row : row + 1], matrix_of_quaternion(random_seeds(2, GROUP, 8)), case.setup,
        case.lit, PLAIN,
    )  # fmt: skip
    around = euler[table[row]][None]
    got = from_neighbours(case.vertices[row : row + 1], before, around, case.setup, case.lit, PLAIN)
    assert got.confidence[0, 0] > max(before.confidence[0, 0], 0.95)
    assert got.seed[0] == -1
    assert got.evaluations[0] > before.evaluations[0]
    worse = from_neighbours(
        case.vertices[row : row + 1], got, around + 0.5, case.setup, case.lit, PLAIN
    )
    np.testing.assert_array_equal(worse.euler_rad, got.euler_rad)
    assert worse.evaluations[0] > got.evaluations[0]


def test_nearest_misorientation_never_lowers_a_confidence(case: Case) -> None:
    # without the seeds of two grains their voxels are wrong, and at the boundaries disputed
    seeds = case.seeds[:2]
    plain = reconstruct(case.setup, case.lit, case.voxels, seeds, engine="serial")
    step = SearchSettings(disputed_angle_rad=2.0 * DEG)
    kept = reconstruct(
        case.setup, case.lit, case.voxels, seeds, step, engine="threads", threads=2, block_voxels=9
    )
    assert kept.disputed.any()
    assert (kept.confidence >= plain.confidence).all()
    rest = ~kept.disputed
    np.testing.assert_array_equal(kept.euler_rad[rest], plain.euler_rad[rest])


# --- no seeds -------------------------------------------------------------------------------------


def test_levels_are_as_coarse_as_the_error(case: Case) -> None:
    levels = levels_down(case.setup, case.lit, 2.0 * DEG, 0.2 * DEG)
    assert [round(level.reach_rad / DEG, 3) for level in levels] == [2.0, 0.7, 0.245]
    assert [level.frame_bits for level in levels] == [2, 0, 0]
    assert levels[0].px_bits > levels[1].px_bits
    row = np.flatnonzero(case.inner)[:5]
    for level in levels:
        off = turned(case.u[row], np.array([0.5, -0.5, 0.5]) * level.reach_rad)
        near = confidence(case.vertices[row], off, level.setup, level.lit).confidence
        sharp = confidence(case.vertices[row], off, case.setup, case.lit).confidence
        # 0.87 of the reach away about half of the spots show; random orientations: 0.05
        assert (near > 0.4).all()
        assert (near > sharp + 0.2).all()
    assert level_of(case.setup, case.lit, 1e-6).px_bits == 0


def test_blind_search_finds_grains(case: Case) -> None:
    rows = np.array([np.flatnonzero(case.inner & (case.grain == g))[0] for g in (0, 2)])
    pyramid = Pyramid(case.setup, case.lit, BlindSettings(spacing_rad=3.0 * DEG))
    got = blind_search(case.vertices[rows], pyramid, PLAIN)
    assert (case.errors_deg(got.euler_rad[:, 0], rows) < 0.1).all()
    assert (got.evaluations > len(pyramid.seeds)).all()
    m = reconstruct(
        case.setup, case.lit, case.voxels[rows], None, blind=pyramid.settings, engine="serial"
    )
    np.testing.assert_array_equal(m.euler_rad, got.euler_rad[:, 0])


def test_blind_search_of_a_dark_stack_finds_nothing(case: Case) -> None:
    dark = LitPixels.from_hits(np.zeros((0, 4), dtype=np.int64), case.lit.shape)
    coarse = BlindSettings(spacing_rad=20.0 * DEG)
    m = reconstruct(case.setup, dark, case.voxels[:3], None, blind=coarse, engine="serial")
    assert not m.solved.any()
    assert len(m) == 3


# --- whole maps -----------------------------------------------------------------------------------


def test_a_run_that_was_stopped_goes_on(
    case: Case, found: NearfieldMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def stopping(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return search(*args)

    options: dict[str, Any] = {"folder": tmp_path, "block_voxels": 16, "engine": "serial"}
    module = sys.modules["refimpl.nearfield.reconstruct"]  # the package's name is the function's
    monkeypatch.setattr(module, "search", stopping)
    with pytest.raises(Interrupted):
        reconstruct(case.setup, case.lit, case.voxels, case.seeds, **options)
    assert len(list((tmp_path / "blocks").glob("*.npz"))) == 3
    assert (tmp_path / LEDGER).is_file()
    done: list[tuple[int, int]] = []
    m = reconstruct(
        case.setup, case.lit, case.voxels, case.seeds, **options,
        progress=lambda n, of: done.append((n, of)),
    )  # fmt: skip
    same(m, found)
    assert calls == 4 + 3  # three blocks of six were kept
    assert done[-1] == (96, 96)
    monkeypatch.setattr(module, "search", None)  # nothing is left to do
    same(reconstruct(case.setup, case.lit, case.voxels, case.seeds, **options), found)


def test_other_input_does_not_use_what_is_kept(case: Case, tmp_path: Path) -> None:
    few = case.voxels[:8]
    options: dict[str, Any] = {"folder": tmp_path, "engine": "serial"}
    a = reconstruct(case.setup, case.lit, few, case.seeds, **options)
    moved = case.setup.changed(lsd_mm=case.setup.detector.lsd_mm + 0.2)
    b = reconstruct(moved, case.lit, few, case.seeds, **options)
    assert (b.confidence < a.confidence).any()
    same(reconstruct(case.setup, case.lit, few, case.seeds, **options), a)


def test_definitions_and_twins_find_the_same(case: Case) -> None:
    few = of_rings(case.setup, (1, 2, 3))
    fit = FitSettings(centre_points=4, reach_starts=0, max_evaluations=20)
    rows = np.flatnonzero(case.inner)[:1]
    maps = []
    for backend in ("python", "cython"):
        with use_backend(backend):
            maps.append(
                reconstruct(
                    few, case.lit, case.voxels[rows], case.seeds[case.grain[rows]],
                    SearchSettings(fit=fit), engine="serial",
                )
            )  # fmt: skip
    np.testing.assert_allclose(maps[0].euler_rad, maps[1].euler_rad, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(maps[0].confidence, maps[1].confidence)


def test_bad_input_is_refused_in_one_line(case: Case, tmp_path: Path) -> None:
    args = (case.setup, case.lit, case.voxels)
    with pytest.raises(ConfigError, match=r"seeds of shape \(2, 3\): expected \(n, 4\) finite"):
        reconstruct(*args, np.zeros((2, 3)))
    with pytest.raises(ConfigError, match=r"seeds of shape \(0, 4\): expected \(n, 4\) finite"):
        reconstruct(*args, np.zeros((0, 4)))
    with pytest.raises(ConfigError, match="settings of a blind search, and seeds"):
        reconstruct(*args, case.seeds, blind=BlindSettings())
    with pytest.raises(ConfigError, match="block_voxels 0: expected 1 or more"):
        reconstruct(*args, case.seeds, block_voxels=0)
    with pytest.raises(ConfigError, match=r"lit pixels of .2, 360, 512, 512. distances"):
        reconstruct(case.setup.changed(n_frames=10), *args[1:], case.seeds)
    none = of_rings(case.setup, ())
    with pytest.raises(ConfigError, match="the setup has no reflections"):
        reconstruct(none, *args[1:], case.seeds)


def test_damaged_and_failing_blocks_are_named(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = case.voxels[:4]
    options: dict[str, Any] = {"folder": tmp_path, "engine": "serial"}
    reconstruct(case.setup, case.lit, few, case.seeds, **options)
    (path,) = (tmp_path / "blocks").glob("*.npz")
    path.write_bytes(b"nothing")
    with pytest.raises(FormatError, match="not the file of a block of a reconstruction; remove it"):
        reconstruct(case.setup, case.lit, few, case.seeds, **options)
    path.unlink()
    reconstruct(case.setup, case.lit, few, case.seeds, **options)

    def failing(*args: Any) -> Any:
        raise ValueError("too bad")

    monkeypatch.setattr(sys.modules["refimpl.nearfield.reconstruct"], "search", failing)
    with pytest.raises(ConvergenceError, match="1 of 1 blocks failed; the first, voxels-0000000"):
        reconstruct(case.setup, case.lit, few, case.seeds, again=True, **options)


def test_no_voxels_make_an_empty_map(case: Case) -> None:
    m = reconstruct(case.setup, case.lit, case.voxels[:0], case.seeds, engine="serial")
    assert len(m) == 0
    single = Voxels(case.voxels.xy_mm[:1], [0.01], [True])
    assert neighbour_table(single).shape == (1, 0)
