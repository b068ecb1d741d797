"""Experiment lists (``.expt``, JSON): read and written without the program that they come from.

Models that experiments share are one object after reading and one entry after writing. Read,
written and read again a list is the same, unknown keys included. Entries: ``io.expt_models``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from refimpl.errors import ConfigError, FormatError
from refimpl.forward.experiment import Experiment
from refimpl.io.atomic import write_text
from refimpl.io.expt_entry import Where
from refimpl.io.expt_models import READERS, WRITERS
from refimpl.reading import parse_json, read_bytes

__all__ = ["read_expt", "refuse_pickle", "write_expt"]

MODELS: Final = ("beam", "detector", "goniometer", "scan", "crystal")
OPAQUE: Final = ("profile", "scaling_model")
"""Models that are kept as they are."""
_LISTS: Final = ("imageset", *MODELS, *OPAQUE)
_LAYOUT: Final[Mapping[str, Any]] = {
    "__id__": "ExperimentList", "experiment": None, **{name: [] for name in _LISTS}
}  # fmt: skip


def refuse_pickle(path: Path, head: bytes) -> None:
    """Refuse a Python pickle by its first bytes: loading one runs whatever code it holds.

    Raises
    ------
    FormatError
        It is one.
    """
    if head[:1] == b"\x80" or (head[:1] in b"(c" and b"\n" in head):
        raise FormatError(
            "this is a Python pickle, which is never loaded because it can run code: convert it "
            "with the program that wrote it (.refl for tables, .expt for models)",
            path=path,
        )


def read_expt(path: str | Path) -> tuple[Experiment, ...]:
    """Read an experiment list.

    Parameters
    ----------
    path
        ``.expt``, or ``.json`` of older versions.

    Raises
    ------
    FormatError
        Missing, truncated, a pickle, of another kind; a key that is missing or wrong, with its
        place.
    """
    file = Path(path)
    document = _json(file)
    if not isinstance(document, dict) or document.get("__id__") != "ExperimentList":
        got = document.get("__id__") if isinstance(document, dict) else type(document).__name__
        raise FormatError(
            f"not an experiment list: __id__ is {got!r}, expected 'ExperimentList'", path=file
        )
    lists = {name: _list(document, name, file) for name in (*_LISTS, "experiment")}
    models: dict[str, list[Any]] = {
        name: [_model(name, k, entry, file) for k, entry in enumerate(lists[name])]
        for name in MODELS
    }
    models |= {name: lists[name] for name in ("imageset", *OPAQUE)}
    shared = _document(document, lists)
    return tuple(
        _experiment(entry, k, models, shared, file) for k, entry in enumerate(lists["experiment"])
    )


def _model(name: str, number: int, entry: Any, file: Path) -> Any:
    where = Where(file, f"{name} {number}")
    if not isinstance(entry, dict):
        raise where.error(f"expected an object, got {type(entry).__name__}")
    return where.build(READERS[name], entry, where)


def _json(file: Path) -> Any:
    try:
        text = read_bytes(file)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=file) from error
    refuse_pickle(file, text[:64])
    try:
        return parse_json(text)
    except UnicodeDecodeError as error:
        raise FormatError(
            f"not an experiment list: no JSON text (starts with {text[:8]!r})", path=file
        ) from error
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip())
        what = "truncated: the JSON text ends too early" if cut else f"not JSON: {error.msg}"
        raise FormatError(what, path=file, line=error.lineno) from error
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, 1000 brackets
        raise FormatError(f"not JSON: {error}", path=file) from error


def _list(document: Mapping[str, Any], name: str, file: Path) -> list[Any]:
    found = document.get(name, [])
    if not isinstance(found, list):
        raise FormatError(f"{name} is a {type(found).__name__}: expected a list", path=file)
    return found


def _document(document: Mapping[str, Any], lists: Mapping[str, list[Any]]) -> dict[str, Any]:
    """What belongs to no experiment: other keys, and models that none refers to."""
    entries = [e for e in lists["experiment"] if isinstance(e, dict)]
    used: dict[str, set[int]] = {
        name: {e[name] for e in entries if isinstance(e.get(name), int)} for name in _LISTS
    }
    out: dict[str, Any] = {}
    for key, value in document.items():
        if key == "experiment":
            out[key] = None
        elif key in _LISTS:
            out[key] = [entry for k, entry in enumerate(value) if k not in used[key]]
        else:
            out[key] = value
    return out


def _experiment(
    entry: Any, number: int, models: Mapping[str, list[Any]], shared: dict[str, Any], file: Path
) -> Experiment:
    where = Where(file, f"experiment {number}")
    if not isinstance(entry, dict):
        raise where.error(f"expected an object, got {type(entry).__name__}")
    found: dict[str, Any] = {}
    for name in _LISTS:
        index = entry.get(name)
        if index is None:
            continue
        if not isinstance(index, int) or not 0 <= index < len(models[name]):
            raise where.error(
                f"{name} {index!r} is not in the file, which has {len(models[name])}", name
            )
        found[name] = models[name][index]
    extra = {k: found.pop(k, v) for k, v in entry.items() if k not in (*MODELS, "imageset")}
    identifier = str(extra.get("identifier", ""))
    return Experiment(identifier=identifier, **found, extra=extra, document=shared)


def write_expt(path: str | Path, experiments: Iterable[Experiment]) -> Path:
    """Write an experiment list; history and other keys of the file come from the first experiment.

    Raises
    ------
    ConfigError
        No experiments, or the folder cannot be written to.
    """
    rows = tuple(experiments)
    if not rows:
        raise ConfigError("no experiments to write", path=path)
    document = dict(rows[0].document or _LAYOUT)
    table: dict[str, dict[int, tuple[int, Any]]] = {name: {} for name in _LISTS}
    entries = []
    for row in rows:
        entry: dict[str, Any] = {} if row.extra else {"__id__": "Experiment"}
        if row.identifier or "identifier" in row.extra or not row.extra:
            entry["identifier"] = row.identifier
        entry = {**row.extra, **entry}
        models = {name: getattr(row, name) for name in (*MODELS, "imageset")}
        models |= {name: row.extra.get(name) for name in OPAQUE}
        for name, model in models.items():
            if model is not None:
                known = table[name]
                entry[name] = known.setdefault(id(model), (len(known), model))[0]
        entries.append(entry)
    for name, known in table.items():
        unused = document.get(name, [])
        if known or name in document:
            write = WRITERS.get(name)
            written = [write(model) if write else model for _, model in known.values()]
            document[name] = written + list(unused)
    document["experiment"] = entries
    return write_text(path, json.dumps(document, indent=2) + "\n")
