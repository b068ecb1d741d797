"""Changes of a file: blind ones of bytes and lines, and ones that know what it is made of."""

from __future__ import annotations

import faulthandler
import gzip
import io
import json
import os
import random
import re
import signal
import warnings
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["TEXTS", "VALUES", "beside", "mutate", "zipped"]

_NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
TEXTS = (
    b"nan", b"inf", b"-inf", b"-1", b"0", b"-0.0", b"1e308", b"1e400", b"1e-320", b"0.5", b"x",
    b"2147483648", b"-2147483649", b"18446744073709551616", b"9" * 40, b"9" * 400, b"9" * 5000,
    b"1_0", b"0x10", b"True", b"\xc2\xb2", b"\xd9\xa3", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\x0c", b"", b"\xe2\x80\xa8", b"#", b'"', b"'", b"[", b"{", b"&", b"<", b"null", b"../x",
    b"%s", b"\r",
)  # fmt: skip
_WORDS = (0, 1, -1, 2, 7, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**30, 10**400, 0.5, -0.0, 1e308,
    float("nan"), float("inf"), "", "x", "nan", "1", [], [[]], {}, [None], [1, 2, 3], {"a": 1},
    "é\u0000",
)  # fmt: skip


def mutate(
    data: bytes, kind: str, rng: random.Random, others: Sequence[bytes], *, most: int = 65536
) -> bytes:
    """Change a file in one to eight places.

    Parameters
    ----------
    kind
        See :class:`readers.Reader`; content that is not of its kind is changed blindly.
    others
        Files of the corpus that pieces may be taken from.
    most
        Largest result [bytes]; what is longer is cut.
    """
    inside = _INSIDE.get(kind)
    if inside is not None and rng.random() < _SHARE.get(kind, 0.75):
        try:
            return inside(data, rng, others)
        except Exception:  # a library's refusal of a broken file, whichever: go on blindly
            pass
    if kind == "hdf5" and rng.random() < 0.7:
        return _hdf5_structure(data, rng)
    for _ in range(1 << rng.randrange(4)):
        lines = (
            kind not in ("bytes", "hdf5", "zip", "folder", "gzip", "msgpack") and rng.random() < 0.7
        )
        data = (_text if lines else _blind)(data, rng, others)
    return data[:most]


