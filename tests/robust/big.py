"""Give every reader files of 10 GB: sparse ones, that hold a sound small file and then nothing.

``python big.py [NAME ...]`` prints a table and exits 1 where a reader takes more than ``SECONDS``
of processor time or ``MEMORY`` beyond what was in use, or ends in anything but a result or one of
``refimpl.errors``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

from campaign import corpus_of
from readers import READERS, Reader
from running import load
from seeds import seeds_of

from refimpl.errors import RefimplError

# Where the campaign of tests/fuzz calls a parser of text, and users a reader of files.
DOORS = {
    "interop.crystfel_file.parse_geom": "interop.crystfel_file:read_geom",
    "interop.gsas.parse_imctrl": "interop.gsas:read_imctrl",
    "interop.poni_file.parse_poni": "interop.poni_file:read_poni",
    "interop.imaged11.parse_par": "interop.imaged11:read_par",
    "interop.xparm_file.parse_xparm": "interop.xparm_file:read_xparm",
    "crystal.hkls_csv.parse_hkls": "crystal.hkls_csv:read_hkls_csv",
    "io.epu_xml.read_strict": "io.epu_templates:EpuReader.read_file",
    "epu_dm": "reading:read_bytes",  # as epu.file_cache does
    "epu_xml.fast": "io.epu_templates:EpuReader.read_file",
}
SIZE = 10 << 30
SECONDS = 10.0
MEMORY = 1 << 30


def answer_of(call: Callable[[Path], object], path: Path) -> dict[str, object]:
    """What a reader does with a file, in a process of its own whose memory is limited."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        os.write(send, pickle.dumps(_within(call, path)))
        os._exit(0)
    os.close(send)
    with open(receive, "rb") as pipe:
        said = pipe.read()
    _, status, used = os.wait4(pid, 0)
    if not said:
        code = os.waitstatus_to_exitcode(status)
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        said = pickle.dumps({"answer": "crash", "text": name, "mib": 0.0})
    answer: dict[str, object] = pickle.loads(said)
    return answer | {"seconds": used.ru_utime + used.ru_stime}


def _within(call: Callable[[Path], object], path: Path) -> dict[str, object]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * MEMORY, used + 4 * MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    text = ""
    try:
        call(path)
        answer = "read"
    except RefimplError as error:
        answer, text = "refused", str(error)
    except BaseException as error:
        answer = "raised"
        text = "".join(traceback.format_exception(error)[-3:])[-600:]
    most = max(resource.getrusage(who).ru_maxrss
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip
    return {"answer": answer, "text": text, "mib": max(0, most - before) / 1024}


def door_of(reader: Reader) -> Callable[[Path], object]:
    """What users' files go through."""
    module, _, name = DOORS.get(reader.name, ":").partition(":")
    if not module:
        return reader.call
    owner = importlib.import_module(f"refimpl.{module}")
    if "." not in name:
        return getattr(owner, name)
    kind, _, name = name.partition(".")
    return getattr(getattr(owner, kind)(), name)


def sparse(path: Path, head: bytes, size: int = SIZE) -> Path:
    """Write a file of a head and then zeros, which take no room on the disk."""
    path.write_bytes(head)
    os.truncate(path, size)
    return path


def sound(reader: Reader, folder: Path) -> bytes:
    """Smallest stored file that is read, else the smallest of all."""
    files = [*corpus_of(reader).values(), *seeds_of(reader.name, reader.file)]
    for data in sorted(files, key=len):
        (folder / reader.file).write_bytes(data)
        try:
            reader.call(folder / reader.file)
        except Exception:
            continue
        return data
    return min(files, key=len)


def main() -> int:
    """Try the readers that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="readers, wildcards allowed")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    load("")
    rows, bad = [], 0
    print("| reader | answer | s | MiB |\n|---|---|---|---|")
    for reader in READERS.values():
        if args.names and not any(fnmatch(reader.name, n) for n in args.names):
            continue
        with tempfile.TemporaryDirectory() as folder:
            head = sound(reader, Path(folder))
            began = time.monotonic()
            path = sparse(Path(folder) / reader.file, head)
            found = answer_of(door_of(reader), path)
            found["wall"] = time.monotonic() - began
        wrong = (found["answer"] in ("crash", "raised") or float(found["seconds"]) > SECONDS
                 or float(found["mib"]) > MEMORY / 2**20)  # fmt: skip
        bad += wrong
        mark = " **" if wrong else ""
        print(f"| {reader.name} | {found['answer']}{mark} | {found['seconds']:.2f} | "
              f"{found['mib']:.0f} |", flush=True)  # fmt: skip
        if wrong:
            print(f"  {found['text']}", file=sys.stderr, flush=True)
        rows.append({"reader": reader.name, "wrong": wrong} | found)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
