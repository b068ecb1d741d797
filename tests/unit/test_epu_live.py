"""Watching a session: duplicates are told once, as they come; half-written files do no harm."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from epu_folder import xml_files

from refimpl.epu.calibrate import calibrate
from refimpl.epu.calibration import Calibration
from refimpl.epu.duplicates import find_duplicates
from refimpl.epu.live import Update, watch
from refimpl.epu.session import Session, read_session
from refimpl.epu.simulate import Simulated, simulate
from refimpl.errors import ConfigError, ConvergenceError, FormatError


@pytest.fixture
def true(small_epu: tuple[Path, Simulated]) -> Calibration:
    return Calibration("affine", small_epu[1].truth.matrix_um)


class Microscope:
    """Writes a session piece by piece; stands in for the time between two looks."""

    def __init__(self, source: Path, target: Path) -> None:
        self.target, self.files = target, xml_files(source)
        self.source = source
        self.steps: list[Callable[[], object]] = []
        target.mkdir()

    def place(self, k: int) -> Path:
        path = self.target / self.files[k].relative_to(self.source)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def expose(self, first: int, last: int) -> None:
        for k in range(first, last):
            shutil.copy(self.files[k], self.place(k))

    def half(self, k: int, part: float = 0.5) -> None:
        text = self.files[k].read_bytes()
        self.place(k).write_bytes(text[: int(part * len(text))])

    def sleep(self, _: float) -> None:
        self.steps.pop(0)()


@pytest.fixture
def microscope(small_epu: tuple[Path, Simulated], tmp_path: Path) -> Microscope:
    return Microscope(small_epu[0], tmp_path / "live")


def looks(microscope: Microscope, calibration: object, **options: object) -> Iterator[Update]:
    return watch(
        microscope.target, calibration, sleep=microscope.sleep,
        looks=len(microscope.steps) + 1, **options,
    )  # fmt: skip


# ------------------------------------------------------------------------------ as they come


def test_every_duplicate_is_told_once_and_in_time(microscope, true, small_epu) -> None:
    n = len(microscope.files)
    cuts = [0, 60, 61, 150, n]
    microscope.steps = [
        (lambda a=a, b=b: microscope.expose(a, b))
        for a, b in pairwise(cuts)
    ]  # fmt: skip
    told: list[str] = []
    counts = []
    for update in looks(microscope, true):
        told += update.new
        counts.append(len(update.session))
        assert len(update.new) == len(update.partners)
        assert update.withdrawn == update.waiting == update.unusable == ()
        # what is known so far is what a search of the folder as it is now finds
        if len(update.session):
            now = find_duplicates(read_session(microscope.target), true)
            assert set(told) == set(now.session.table["name"][now.bad])
    assert counts == [0, 60, 61, 150, n]
    table = small_epu[1].session.table
    assert told == table["name"][small_epu[1].truth.bad].tolist()


def test_a_look_that_brings_nothing_is_not_told(microscope, true) -> None:
    microscope.expose(0, 20)
    microscope.steps = [lambda: None, lambda: None, lambda: microscope.expose(20, 21)]
    assert [len(u.session) for u in looks(microscope, true)] == [20, 21]


def test_only_new_files_are_opened(microscope, true, monkeypatch) -> None:
    from refimpl.io.epu_templates import EpuReader

    real, opened = EpuReader.read_file, []
    monkeypatch.setattr(
        EpuReader, "read_file", lambda self, path: opened.append(path) or real(self, path)
    )
    microscope.expose(0, 30)
    microscope.steps = [lambda: microscope.expose(30, 32), lambda: None]
    list(looks(microscope, true))
    assert len(opened) == 32


# ------------------------------------------------------------------------------ half-written


def test_a_half_written_file_waits_and_then_counts(microscope, true) -> None:
    microscope.expose(0, 10)
    microscope.half(10)
    microscope.steps = [
        lambda: microscope.half(10, 0.9),
        lambda: microscope.expose(10, 12),
    ]  # fmt: skip
    first, last = looks(microscope, true)
    assert first.waiting == (str(microscope.place(10)),)
    assert len(first.session) == 10
    assert last.waiting == last.unusable == ()
    assert len(last.session) == 12


def test_a_file_that_never_comes_is_told_once_after_some_looks(microscope, true) -> None:
    microscope.expose(0, 5)
    microscope.half(5)
    microscope.steps = [lambda: None] * 6 + [lambda: microscope.expose(5, 6)]
    updates = list(looks(microscope, true, tries=3))
    assert [u.unusable != () for u in updates] == [False, True, False]
    path, reason = updates[1].unusable[0]
    assert path == str(microscope.place(5))
    assert "XML" in reason
    assert len(updates[2].session) == 6  # completed after all, it counts


def test_a_file_that_grows_is_not_given_up(microscope, true) -> None:
    microscope.expose(0, 5)
    microscope.half(5, 0.1)
    microscope.steps = [
        (lambda part=part: microscope.half(5, part)) for part in (0.2, 0.3, 0.4, 0.5, 0.6)
    ]
    assert [u.unusable for u in looks(microscope, true, tries=3)] == [()]


def test_an_empty_file_and_a_copy_do_no_harm(microscope, true) -> None:
    microscope.expose(0, 5)
    microscope.place(5).touch()
    shutil.copytree(microscope.target / "Images-Disc1", microscope.target / "Copy")
    (update,) = looks(microscope, true)
    assert len(update.session) == 5
    assert len(update.waiting) == 2  # the empty file and its copy; copies of good ones are known


# ------------------------------------------------------------------------------ calibration


def test_calibrated_as_soon_as_it_can_be_and_again_as_the_session_grows(tmp_path: Path) -> None:
    made = simulate(seed=2)
    table, sizes = made.session.table, iter([0, 3, 1500, 1600, len(made.session)])
    calls: list[int] = []

    def find(session: Session) -> Calibration:
        calls.append(len(session))
        return calibrate(session, "lattice")

    def source(_: object) -> Session:
        return Session(table.iloc[: next(sizes)].reset_index(drop=True))

    updates = list(watch(tmp_path, find, source=source, looks=5, sleep=lambda _: None))
    assert calls == [3, 1500, len(table)]
    assert updates[1].note.startswith("not calibrated yet: ")
    assert updates[1].duplicates is None
    assert [u.is_calibrated_anew for u in updates] == [False, False, True, False, True]
    assert updates[2].note == ""
    told: set[str] = set()
    for update in updates:
        told = (told - set(update.withdrawn)) | set(update.new)
    # shots 0.2 um from another within some nanometres may fall on either side
    assert len(told ^ set(table["name"][made.truth.bad])) <= 0.02 * made.truth.bad.sum()


def test_an_undecided_calibration_is_not_announced(tmp_path: Path) -> None:
    def source(_: object) -> dict[str, object]:
        return {"stage_x_um": [0.0, 0.0], "stage_y_um": 0.0, "beam_shift_x": 0.0,
                "beam_shift_y": 0.0}  # fmt: skip

    undecided = Calibration("lattice", np.eye(2), is_decided=False)
    (update,) = watch(tmp_path, lambda _: undecided, source=source, looks=1)
    assert update.duplicates is None
    assert update.note == "not calibrated yet: from 2 exposures two answers fit equally well"


def test_what_a_later_calibration_moves_apart_is_withdrawn(tmp_path: Path) -> None:
    """By the first matrix the two are at one place, by the second 1 um apart."""
    sizes = iter([2, 4])

    def source(_: object) -> dict[str, object]:
        n = next(sizes)
        return {"stage_x_um": np.array([0.0, -5.0, 50.0, 70.0])[:n], "stage_y_um": 0.0,
                "beam_shift_x": np.array([0.0, 0.5, 0.0, 0.0])[:n], "beam_shift_y": 0.0,
                "time_s": np.arange(n)}  # fmt: skip

    matrices = iter([10.0 * np.eye(2), 12.0 * np.eye(2)])
    first, second = watch(
        tmp_path, lambda _: Calibration("affine", next(matrices)), source=source, looks=2,
        sleep=lambda _: None,
    )  # fmt: skip
    assert first.new == ("exposure_000001",)
    assert first.partners == ("exposure_000000",)
    assert second.withdrawn == ("exposure_000001",)
    assert second.new == ()


def test_a_calibration_that_fails_later_leaves_the_earlier_one(tmp_path: Path) -> None:
    n = iter([4, 8])

    def find(session: Session) -> Calibration:
        if len(session) > 4:
            raise ConvergenceError("no lattice")
        return Calibration("affine", np.eye(2))

    def source(_: object) -> dict[str, object]:
        return {"stage_x_um": np.arange(next(n)), "stage_y_um": 0.0, "beam_shift_x": 0.0,
                "beam_shift_y": 0.0}  # fmt: skip

    updates = list(watch(tmp_path, find, source=source, looks=2, sleep=lambda _: None))
    assert updates[1].note == "the earlier calibration stays: no lattice"
    assert updates[1].duplicates is not None
    assert len(updates[1].duplicates.kept) == 8


# ------------------------------------------------------------------------------ refusals


def test_a_folder_that_is_not_there(tmp_path: Path, true) -> None:
    with pytest.raises(ConfigError, match="no: the session folder does not exist"):
        next(watch(tmp_path / "no", true))
    with pytest.raises(ConfigError, match="interval 0 s: expected > 0"):
        next(watch(tmp_path, true, interval_s=0.0))


def test_a_folder_that_goes_and_comes_back(microscope, true) -> None:
    """A network drive that is away for a look or two."""
    microscope.expose(0, 5)
    away = microscope.target.with_name("away")
    microscope.steps = [
        lambda: microscope.target.rename(away),
        lambda: away.rename(microscope.target),
        lambda: microscope.expose(5, 6),
    ]  # fmt: skip
    updates = list(looks(microscope, true, tries=2))
    assert [len(u.session) for u in updates] == [5, 5, 6]
    assert updates[1].note.startswith("cannot look: ")
    microscope.steps = [lambda: microscope.target.rename(away), lambda: None]
    with pytest.raises((ConfigError, FormatError), match="does not exist"):
        list(looks(microscope, true, tries=2))


def test_an_empty_session_has_no_beam_to_ask_for(tmp_path: Path, true) -> None:
    (update,) = watch(tmp_path, true, "beam:0.9", looks=1)
    assert update.duplicates is None
    assert len(update.session) == 0
