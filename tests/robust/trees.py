"""What a folder holds, without what differs between equal runs: dates, durations, containers."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path

__all__ = ["content", "is_torn", "tree"]

_TORN = re.compile(r"\.[0-9a-f]{8}-\d+-[0-9a-f]{8}\.(part|old)")
_CLOCK = (
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?",
    rb'"(seconds|seconds_[a-z]+|[a-z_]*_s|duration|started|ended|time|pid)": [-0-9.eE]+',
    rb"\b\d+(\.\d+)? (s|ms|min)\b",
    rb'"command": "[^"]*process_worker_pool[^"]*"',
    rb"command: [^\n]*process_worker_pool[^\n]*",
)
_MASKS = [re.compile(pattern) for pattern in _CLOCK]


def is_torn(path: Path) -> bool:
    """Whether a name, or that of a folder above, is a temporary one."""
    return any(_TORN.search(part) for part in path.parts)


def tree(folder: Path) -> dict[str, Path]:
    """Files of a folder by their names in it."""
    return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name is one of the patterns."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def content(path: Path) -> Mapping[str, bytes]:
    """Parts of a file, each of which is the same in equal runs.

    Raises
    ------
    Exception
        The file is not whole.
    """
    data = path.read_bytes()
    suffix = "".join(path.suffixes[-1:])
    return _READERS.get(suffix, _plain)(data)


def _plain(data: bytes) -> Mapping[str, bytes]:
    for mask in _MASKS:
        data = mask.sub(b"#", data)
    return {"": data}


def _zip(data: bytes) -> Mapping[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {n: archive.read(n) for n in archive.namelist()}


def _hdf5(data: bytes) -> Mapping[str, bytes]:
    import h5py

    found: dict[str, bytes] = {}

    def look(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            value = item[()]
            found[name] = _plain(
                value
                if isinstance(value, bytes)
                else repr(value.tolist() if item.dtype.kind == "O" else value.tobytes()).encode()
            )[""]
        for key, value in getattr(item, "attrs", {}).items():
            found[f"{name}@{key}"] = _plain(repr(value).encode())[""]

    with h5py.File(io.BytesIO(data)) as file:
        look("/", file)
        file.visititems(look)
    return found


def _checkpoint(data: bytes) -> Mapping[str, bytes]:
    """Weights alone: the rest tells durations."""
    import torch

    whole = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    return {k: v.numpy().tobytes() for k, v in whole["state_dict"].items()}


_READERS: dict[str, Callable[[bytes], Mapping[str, bytes]]] = {
    ".npz": _zip, ".zip": _zip, ".h5": _hdf5, ".nxs": _hdf5, ".ckpt": _checkpoint,
}  # fmt: skip
