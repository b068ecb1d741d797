"""Files of the conformance kit: the same content as JSON, as HDF5 and as plain text.

JSON is ``{"schema", "version", "quantity", "inputs", "outputs", "cases"}``; ``inputs`` and
``outputs`` describe the arrays, a case is ``{"inputs": {name: value}, "outputs": {...}}``, with
nested lists by rows and null for NaN. HDF5 has the groups ``cases/<case>/inputs`` and
``.../outputs`` with a dataset an array, and the descriptions as JSON in the root's attributes.
Text has a line ``case NAME`` and below it a line an array, ``NAME RANK LENGTHS VALUES``; a word
has rank -1. A code under test is given a file without outputs, and writes one with outputs only
(of JSON and HDF5 the other parts may be left out). Not here: what the numbers mean.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.errors import FormatError
from refimpl.hdf5 import read_hdf5
from refimpl.hdf5.writing import new_hdf5
from refimpl.io.atomic import atomic_path, write_text
from refimpl.io.frame_source import BROKEN, first_line
from refimpl.reading import parse_json
from refimpl.testing.conform_records import SCHEMA, VERSION, Array, Case, Outputs, Quantity

__all__ = [
    "FORMATS",
    "one_case_text",
    "read_cases",
    "read_outputs",
    "write_cases",
    "write_outputs",
]

FORMATS = ("json", "h5", "txt")
"""Suffixes of the three."""

_PACKED = 256  # arrays with more elements are compressed in HDF5

_Values = dict[str, dict[str, dict[str, Any]]]


def write_cases(path: Path, quantity: Quantity, cases: Sequence[Case], *, bare: bool) -> Path:
    """Write the cases of a quantity; ``bare`` without the outputs, for a code under test."""
    content: _Values = {
        case.name: {"inputs": case.inputs, **({} if bare else {"outputs": case.outputs})}
        for case in cases
    }
    return _write(path, _head(quantity), content)


def one_case_text(quantity: Quantity, case: Case) -> str:
    """One case as JSON."""
    return _json_text(
        _head(quantity), {case.name: {"inputs": case.inputs, "outputs": case.outputs}}
    ).rstrip()


def write_outputs(path: Path, quantity: Quantity, outputs: Mapping[str, Outputs]) -> Path:
    """Write what a code under test gives, by the name of the case."""
    content: _Values = {name: {"outputs": dict(values)} for name, values in outputs.items()}
    return _write(path, _head(quantity), content)


def read_cases(path: Path, quantity: Quantity) -> list[Case]:
    """Cases of a quantity, with outputs where the file has them.

    Raises
    ------
    FormatError
        The file is not one of the kit, or of another quantity or version.
    """
    head, content = _read(path)
    if head.get("schema") != SCHEMA or head.get("quantity") != quantity.name:
        raise FormatError(
            f"holds {head.get('schema')!r} of {head.get('quantity')!r}: expected {SCHEMA!r} of "
            f"{quantity.name!r}", path=path,
        )  # fmt: skip
    if head.get("version") != VERSION:
        raise FormatError(
            f"vectors of version {head.get('version')}: this refimpl has {VERSION}", path=path
        )
    described = {a.name: a for a in (*quantity.inputs, *quantity.outputs)}
    out = []
    for name, parts in content.items():
        ins, outs = (
            {k: _typed(v, described[k]) for k, v in parts.get(kind, {}).items() if k in described}
            for kind in ("inputs", "outputs")
        )
        out.append(Case(f"{quantity.name}/{name}", ins, outs))
    return out


def read_outputs(path: Path) -> dict[str, dict[str, Any]]:
    """What a code under test wrote: arrays by case and name; types are looked at by the judge.

    Raises
    ------
    FormatError
        The file is missing or not as described.
    """
    _, content = _read(path)
    return {name: parts.get("outputs", {}) for name, parts in content.items()}


def _typed(value: Any, described: Array) -> Any:
    if described.dtype == "str":
        return str(value)
    array = np.asarray(value, dtype=np.float64 if described.dtype == "f8" else np.int64)
    letters = [word for word in described.shape.split(",") if word]
    if array.size or array.ndim == len(letters):
        return array
    # nested lists do not tell the shape of an array without elements
    return array.reshape([int(word) if word.isdecimal() else 0 for word in letters])


def _head(quantity: Quantity) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "quantity": quantity.name,
        "title": quantity.title,
        "definition": quantity.definition,
        "note": quantity.note,
        "inputs": [asdict(a) for a in quantity.inputs],
        "outputs": [asdict(a) for a in quantity.outputs],
    }


def _write(path: Path, head: dict[str, Any], content: _Values) -> Path:
    if path.suffix == ".json":
        return write_text(path, _json_text(head, content))
    if path.suffix == ".txt":
        return write_text(path, _plain_text(head, content))
    _write_hdf5(path, head, content)
    return path


def _read(path: Path) -> tuple[dict[str, Any], _Values]:
    try:
        if path.suffix == ".h5":
            return _read_hdf5(path)
        text = path.read_text("utf-8")
    except FormatError:
        raise
    except BROKEN as exc:
        raise FormatError(f"cannot read: {first_line(exc)}", path=path) from exc
    return _from_json(text, path) if path.suffix == ".json" else _from_text(text, path)


# --- JSON -----------------------------------------------------------------------------------------


def _listed(value: Any) -> Any:
    """Nested lists with None for NaN."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.dtype.kind != "f" or not np.isnan(array).any():
        return array.tolist()
    as_objects = array.astype(object)
    as_objects[np.isnan(array)] = None
    return as_objects.tolist()


