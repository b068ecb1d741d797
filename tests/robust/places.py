"""Give every command that writes a place that cannot be written to.

``python places.py [NAME ...]`` prints a table and exits 1 where a command does not refuse in one
line and with exit 2, or leaves something behind. A full disk is a small file system in memory,
which only root may mount; without that, no file may grow beyond a limit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from commands import JOBS, Job
from kill import group_of, inputs_of
from running import Ended, load, prepare, run, words_of
from trees import content, is_torn, matches, tree

NOBODY = 65534
FULL = (0.0, 0.3, 0.9)
"""Room for these parts of what a command writes."""


def can_mount() -> bool:
    """Whether this user may mount a file system in memory."""
    with tempfile.TemporaryDirectory() as folder:
        return _mounted(Path(folder), 4096) and _unmounted(Path(folder))


def _mounted(folder: Path, size: int) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    with contextlib.suppress(OSError):
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    return False


def _unmounted(folder: Path) -> bool:
    return subprocess.run(["umount", "-l", str(folder)], check=False).returncode == 0


class Places:
    """One command in places that refuse it."""

    def __init__(self, job: Job, inputs: Path, place: Path, mount: bool) -> None:
        self.job, self.inputs, self.place, self.mount = job, inputs, place, mount
        self.findings: list[str] = []
        self.tried = 0
        self.folder = self._fresh()
        self.before = self._bytes()
        self.whole = self._undisturbed()
        self.sizes = [p.stat().st_size for p in tree(self.folder).values()]
        self.folder = self._fresh()
        twin = self._undisturbed()
        self.unsteady = {n for n in self.whole if twin.get(n) != self.whole[n]}

    def _undisturbed(self) -> dict[str, dict[str, bytes]]:
        ended = self._run()
        if ended.code != self.job.code:
            raise SystemExit(f"{self.job.name}: exit {ended.code}\n{ended.err}{ended.out}")
        return {n: dict(content(p)) for n, p in tree(self.folder).items()}

    def _fresh(self) -> Path:
        folder = self.place / "work"
        shutil.rmtree(self.place, ignore_errors=True)
        prepare(self.job, self.inputs, folder)
        return folder

    def _run(self, **how: object) -> Ended:
        words = words_of(self.job, self.inputs)
        if self.job.endless:
            how |= {"after_s": 1.0, "stop": signal.SIGINT}
        return run(words, self.folder, **how)

    def _bytes(self) -> dict[str, bytes]:
        return {n: p.read_bytes() for n, p in tree(self.folder).items()}

    def all(self) -> None:
        """Try every place."""
        for part in FULL:
            self.full(part)
        self.read_only()
        self.taken()
        self.temporary_full()

    def _refused(self, how: str, ended: Ended, codes: tuple[int, ...] = (2,)) -> None:
        """See that it said one line and left nothing torn."""
        if ended.code == self.job.code and how.startswith("full") and self._all_there():
            return  # there was room
        self.tried += 1
        lines = [one for one in ended.err.splitlines() if one.startswith("refimpl: ")]
        if ended.code not in codes:
            said = ended.err.strip().splitlines()[-1:] or [""]
            self.findings.append(f"{how}: exit {ended.code}: {said[0][-200:]}")
        elif len(lines) != 1 or "Traceback" in ended.err:
            self.findings.append(f"{how}: said {ended.err[-300:]!r}")
        after = tree(self.folder)
        torn = [n for n in after if is_torn(Path(n))]
        if torn:
            self.findings.append(f"{how}: torn files stay: {torn[:3]}")
        for name, path in after.items():
            if is_torn(Path(name)) or matches(name, self.job.grows + self.job.kept):
                continue
            if self.before.get(name) != path.read_bytes() and not self._whole(name, path):
                self.findings.append(f"{how}: {name} is not whole")

    def _whole(self, name: str, path: Path) -> bool:
        try:
            parts = dict(content(path))
        except Exception:
            return False
        varies = matches(name, self.job.changes) or name in self.unsteady
        return varies or name not in self.whole or parts == self.whole[name]

    def _all_there(self) -> bool:
        after = tree(self.folder)
        return set(self.whole) <= set(after) and all(
            self._whole(n, after[n]) for n in self.whole if not matches(n, self.job.grows)
        )

    def full(self, part: float) -> None:
        """Room for a part of what is written."""
        self.folder = self._fresh()
        self.before = self._bytes()
        how = f"full at {part:.0%}"
        codes = (2, 4) if matches("x/ledger.jsonl", self.job.grows) else (2,)
        if not self.mount:
            biggest = max(self.sizes)
            self._refused(how, self._run(file_bytes=int(part * biggest)), codes)
            return
        pages = [4096 * -(-size // 4096) for size in self.sizes]
        there = sum(4096 * -(-len(data) // 4096) for data in self.before.values())
        room = max(8192, int(part * (sum(pages) - there)))
        kept = self.place / "kept"
        self.folder.rename(kept)
        self.folder.mkdir()
        with _small(self.folder, there + 4096 * len(list(kept.rglob("*"))) + room) as made:
            assert made
            shutil.copytree(kept, self.folder, dirs_exist_ok=True)
            if part == 0.0:
                _fill(self.folder / "filler")
                self.before |= {"filler": (self.folder / "filler").read_bytes()}
            self._refused(how, self._run(), codes)

    def read_only(self) -> None:
        """A folder of somebody else."""
        if os.geteuid() != 0:
            return
        self.folder = self._fresh()
        self.before = self._bytes()
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        self._refused("read-only", self._run(plain=True))
        if self._bytes() != self.before:
            self.findings.append("read-only: something changed")

    def taken(self) -> None:
        """A folder where a file is to be, or a file where a folder is."""
        if self.job.out in self.job.copies:
            return
        self.folder = self._fresh()
        out = self.folder / self.job.out
        if out.suffix:
            out.mkdir()
        else:
            out.write_bytes(b"something else")
        self.before = self._bytes()
        ended = self._run()
        if self.job.name.startswith("epu duplicates") and ended.code == 0:
            return  # there, -o is the beginning of names
        self._refused("taken", ended)
        if self._bytes() != self.before:
            left = sorted(set(self._bytes()) - set(self.before))
            self.findings.append(f"taken: something changed: {left[:4]}")

    def temporary_full(self) -> None:
        """No room for temporary files: the command does without, or refuses."""
        if not self.mount:
            return
        self.folder = self._fresh()
        self.before = self._bytes()
        place = self.place / "tmp"
        place.mkdir()
        with _small(place, 4096):
            _fill(place / "filler")
            ended = self._run(temporary=place)
            if ended.code == self.job.code:
                self.tried += 1
            else:
                self._refused("no temporary files", ended, (2, 4))


@contextlib.contextmanager
def _small(folder: Path, size: int) -> Iterator[bool]:
    made = _mounted(folder, size)
    try:
        yield made
    finally:
        if made:
            _unmounted(folder)


def _fill(path: Path) -> None:
    """Use up all of the room, folders' too."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def main() -> int:
    """Try the commands that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="commands, wildcards allowed")
    parser.add_argument("--inputs", type=Path, help="folder of inputs, made if missing")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    jobs = [job for job in JOBS.values()
            if not args.names or any(fnmatch(job.name, n) for n in args.names)]  # fmt: skip
    rows, bad, mount = [], 0, can_mount()
    with tempfile.TemporaryDirectory() as temporary:
        base = (args.inputs or Path(temporary) / "inputs").absolute()
        inputs_of(base, {group_of(job) for job in jobs})
        print("| command | places tried | findings |\n|---|---|---|")
        for job in jobs:
            load(group_of(job))
            places = Places(job, base, Path(temporary) / "place", mount)
            places.all()
            bad += bool(places.findings)
            print(f"| {job.name} | {places.tried} | {len(places.findings)} |", flush=True)
            for line in places.findings:
                print(f"  {line}", file=sys.stderr, flush=True)
            rows.append({"command": job.name, "tried": places.tried, "findings": places.findings})
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