def _blind(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    out, n = bytearray(data), len(data)
    at, way = rng.randrange(n + 1), rng.randrange(9)
    if way == 0 and n:
        out[at % n] ^= 1 << rng.randrange(8)
    elif way == 1 and n:
        out[at % n] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    elif way == 2:
        size, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
        word = rng.choice(_WORDS) % (1 << 8 * size)
        out[at : at + size] = word.to_bytes(size, order)  # type: ignore[arg-type]
    elif way == 3:
        del out[at : at + rng.choice((1, 2, 8, 64, 512))]
    elif way == 4:
        size = rng.choice((1, 4, 16, 128))
        out[at:at] = out[at : at + size]
    elif way == 5:
        del out[at:]
    elif way == 6 and others:
        other = rng.choice(others)
        start = rng.randrange(len(other) + 1)
        out[at:] = other[start:]
    elif way == 7:
        out[at:at] = rng.choice(TEXTS)
    elif way == 8 and n:
        start = rng.randrange(n)
        size = rng.choice((1, 4, 16, 64))
        out[at : at + size] = data[start : start + size]
    return bytes(out)


def _text(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    way = rng.randrange(7)
    if way < 3:
        found = list(_NUMBER.finditer(data)) if way < 2 else list(re.finditer(rb"[^\s,]+", data))
        if not found:
            return data + rng.choice(TEXTS)
        where = rng.choice(found)
        return data[: where.start()] + rng.choice(TEXTS) + data[where.end() :]
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    if way == 3:
        del lines[at]
    elif way == 4:
        lines.insert(at, lines[rng.randrange(len(lines))])
    elif way == 5:
        other = rng.choice(others).split(b"\n") if others else lines
        lines[at] = rng.choice(other)
    else:
        words = lines[at].split()
        if words:
            words[rng.randrange(len(words))] = rng.choice(rng.choice(lines).split() or [b""])
        lines[at] = b" ".join(words)
    return b"\n".join(lines)


def _changed(tree: Any, rng: random.Random) -> Any:
    """The same tree with one node replaced, removed or doubled."""
    if isinstance(tree, (dict, list)) and tree and rng.random() < 0.85:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key, way = rng.choice(keys), rng.random()
        out = dict(tree) if isinstance(tree, dict) else list(tree)
        if way < 0.1:
            del out[key]
        elif way < 0.15 and isinstance(out, list):
            out.insert(key, out[key])
        elif way < 0.2 and isinstance(out, dict):
            out[rng.choice(keys)] = tree[key]
        else:
            out[key] = _changed(tree[key], rng)
        return out
    if isinstance(tree, bytes) and rng.random() < 0.7:
        return _blind(tree, rng, ())
    if isinstance(tree, (int, float)) and rng.random() < 0.5:
        return rng.choice((-tree, tree + 1, tree * 1e9, tree / 3, -1, 0))
    return rng.choice(VALUES)


def _json(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return json.dumps(_changed(json.loads(data), rng)).encode()


def _msgpack(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    import msgpack

    return msgpack.packb(_changed(msgpack.unpackb(data, strict_map_key=False), rng))


def _gzip(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return gzip.compress(_blind(gzip.decompress(data), rng, ()), mtime=0)


def _zip(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = [(info.filename, file.read(info)) for info in file.infolist()]
    at = rng.randrange(len(members))
    name, inner = members[at]
    way = rng.random()
    if way < 0.1:
        del members[at]
    elif way < 0.15:
        members[at] = name, rng.choice(members)[1]
    elif name.endswith((".zarray", ".zattrs", ".zgroup", ".json")):
        members[at] = name, _json(inner, rng, ())
    elif name.endswith((".xml", ".dm", ".csv", ".txt")) and way < 0.8:
        members[at] = name, _text(inner, rng, [content for _, content in members])
    else:
        members[at] = name, _blind(inner, rng, ())
    return zipped(members)


def zipped(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """Zip archive of named contents, the same bytes for the same contents."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, inner in members:
            file.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), inner, method)
    return out.getvalue()


_MOST_SECONDS = 0.3  # of the processor, for one change by a library


def beside(change: Callable[[], bytes]) -> bytes:
    """Make a change in a process of its own: files of the corpus may hang or crash a library.

    Raises
    ------
    ValueError
        It gives nothing.
    """
    here, there = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: libraries have theirs
        process = os.fork()
    if process == 0:
        status = 1
        try:
            faulthandler.disable()
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, _MOST_SECONDS)
            signal.alarm(60)  # what waits takes no processor time
            with open(there, "wb") as out:
                out.write(change())
            status = 0
        finally:
            os._exit(status)
    os.close(there)
    with open(here, "rb") as answer:
        out = answer.read()
    if os.waitpid(process, 0)[1]:
        raise ValueError("the library has no answer to the file")
    return out


def _hdf5(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Remove or replace a data set, a group or an attribute."""
    import h5py  # noqa: F401  (here, not in each process anew)

    drawn = random.Random(rng.getrandbits(64))  # the other process has no say in what comes next
    return beside(lambda: _hdf5_changed(data, drawn))


def _hdf5_changed(data: bytes, rng: random.Random) -> bytes:
    import h5py
    import numpy as np

    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = rng.choice(names)
        node = file[name]
        if len(node.attrs) and rng.random() < 0.4:
            key = rng.choice(sorted(node.attrs))
            if rng.random() < 0.3:
                del node.attrs[key]
            else:
                node.attrs[key] = rng.choice(
                    ("", "x", b"m", 0, -1.5, np.nan, [1, 2], np.zeros((2, 0)))
                )
        else:
            old = node[()] if isinstance(node, h5py.Dataset) else 0
            attrs = dict(node.attrs)
            del file[name]
            new: Any = rng.choice((
                0, -1, np.nan, "x", b"\xff", np.zeros(0), np.zeros((0, 3)), [1, 2],
                np.zeros((2, 3, 4)),
                np.full((3, 20, 24), -1), np.array(["a", "b"], "S1"), 2**63 - 1, 1e300, np.True_,
                np.asarray(old).ravel(), np.asarray(old)[..., None], None, None, None,
            ))  # fmt: skip
            if new is None and isinstance(old, np.ndarray) and old.dtype.kind in "iuf" and old.size:
                new = old.copy()
                new.ravel()[rng.randrange(old.size)] = rng.choice((0, 1, 99))
                new = new.astype(rng.choice(("f4", "i2", "u1", new.dtype)))
            if new is not None:
                file[name] = new
                for key, value in attrs.items():
                    file[name].attrs[key] = value
            elif rng.random() < 0.3:
                file.create_group(name)
            elif rng.random() < 0.2:
                file[name] = h5py.ExternalLink("no.h5", "/a")
            elif rng.random() < 0.3:
                # 40 GB a frame stated, nothing stored
                file.create_dataset(name, (3, 10**5, 10**5), "i4", chunks=(1, 100, 250))
    return stream.getvalue()


_STRUCTURES = re.compile(
    rb"\x89HDF|TREE|SNOD|HEAP|GCOL|OHDR|OCHK|FRHP|FHDB|FHIB|BTHD|BTIN|BTLF|FSHD|FSSE|SMTB|SMLI"
    rb"|FAHD|FADB|EAHD|EAIB|EASB|EADB"
)


def _hdf5_structure(data: bytes, rng: random.Random) -> bytes:
    """Change what the library keeps its books with: heaps, trees, headers, the superblock.

    Newer structures have a checksum, which the library verifies; older ones have none.
    """
    places = [found.start() for found in _STRUCTURES.finditer(data)]
    if not places:
        return _blind(data, rng, ())
    out = bytearray(data)
    for _ in range(1 << rng.randrange(3)):
        at = rng.choice(places) + int(rng.triangular(0, 400, 8))
        if at >= len(out):
            continue
        if rng.random() < 0.5:
            out[at] = rng.choice((0, 1, 8, 127, 128, 255, out[at] ^ (1 << rng.randrange(8))))
        else:
            at -= at % 8
            word = rng.choice((*_WORDS, -8, -16, rng.choice(places), rng.randrange(len(data))))
            size = rng.choice((2, 4, 8, 8))
            out[at : at + size] = (word % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(out)


_SHARE = {"hdf5": 0.5, "folder": 1.0}  # of changes that leave the container whole
_INSIDE = {"json": _json, "msgpack": _msgpack, "gzip": _gzip, "zip": _zip, "folder": _zip,
           "hdf5": _hdf5}  # fmt: skip
