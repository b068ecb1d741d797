"""Fuzz the command line: ``python tests/fuzz/fuzz_cli.py [COMMAND ...] --seconds 60``.

Every command with options, values and files that are drawn by chance, in a folder of small files
of every kind; a line that ends in a way that was not seen before is changed further. What a
command owes is an exit code of 0, 1, 2, 4 or 130 and no traceback; with 2 or 4 the last line of
stderr says why. A command may take long: it is stopped, and counted.

Prints a table; exit 1 if there is a finding. Not drawn: programs that a command would run
(``conform --command``, configurations of engines), and commands that need the network or minutes.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import pkgutil
import random
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from campaign import corpus_of
from cli_words import Command, changed, commands, words
from readers import READERS
from readers_more import unpack
from seeds import seeds_of

import refimpl

SOUND = {0, 1, 2, 4, 130}
LONG_SECONDS, MOST_GIB, MOST_BYTES = 15, 6, 100 << 20
MOST_TEXT = 2000
FILES_EACH = 2
_LOADED = (
    "numpy", "scipy.optimize", "scipy.ndimage", "pandas", "h5py", "tifffile", "fabio", "zarr",
    "matplotlib.pyplot", "skimage.measure", "sklearn.cluster", "gemmi", "msgpack", "pydantic",
    "torch", "pytorch_lightning", "PIL.Image", "hdf5plugin",
)  # fmt: skip


def fill(folder: Path) -> list[str]:
    """Put small files of every kind into a folder; their names."""
    names = []
    for number, reader in enumerate(READERS.values()):
        sound = seeds_of(reader.name, reader.file)
        stored = [d for n, d in corpus_of(reader).items() if not n.startswith("found-")]
        for copy, data in enumerate([*sound, *stored[-1:], *stored][:FILES_EACH]):
            name = f"{number:02d}{'ab'[copy]}_{reader.file}"
            (folder / name).write_bytes(data)
            names.append(name)
            if reader.name.startswith("folder."):
                names.append(reader.name.removeprefix("folder.") + "ab"[copy])
                unpack(folder / name, folder / names[-1])
    (folder / "empty").touch()
    (folder / "a folder").mkdir()
    return [*names, "empty", "a folder", ".", "none.tif"]


def _child(args: list[str], folder: Path) -> None:
    """Run one command in this process, which ends with it."""
    os.setsid()
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder.parent / name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, used + MOST_GIB * 2**30),
        (resource.RLIMIT_CPU, LONG_SECONDS),
        (resource.RLIMIT_FSIZE, MOST_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    from refimpl.cli.main import main

    code = 70
    try:
        code = main(args)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 71
    except BaseException:
        import traceback

        traceback.print_exc()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def run(args: list[str], folder: Path) -> tuple[int, str]:
    """Exit code (minus a signal) and stderr of a command in a fork."""
    pid = os.fork()
    if not pid:
        _child(args, folder)
    end = time.monotonic() + 3 * LONG_SECONDS
    status = None
    while status is None:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
        elif time.monotonic() > end:
            os.kill(pid, signal.SIGXCPU)
            end += 1e6
        else:
            time.sleep(0.002)
    with suppress(OSError):  # what it started
        os.killpg(pid, signal.SIGKILL)
    return status, (folder.parent / "stderr").read_text(errors="replace")


def fault(status: int, stderr: str) -> str:
    """What is wrong with an end of a command; empty where it is sound."""
    if "Traceback (most recent call last)" in stderr:
        lines = stderr.strip().splitlines()
        places = re.findall(r'File "[^"]*/refimpl/([^"]*)", line (\d+)', stderr)
        where = f"refimpl/{places[-1][0]}:{places[-1][1]}" if places else "outside"
        return f"{lines[-1][:120].split(':')[0]} at {where}"
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return ""
    if status not in SOUND:
        return f"exit {status}"
    last = stderr.strip().splitlines()[-1:] or [""]
    if status in (2, 4) and not re.match(r"refimpl[^:]*: \S", last[0]):
        return f"exit {status} without a reason"
    return f"a reason of {len(last[0])} characters" if len(last[0]) > MOST_TEXT else ""


def _way(stderr: str) -> str:
    """What a reason says without what it quotes: lines that end in a new one are gone on from."""
    last = (stderr.strip().splitlines() or [""])[-1]
    return re.sub(r"'[^']*'|\S*[0-9./]\S*", "", last)[:60]


def campaign(
    command: Command, names: list[str], place: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """Run one command for some time."""
    rng = random.Random(f"{args.seed} {command.name}")
    found: dict[str, dict[str, Any]] = {}
    codes: dict[int, int] = {}
    kept: list[list[str]] = []
    ways: set[tuple[int, str]] = set()
    end, runs = time.monotonic() + args.seconds, 0
    pool, folder = place / "pool", place / "now"
    while time.monotonic() < end and (args.runs is None or runs < args.runs):
        if runs % 25 == 0:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(pool, folder)
        line = words(command, names, rng)
        if kept and rng.random() < 0.6:
            line = changed(rng.choice(kept[-20:]), command, names, rng)
        status, stderr = run(line, folder)
        runs += 1
        if (reason := (status, _way(stderr))) not in ways:
            ways.add(reason)
            kept.append(line)
        codes[status] = codes.get(status, 0) + 1
        what = fault(status, stderr)
        if what and (what not in found or len(line) < len(found[what]["args"])):
            found[what] = {"args": line, "stderr": stderr[-3000:]}
    return {"command": command.name, "runs": runs, "codes": codes, "findings": found}


def _show(result: dict[str, Any]) -> None:
    """Row of the table, and what was found."""
    codes = ", ".join(f"{code}: {n}" for code, n in sorted(result["codes"].items()))
    rows = [f"{result['command']:24} {result['runs']:6}  {codes}"]
    for what, how in result["findings"].items():
        rows += [f"    {what}", f"        refimpl {shlex.join(how['args'])}"]
    print("\n".join(rows), flush=True)


def _shared(
    todo: list[Command], names: list[str], place: Path, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Results of all commands, from forks that take every so many of them."""
    pids = []
    for job in range(args.jobs):
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        code = 1
        try:
            own = place / str(job)
            own.mkdir()
            (own / "pool").symlink_to(place / "pool")
            for command in todo[job :: args.jobs]:
                result = campaign(command, names, own, args)
                (place / f"{command.name}.json").write_text(json.dumps(result))
                _show(result)
            code = 0
        finally:
            os._exit(code)
    if any([os.waitpid(pid, 0)[1] for pid in pids]):
        raise SystemExit("the campaign itself failed")
    return [json.loads((place / f"{command.name}.json").read_text()) for command in todo]


