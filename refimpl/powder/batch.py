"""Calibrate many frames, each by itself: many at a time, resumable, one table of all at the end.

No frame knows of another, so no result depends on the order or on how many are worked on at a
time. A folder of a batch holds one folder of results a frame, ``summary.csv`` and the ledger of
:mod:`refimpl.scaleout`. Not done here: a fit of several frames at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import refimpl
from refimpl.dispatch import resolve_threads
from refimpl.errors import ConfigError, FormatError
from refimpl.io.atomic import make_folder
from refimpl.powder.batch_frames import BatchFrame
from refimpl.powder.batch_tables import frame_value, write_tables
from refimpl.powder.config import PowderConfig
from refimpl.scaleout import (
    Block,
    GaveUp,
    Interrupted,
    Outcome,
    checkpoint,
    fingerprint,
    run_blocks,
)

__all__ = ["LEDGER", "BatchResult", "calibrate_frames"]

LEDGER = "ledger.jsonl"
"""Ledger of a batch, beside the folders of the frames."""

_DRAWING = threading.Lock()
"""Matplotlib is not made for threads: one report at a time."""


@dataclass(frozen=True)
class BatchResult:
    """What a batch came to.

    Attributes
    ----------
    folder
        Where everything stands.
    rows
        One a frame, in the order of the frames: what ``summary.csv`` holds.
    engine
        What it ran on, in words.
    """

    folder: Path
    rows: tuple[Mapping[str, Any], ...]
    engine: str

    def count(self, status: str) -> int:
        """Count frames that are ``converged``, ``not converged``, ``failed`` or ``not done``."""
        return sum(row["status"] == status for row in self.rows)

    @property
    def converged(self) -> bool:
        """Whether every frame is calibrated and its fit converged."""
        return self.count("converged") == len(self.rows)


@dataclass(frozen=True)
class _Task:
    """All that a worker needs for one frame."""

    frame: BatchFrame
    folder: Path
    config: PowderConfig
    geometry: Path | None
    reading: Mapping[str, Any]
    report: bool
    threads: int


def calibrate_frames(
    frames: Sequence[BatchFrame],
    folder: str | Path,
    *,
    config: PowderConfig,
    geometry: str | Path | None = None,
    reading: Mapping[str, Any] | None = None,
    report: bool = False,
    jobs: int | None = None,
    engine: str | Path = "auto",
    again: bool = False,
    progress: Callable[[Outcome, int, int], None] | None = None,
) -> BatchResult:
    """Calibrate every frame that is not calibrated already.

    Parameters
    ----------
    frames
        As of :func:`refimpl.powder.batch_frames.find_frames`.
    folder
        For the results; made if missing.
    config
        Of every frame.
    geometry
        Published geometry of all frames: the start of each.
    reading
        Options of :func:`refimpl.io.images.read`, for each; ``frames`` only where a frame is a
        whole file.
    report
        Also write figures and the HTML report of each frame.
    jobs
        Frames at a time, default as of :func:`refimpl.dispatch.resolve_threads`: each then works
        with one thread, or with more where there are fewer frames than jobs.
    engine
        As of :func:`refimpl.scaleout.run_blocks`.
    again
        Calibrate everything, also what is done with the same input and settings.
    progress
        Called after each frame with its outcome, the number of ended frames and that of all.

    Returns
    -------
    BatchResult
        The same whatever the engine and the number of jobs.

    Raises
    ------
    ConfigError
        No frame, a setting or an engine that cannot work, or a folder in which another batch is
        at work.
    FormatError
        The mask, the dark or the geometry does not exist.
    MissingExtra
        The engine needs Parsl.
    refimpl.scaleout.Interrupted, refimpl.scaleout.GaveUp
        Ctrl-C, or an engine that is dead; the ledger and the table hold what was done by then.
    """
    if not frames:
        raise ConfigError("no frame to calibrate")
    known = None if geometry is None else Path(geometry)
    _check(config, known, reading or {})
    out = make_folder(folder)
    jobs = resolve_threads(jobs)
    tasks = [
        _Task(frame, out / frame.name, config, known, _reading(frame, reading or {}), report,
              max(1, jobs // len(frames)))
        for frame in frames
    ]  # fmt: skip
    blocks = [_block(task) for task in tasks]
    try:
        run = run_blocks(
            _calibrate, blocks, ledger=out / LEDGER, engine=engine, workers=jobs, again=again,
            progress=progress,
        )  # fmt: skip
    except (GaveUp, Interrupted) as stopped:
        write_tables(frames, stopped.run, out)
        raise
    return BatchResult(out, write_tables(frames, run, out), run.engine)


def _check(config: PowderConfig, geometry: Path | None, reading: Mapping[str, Any]) -> None:
    """Refuse what every frame would refuse."""
    from refimpl.powder.calibrate import _check_names

    _check_names(config)
    for path in (geometry, reading.get("mask"), reading.get("dark")):
        if isinstance(path, str | Path) and not Path(path).exists():
            raise FormatError("no such file", path=path)


def _reading(frame: BatchFrame, reading: Mapping[str, Any]) -> dict[str, Any]:
    return dict(reading) if frame.index is None else {**reading, "frames": frame.index}


def _block(task: _Task) -> Block:
    """Name, fingerprint and outputs of a frame; the report is asked for by its file."""
    settings = task.config.model_dump(mode="json", by_alias=True)
    files = [task.frame.path, *([task.geometry] if task.geometry else []), *_files(settings)]
    read = {
        name: repr(value) if isinstance(value, slice) else value
        for name, value in task.reading.items()
    }
    print_ = fingerprint(refimpl.__version__, settings, read, files)
    outputs = [task.folder / "result.json", *([task.folder / "report.html"] if task.report else [])]
    return Block(task.frame.name, task, print_, tuple(outputs))


def _files(settings: Any) -> Iterator[Path]:
    """Files that settings name, such as a description of panels: their content counts too."""
    if isinstance(settings, Mapping):
        settings = list(settings.values())
    if isinstance(settings, list):
        for value in settings:
            yield from _files(value)
    elif isinstance(settings, str) and settings and Path(settings).is_file():
        yield Path(settings)


def _calibrate(task: _Task) -> dict[str, Any]:
    """Calibrate one frame, save it, and return what the tables say of it."""
    from refimpl.io import images
    from refimpl.powder.calibrate import calibrate
    from refimpl.powder.known_geometry import read_known_geometry

    # of an older run: should this one fail, nothing must look like its result
    (task.folder / "result.json").unlink(missing_ok=True)
    source = images.read(task.frame.path, **task.reading)
    known = None
    if task.geometry is not None:
        known = read_known_geometry(task.geometry, source.shape, task.config.detector.pixel_size_mm)
    result = calibrate(
        source, config=task.config, geometry=known, threads=task.threads,
        progress=lambda stage, part: checkpoint(),
    )  # fmt: skip
    if task.report:
        with _DRAWING:
            result.save(task.folder, report=True)
    else:
        result.save(task.folder, report=False)
    return frame_value(result)
