"""What the commands of ``refimpl metrology`` share: reading their input, keeping what is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from refimpl.errors import ConfigError, FormatError

if TYPE_CHECKING:
    from refimpl.forward.experiment import Experiment
    from refimpl.io.reflection_table import ReflectionTable

__all__ = [
    "DONE",
    "counter",
    "expand",
    "fingerprint",
    "is_done",
    "mark",
    "read_pair",
    "read_pairs",
    "read_refinable",
    "read_table",
    "words",
]

DONE = "done.json"
"""File of a results folder that says which commands wrote it, from what."""


def words(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Words of repeated options, each with commas."""
    return tuple(w.strip() for text in texts or () for w in text.split(",") if w.strip())


def read_table(path: Path) -> ReflectionTable:
    """Reflections of a ``.refl`` file, or of an ``.npz`` with one array a column.

    Raises
    ------
    FormatError
        Not such a file; a pickle is refused, never loaded.
    """
    from refimpl.io.dials_files import read_refl

    if path.suffix != ".npz":
        return read_refl(path)
    import numpy as np

    from refimpl.io.frame_source import BROKEN
    from refimpl.io.reflection_table import ReflectionTable

    try:
        with np.load(path, allow_pickle=False) as columns:
            return ReflectionTable({k: columns[k] for k in columns.files}, source=path)
    except FileNotFoundError as exc:
        raise FormatError("no such file", path=path) from exc
    except BROKEN as exc:
        raise FormatError("not an .npz file of plain columns", path=path) from exc


def read_pair(
    experiments: Path, reflections: Path
) -> tuple[tuple[Experiment, ...], ReflectionTable]:
    """Experiments and reflections that belong together.

    Raises
    ------
    FormatError
        One cannot be read, or the table is of another detector or list.
    """
    from refimpl.io.dials_files import check_pair, read_expt

    models, table = read_expt(experiments), read_table(reflections)
    check_pair(table, models)
    return models, table


def read_refinable(
    experiments: Path, reflections: Path
) -> tuple[tuple[Experiment, ...], ReflectionTable]:
    """Experiments and the reflections that they are to be refined against.

    Raises
    ------
    FormatError
        See :func:`read_pair`; or stills were seen at different rotation angles.
    """
    from refimpl.metrology.observations import check_rotation

    models, table = read_pair(experiments, reflections)
    check_rotation(table, models, experiments)
    return models, table


def read_pairs(paths: Sequence[Path]) -> tuple[tuple[Experiment, ...], ReflectionTable]:
    """Experiments and reflections of several pairs of files as one list and one table.

    The first ``.expt`` goes with the first table, and so on; ids and ``imageset_id`` count on.
    Beams and detectors that are equal to the bit become one.

    Raises
    ------
    ConfigError
        Not as many experiment files as tables.
    FormatError
        A file cannot be read, or a table is of another detector or list.
    """
    import numpy as np

    from refimpl.io.reflection_table import ReflectionTable

    models = [path for path in paths if path.suffix in (".expt", ".json")]
    tables = [path for path in paths if path not in models]
    if len(models) != len(tables) or not models:
        raise ConfigError(
            f"{len(models)} experiment files and {len(tables)} of reflections: expected as many "
            ".expt as .refl"
        )
    pairs = [read_pair(e, r) for e, r in zip(models, tables, strict=True)]
    if len(pairs) == 1:
        return pairs[0]
    names = [n for n in pairs[0][1].columns if all(n in t.columns for _, t in pairs)]
    parts: dict[str, list[Any]] = {n: [] for n in names}
    first = 0
    for own, table in pairs:
        for name in names:
            values = np.asarray(table[name])
            counts = name in ("id", "imageset_id")
            parts[name].append(np.where(values < 0, values, values + first) if counts else values)
        first += len(own)
    types = {n: pairs[0][1].types[n] for n in names}
    joined = ReflectionTable({n: np.concatenate(v) for n, v in parts.items()}, types)
    return _sharing([e for own, _ in pairs for e in own]), joined


def _sharing(experiments: Sequence[Experiment]) -> tuple[Experiment, ...]:
    """Experiments whose equal beams and detectors are the same object."""
    from dataclasses import replace

    seen: dict[str, Any] = {}
    out = []
    for e in experiments:
        beam = None if e.beam is None else (e.beam.direction.tolist(), e.beam.wavelength_angstrom)
        out.append(
            replace(
                e,
                beam=seen.setdefault(f"beam {beam!r}", e.beam),
                detector=seen.setdefault(f"detector {e.detector!r}", e.detector),
            )
        )
    return tuple(out)


def expand(given: Sequence[str]) -> list[Path]:
    """Image files from files, folders of CBF images, patterns and templates with ``#``.

    Raises
    ------
    ConfigError
        Nothing is found.
    """
    import re
    from glob import glob

    out: list[Path] = []
    for text in given:
        path = Path(text)
        if path.is_dir():
            found = sorted(str(p) for p in path.iterdir() if re.search(r"\.cbf(\.\w+)?$", p.name))
        elif "#" in path.name and not path.exists():
            pattern = re.sub(r"#+", lambda m: "[0-9]" * len(m[0]), text)
            found = sorted(glob(pattern))
        elif any(c in text for c in "*?[") and not path.exists():
            found = sorted(glob(text))
        else:
            found = [text]
        if not found:
            raise ConfigError("no images found", path=path)
        out += [Path(name) for name in found]
    return out


@contextmanager
def counter(stage: str, total: int) -> Iterator[Callable[[int], None]]:
    """Progress bar of a known number of pieces, on a terminal only."""
    from refimpl.cli import parse

    with parse.progress() as tell:
        yield lambda n: tell(stage, n / max(total, 1))


# --- what is done already -------------------------------------------------------------------------


def fingerprint(inputs: Sequence[Path], options: Mapping[str, Any]) -> str:
    """Digest of files, by name, size and time of change, and of settings.

    Raises
    ------
    FormatError
        A file is missing.
    """
    import refimpl
    from refimpl import ledger

    for path in inputs:
        if not path.is_file():
            raise FormatError("no such file", path=path)
    return ledger.fingerprint(refimpl.__version__, dict(options), *inputs)


def _entries(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / DONE).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_done(folder: Path, command: str, print_: str, files: Sequence[str]) -> bool:
    """Whether the folder holds the command's files, made of the same input and settings."""
    entry = _entries(folder).get(command)
    same = isinstance(entry, dict) and entry.get("fingerprint") == print_
    if same and all((folder / name).is_file() for name in files):
        typer.echo(f"{folder}: done before with the same input and settings, kept", err=True)
        return True
    return False


def mark(folder: Path, command: str, print_: str) -> None:
    """Say that the command is done; the last thing that it writes."""
    from refimpl.io.atomic import write_json

    write_json(folder / DONE, _entries(folder) | {command: {"fingerprint": print_}})