def main() -> int:
    """Fuzz the commands that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="COMMAND", help="as 'powder map'; all without")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each command")
    parser.add_argument("--jobs", type=int, default=1, help="commands at a time")
    parser.add_argument("--runs", type=int, default=None, help="of each command at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the findings here, as JSON")
    args = parser.parse_args()
    known = {command.name: command for command in commands()}
    if unknown := set(args.names) - known.keys():
        parser.error(f"unknown command {sorted(unknown)[0]!r}: expected of {', '.join(known)}")
    nowhere = "http://127.0.0.1:9"
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg",
                   "http_proxy": nowhere, "https_proxy": nowhere}  # fmt: skip
    os.environ.pop("REFIMPL_DATA", None)
    ours = [module.name for module in pkgutil.walk_packages(refimpl.__path__, "refimpl.")]
    for name in (*_LOADED, *(n for n in ours if "__main__" not in n and n != "refimpl.hdf5.walk")):
        with suppress(ImportError):
            importlib.import_module(name)
    import refimpl.cli.main as program

    program._program()  # made once, not by each fork
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        os.environ["HOME"] = name
        (place / "pool").mkdir()
        names = fill(place / "pool")
        print(f"{'command':24} {'runs':>6}  exit codes, findings")
        todo = [known[name] for name in args.names or known]
        results = _shared(todo, names, place, args)
    n_findings = sum(len(result["findings"]) for result in results)
    total = sum(result["runs"] for result in results)
    print(f"{len(results)} commands, {total} runs, {n_findings} findings")
    if args.out:
        args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 1 if n_findings else 0


if __name__ == "__main__":
    sys.exit(main())
