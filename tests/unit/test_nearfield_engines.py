"""Near-field maps by engines of any kind: the same bits, what workers get, when they give up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nearfield_case import Case, same
from nearfield_multires_run import SETTINGS, small_run

from refimpl import dispatch
from refimpl.errors import ConfigError, ConvergenceError
from refimpl.io.shared import read_shared, shared_file
from refimpl.ledger import Ledger
from refimpl.nearfield import blocks, workplace
from refimpl.nearfield.blind import BlindSettings
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.multires import RUN_LEDGER, Multires
from refimpl.nearfield.reconstruct import LEDGER, reconstruct
from refimpl.nearfield.workplace import Workplace
from refimpl.scaleout import GaveUp
from refimpl.scaleout.cluster import write_config
from refimpl.units import DEG

SEARCH = SearchSettings(disputed_angle_rad=0.2 * DEG)  # so that some are fitted again
BLIND = BlindSettings(spacing_rad=6.0 * DEG, kept=8, regions=4, fewest=2, children=32)
QUICK = SearchSettings(fit=FitSettings.quick())


def works(case: Case, place: Workplace) -> tuple[Multires, NearfieldMap]:
    """All that a worker may be asked for: seeds, starts, neighbours, the whole zone."""
    run = small_run(case, place, search=SEARCH)  # type: ignore[arg-type]
    zone = reconstruct(
        case.setup, case.lit, case.voxels[40:44], None, QUICK, blind=BLIND, folder=place,
        block_voxels=2,
    )  # fmt: skip
    return run, zone


@pytest.fixture(scope="module")
def serial(case: Case) -> tuple[Multires, NearfieldMap]:
    with Workplace(None, engine="serial") as place:
        return works(case, place)


def all_same(found: tuple[Multires, NearfieldMap], serial: tuple[Multires, NearfieldMap]) -> None:
    assert len(found[0].loops) == len(serial[0].loops) == 3
    for mine, yours in zip(found[0].loops, serial[0].loops, strict=True):
        same(mine.merged, yours.merged)
        same(mine.first, yours.first)
    same(found[1], serial[1])
    assert found[1].solved.all()


@pytest.mark.parametrize("engine", ["threads", "parsl"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_find_the_same(case: Case, serial, engine: str, threads: int) -> None:
    with Workplace(None, engine=engine, threads=threads) as place:
        assert not place.apart
        all_same(works(case, place), serial)


@pytest.mark.parametrize("kind", [pytest.param("1", marks=pytest.mark.slow), "2", "FILE"])
def test_processes_find_the_same(case: Case, serial, kind: str, tmp_path: Path) -> None:
    engine = "processes"
    if kind == "FILE":
        engine = str(write_config("local", tmp_path / "here.py", cpus_per_node=1))
        text = (tmp_path / "here.py").read_text().replace('"runinfo"', repr(str(tmp_path / "r")))
        (tmp_path / "here.py").write_text(text)
    how: dict[str, Any] = {"cpus": 2} if kind == "FILE" else {"threads": int(kind)}
    shared = tmp_path / "shared"
    with Workplace(tmp_path / "run", engine=engine, shared_folder=shared, **how) as place:
        assert place.apart
        all_same(works(case, place), serial)
    assert not list(shared.iterdir())
    lines = (tmp_path / "run" / LEDGER).read_text().splitlines()
    assert any("Parsl, local (here.py)" in line or "process" in line for line in lines)


@pytest.mark.parametrize("backend", dispatch.available_backends())
def test_blocks_work_on_read_only_arrays_of_a_file(case: Case, tmp_path: Path, backend) -> None:
    rows = np.flatnonzero(case.inner)[:2]
    with Workplace(tmp_path / "run", engine="serial") as place:
        problem = blocks.Problem(
            case.setup, case.lit, SearchSettings(fit=FitSettings(max_evaluations=20)),
            case.seed_matrices, None,
        ).made(place)  # fmt: skip
        handed = blocks._Handed.of(problem, place, place._stack)
        with dispatch.use_backend(backend):
            there = handed.problem()
            for array in (there.seeds, there.setup.reflections.g, there.lit.tiles,
                          there.levels[0].lit.tiles, there.setup.detector.lsd_mm):  # fmt: skip
                assert not array.flags.writeable
                assert not array.flags.owndata
            found, mine = there.solve(case.vertices[rows]), problem.solve(case.vertices[rows])
        np.testing.assert_array_equal(found.euler_rad, mine.euler_rad)
        np.testing.assert_array_equal(found.confidence, mine.confidence)
        assert len(list((tmp_path / "run").glob("*.shared"))) == 3
    assert not list((tmp_path / "run").glob("*.shared"))


def test_images_are_handed_once_and_seeds_for_each_pass(case: Case, tmp_path: Path) -> None:
    with Workplace(tmp_path, engine="serial") as place:
        paths = []
        for seeds in (case.seed_matrices, case.seed_matrices[:2]):
            problem = blocks.Problem(case.setup, case.lit, SearchSettings(), seeds, None)
            with blocks.ExitStack() as stack:
                paths.append(blocks._Handed.of(problem.made(place), place, stack))
                np.testing.assert_array_equal(read_shared(paths[-1].own)[1], seeds)
            assert not paths[-1].own.exists()
        assert (paths[0].images, paths[0].coarse) == (paths[1].images, paths[1].coarse)
        with place.layer():
            small_run(case, place)  # type: ignore[arg-type]
            assert paths[0].images.exists()
        assert not paths[0].images.exists()


def test_a_reconstruction_lets_go_of_its_images(case: Case, tmp_path: Path) -> None:
    with Workplace(tmp_path, engine="serial") as place:
        for _ in range(2):
            reconstruct(
                case.setup, case.lit, case.voxels[:2], None, QUICK, blind=BLIND, folder=place
            )
            assert not place._made
            assert len(list(tmp_path.glob("blocks/*"))) == 1


def test_workers_that_do_not_see_the_folder_say_so(case: Case, tmp_path: Path) -> None:
    with Workplace(tmp_path, engine="serial") as place:
        problem = blocks.Problem(case.setup, case.lit, SearchSettings(), case.seed_matrices, None)
        with blocks.ExitStack() as stack:
            handed = blocks._Handed.of(problem.made(place), place, stack)
    with pytest.raises(ConfigError, match="a worker does not see this file: shared_folder must be"):
        handed.problem()


def test_leftovers_of_this_folder_are_removed_and_no_others(case: Case, tmp_path: Path) -> None:
    shared, run = tmp_path / "shared", tmp_path / "run"
    with Workplace(run, engine="serial", shared_folder=shared) as place:
        ours = place.handed([1])
    with Workplace(tmp_path / "other", engine="serial", shared_folder=shared) as place:
        theirs = place.handed([1])
    half = ours.with_name(f".{ours.name}.{os.getpid()}-0123abcd.part.shared")
    for path in (ours, theirs, half):
        path.write_bytes(b"left by a run that was killed")
    torn = run / "blocks/.voxels-0000000-0001-0123456789abcdef.npz.1-01234567.part.npz"
    torn.write_bytes(b"PK")
    with Workplace(run, engine="serial", shared_folder=shared), shared_file([1], shared, "mine"):
        assert {p.name for p in shared.iterdir() if not p.name.startswith("mine")} == {theirs.name}
        assert not torn.exists()


def test_a_block_uses_one_thread(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    used, resolve = set(), dispatch.resolve_threads
    work = blocks._work

    def noted(threads: int | None = None) -> int:
        used.add(resolve(threads))
        return resolve(threads)

    def working(given: Any) -> str:
        monkeypatch.setattr(dispatch, "resolve_threads", noted)
        try:
            return work(given)
        finally:
            monkeypatch.setattr(dispatch, "resolve_threads", resolve)

    monkeypatch.setattr(blocks, "_work", working)
    with Workplace(None, engine="serial", threads=3) as place:
        works(case, place)
    assert used == {1}


def test_engines_that_cannot_be_are_refused_before_the_work(case: Case, tmp_path: Path) -> None:
    for options, message in (
        ({"engine": "slurm"}, "unknown engine 'slurm': expected auto, serial, threads, parsl or"),
        ({"engine": "processes", "nodes": 2}, "engine 'processes' works on this computer alone"),
        ({"engine": tmp_path / "none.py"}, r"none\.py: no such Parsl configuration"),
        ({"engine": "serial", "retries": -1}, "retries -1: expected 0 or more"),
        ({"engine": "serial", "limit_s": 0.0}, "limit_s 0: expected > 0"),
        ({"engine": "serial", "patience_s": float("nan")}, "patience_s nan: expected > 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            small_run(case, tmp_path / "run", **options)
    assert not list((tmp_path / "run" / "blocks").glob("*"))


def test_a_limit_is_for_all_passes_and_what_is_done_is_kept(
    case: Case, serial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(workplace.time, "monotonic", lambda: now[0])

    def tell(step: str, done: int, of: int) -> None:
        now[0] += 1.0 if step == "loop 0" else 7.0 / of

    with pytest.raises(GaveUp, match=r"^not done within 14 s; what is done is kept, and the same"):
        small_run(case, tmp_path, search=SEARCH, engine="serial", limit_s=14.0, progress=tell)
    kept = len(list((tmp_path / "blocks").iterdir()))
    assert kept > 10
    found = small_run(case, tmp_path, search=SEARCH, engine="serial")
    same(found.final, serial[0].final)
    assert len(list((tmp_path / "blocks").iterdir())) > kept


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP here")
def test_a_second_run_in_the_folder_is_refused_at_once(case: Case, tmp_path: Path) -> None:
    code = "import sys, nearfield_multires_run as r; r.main(*sys.argv[1:2], 'serial', 1)"
    code = code.replace("*sys.argv[1:2]", "r.Path(sys.argv[1])")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "helpers")}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environment
    ) as run:
        assert run.stdout is not None
        while not run.stdout.readline().startswith("loop 1"):
            assert run.poll() is None
        run.send_signal(signal.SIGSTOP)  # it holds the folder, between any two things
        try:
            for refused in (
                lambda: small_run(case, tmp_path / "run", engine="serial"),
                lambda: reconstruct(
                    case.setup, case.lit, case.voxels, case.seeds, folder=tmp_path / "run"
                ),
            ):
                with pytest.raises(ConfigError, match=r"l: another run is working with this ledg"):
                    refused()
        finally:
            run.send_signal(signal.SIGCONT)
        run.communicate(timeout=60.0)
    assert run.returncode == 0


def test_the_ledger_is_read_once_for_all_passes(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    before = Ledger._read
    monkeypatch.setattr(
        Ledger, "_read", lambda self: (read.append(self.path.name), before(self))[1]
    )
    small_run(case, tmp_path, engine="serial")
    assert sorted(read) == [LEDGER, RUN_LEDGER]


def test_layers_in_one_folder_share_workers_and_not_their_times(case: Case, tmp_path: Path) -> None:
    with Workplace(tmp_path, engine="threads", threads=2) as place:
        for layer in (1, 2):
            run = small_run(case, place, label=f"layer {layer}")  # type: ignore[arg-type]
            assert run.loops[0].stages[0].name == "loop 0"
    with Ledger(tmp_path / RUN_LEDGER) as book:
        assert {key.partition(", ")[0] for key in book.records} == {"layer 1", "layer 2"}
        assert len(book.records) == 2 * sum(len(loop.stages) for loop in run.loops)
    assert SETTINGS.loops == 2


def test_blocks_that_fail_end_the_run(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any) -> Any:
        raise ValueError("too bad")

    monkeypatch.setattr(blocks, "from_starts", failing)
    with pytest.raises(ConvergenceError, match=r"blocks failed; the first, starts-.*: too bad$"):
        small_run(case, tmp_path, engine="serial")
    with Ledger(tmp_path / RUN_LEDGER) as book:
        assert book.records["loop 1, neighbours"]["status"] == "interrupted"
