"""Whole near-field maps: blocks, resuming, input that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nearfield_case import GROUP, Case, of_rings, same

from refimpl.crystal.misorientation import misorientation
from refimpl.dispatch import use_backend
from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.nearfield import blocks
from refimpl.nearfield.blind import BlindSettings
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.neighbourhood import neighbour_table
from refimpl.nearfield.reconstruct import LEDGER, reconstruct
from refimpl.nearfield.search import search
from refimpl.nearfield.seeds import random_seeds
from refimpl.rotations import matrix_of_euler, quaternion_of_matrix
from refimpl.scaleout import Interrupted
from refimpl.units import DEG


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
    monkeypatch.setattr(blocks, "search", stopping)
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
    monkeypatch.setattr(blocks, "search", None)  # nothing is left to do
    same(reconstruct(case.setup, case.lit, case.voxels, case.seeds, **options), found)


def test_other_input_does_not_use_what_is_kept(case: Case, tmp_path: Path) -> None:
    few = case.voxels[:8]
    options: dict[str, Any] = {"folder": tmp_path, "engine": "serial"}
    a = reconstruct(case.setup, case.lit, few, case.seeds, **options)
    moved = case.setup.changed(lsd_mm=case.setup.detector.lsd_mm + 0.2)
    b = reconstruct(moved, case.lit, few, case.seeds, **options)
    assert (b.confidence < a.confidence).any()
    same(reconstruct(case.setup, case.lit, few, case.seeds, **options), a)


def test_blocks_of_another_version_are_done_again(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = case.voxels[:2]
    reconstruct(case.setup, case.lit, few, case.seeds, folder=tmp_path, engine="serial")
    monkeypatch.setattr(blocks, "__version__", "0.0.0")
    reconstruct(case.setup, case.lit, few, case.seeds, folder=tmp_path, engine="serial")
    assert len(list((tmp_path / "blocks").iterdir())) == 2


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
    old = SearchSettings(fit=FitSettings.published())
    with pytest.raises(ConfigError, match="the published fit starts from seeds"):
        reconstruct(*args, None, old)
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

    monkeypatch.setattr(blocks, "search", failing)
    with pytest.raises(ConvergenceError, match="1 of 1 blocks failed; the first, voxels-0000000"):
        reconstruct(case.setup, case.lit, few, case.seeds, again=True, **options)


def test_no_voxels_make_an_empty_map(case: Case) -> None:
    m = reconstruct(case.setup, case.lit, case.voxels[:0], case.seeds, engine="serial")
    assert len(m) == 0
    single = Voxels(case.voxels.xy_mm[:1], [0.01], [True])
    assert neighbour_table(single).shape == (1, 0)