def _json_text(head: dict[str, Any], content: _Values) -> str:
    lines = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}," for k, v in head.items()]
    cases = []
    for name, parts in content.items():
        arrays = [
            f"{json.dumps(part)}: {{\n"
            + ",\n".join(
                f"  {json.dumps(k)}: {json.dumps(_listed(v), allow_nan=False)}"
                for k, v in values.items()
            )
            + "\n}"
            for part, values in parts.items()
        ]
        cases.append(f"{json.dumps(name)}: {{" + ",\n".join(arrays) + "}")
    return "{\n" + "\n".join(lines) + '\n"cases": {\n' + ",\n".join(cases) + "\n}}\n"


def _from_json(text: str, path: Path) -> tuple[dict[str, Any], _Values]:
    try:
        content = parse_json(text)
        cases = {
            name: {
                part: {k: _unlisted(v) for k, v in values.items()}
                for part, values in parts.items()
                if part in ("inputs", "outputs")
            }
            for name, parts in content["cases"].items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise FormatError(f"not a file of the conformance kit: {exc!r}", path=path) from exc
    return content, cases


def _unlisted(value: Any) -> Any:
    """Array of nested lists; null is NaN."""
    if isinstance(value, str):
        return value
    array = np.array(value)
    return array.astype(np.float64) if array.dtype.kind in "Of" else array


# --- plain text -----------------------------------------------------------------------------------


def _plain_text(head: dict[str, Any], content: _Values) -> str:
    lines = [f"{head['schema']} {head['version']} {head['quantity']}"]
    for name, parts in content.items():
        lines.append(f"case {name}")
        for key, value in (pair for part in parts.values() for pair in part.items()):
            if isinstance(value, str):
                lines.append(f"{key} -1 {value}")
                continue
            array = np.asarray(value)
            numbers = [str(v) if array.dtype.kind in "iu" else _digits(v) for v in array.flat]
            lines.append(" ".join([key, str(array.ndim), *map(str, array.shape), *numbers]))
    return "\n".join(lines) + "\n"


def _digits(value: float) -> str:
    return "nan" if math.isnan(value) else f"{value:.17g}"


_VERSION = re.compile(r"[0-9]{1,9}")


def _from_text(text: str, path: Path) -> tuple[dict[str, Any], _Values]:
    """Values of a code under test: all of them are taken for outputs."""
    head: dict[str, Any] = {}
    content: _Values = {}
    values: dict[str, Any] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if words[0] == SCHEMA and len(words) == 3 and _VERSION.fullmatch(words[1]):
            head = {"schema": SCHEMA, "version": int(words[1]), "quantity": words[2]}
        elif words[0] == "case" and len(words) == 2:
            values = content.setdefault(words[1], {"outputs": {}})["outputs"]
        else:
            try:
                if values is None:
                    raise ValueError("no case before it")
                values[words[0]] = _text_array(words)
            except ValueError as exc:
                raise FormatError(f"not an array: {exc}", path=path, line=number) from exc
    return head, content


def _text_array(words: list[str]) -> Any:
    """Array of a line ``NAME RANK LENGTHS VALUES``."""
    try:
        rank = int(words[1])
        shape = tuple(int(w) for w in words[2 : 2 + max(rank, 0)])
    except (ValueError, IndexError) as exc:
        raise ValueError("expected NAME RANK LENGTHS VALUES") from exc
    numbers = np.array([float(w) for w in words[2 + len(shape) :]])
    if len(shape) != rank or min(shape, default=0) < 0 or math.prod(shape) != numbers.size:
        lengths = " x ".join(map(str, shape)) or "1"
        raise ValueError(f"{words[0]} of rank {rank}: {lengths} values told, {numbers.size} there")
    return numbers.reshape(shape)


# --- HDF5 -----------------------------------------------------------------------------------------


def _write_hdf5(path: Path, head: dict[str, Any], content: _Values) -> None:
    options: Any = {"libver": ("v108", "v110")}  # small headers
    with atomic_path(path) as part, new_hdf5(part, **options) as file:
        for key, value in head.items():
            file.attrs[key] = value if isinstance(value, (str, int)) else json.dumps(value)
        top = file.create_group("cases")
        for name, parts in content.items():
            for kind, values in parts.items():
                group = top.create_group(f"{name}/{kind}")
                for key, value in values.items():
                    packed = "gzip" if np.size(value) > _PACKED else None
                    group.create_dataset(key, data=value, track_times=False, compression=packed)


def _read_hdf5(path: Path) -> tuple[dict[str, Any], _Values]:

    with read_hdf5(path) as file:
        head = {k: v.item() if isinstance(v, np.generic) else v for k, v in file.attrs.items()}
        content = {
            name: {kind: {k: _stored(d[()]) for k, d in g.items()} for kind, g in parts.items()}
            for name, parts in file["cases"].items()
        }
    return head, content


def _stored(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else np.asarray(value)
