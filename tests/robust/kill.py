"""Kill every long command at any moment, and run it again.

``python kill.py [NAME ...]`` prints a table and exits 1 where a killed run left half of a file
under its final name, or where the next run does not end as one that nothing disturbed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from commands import JOBS, Job
from running import Ended, load, prepare, run, words_of
from trees import content, is_torn, matches, tree

LATE_S = (0.0005, 0.002, 0.01)


def group_of(job: Job) -> str:
    """Inputs that a command needs."""
    return job.group or job.name.split()[0]


def inputs_of(base: Path, groups: set[str]) -> None:
    """Make the inputs that are not there yet."""
    missing = sorted(g for g in groups if g in GROUPS and not (base / g).exists())
    if missing:
        maker = Path(__file__).with_name("inputs.py")
        command = [sys.executable, str(maker), str(base), *missing]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


GROUPS = {"powder", "metrology", "nearfield", "epu", "centring"}


class Kill:
    """One command, killed again and again."""

    def __init__(self, job: Job, inputs: Path, place: Path) -> None:
        self.job, self.inputs, self.place = job, inputs, place
        self.findings: list[str] = []
        self.kills = 0
        self.whole, self.changes, self.seconds = self._undisturbed()
        self.unsteady = {
            name for name, parts in self._undisturbed()[0].items()
            if parts != self.whole.get(name)
        }  # fmt: skip

    def _undisturbed(self) -> tuple[dict[str, object], int, float]:
        folder = self._fresh()
        ended = self._finish(words_of(self.job, self.inputs), folder)
        if ended.code != self.job.code:
            raise SystemExit(f"{self.job.name}: exit {ended.code}\n{ended.err}{ended.out}")
        found = {n: dict(content(p)) for n, p in tree(folder).items()}
        return found, ended.changes, ended.seconds

    def _fresh(self) -> Path:
        """Always the same, since some results name it."""
        folder = self.place / "work"
        shutil.rmtree(self.place, ignore_errors=True)
        prepare(self.job, self.inputs, folder)
        return folder

    def _finish(self, words: list[str], folder: Path) -> Ended:
        if self.job.endless:
            return run(words, folder, after_s=1.0, stop=signal.SIGINT)
        return run(words, folder)

    def moment(self, **how: float) -> None:
        """Kill one run and look, run again and look."""
        folder = self._fresh()
        before = {n: p.read_bytes() for n, p in tree(folder).items()}
        ended = run(words_of(self.job, self.inputs), folder, **how)
        said = ", ".join(f"{k} {v:.4g}" for k, v in how.items())
        if ended.code != -signal.SIGKILL:  # it was done by then
            return
        self.kills += 1
        for name, path in tree(folder).items():
            self._look(name, path, before, said)
        words = words_of(self.job, self.inputs, again=True)
        if self.job.again and not (folder / "out" / "last.ckpt").exists():
            words = words_of(self.job, self.inputs)
        ended = self._finish(words, folder)
        if ended.code != self.job.code:
            return self._found(f"{said}: run again, exit {ended.code}: {ended.err.strip()[-300:]}")
        after = tree(folder)
        torn = [name for name in after if is_torn(Path(name))]
        if torn:
            self._found(f"{said}: run again, torn files stay: {torn[:3]}")
        others = {n for n in set(after) ^ set(self.whole) if not is_torn(Path(n))}
        if others:
            self._found(f"{said}: run again, other files: {sorted(others)[:4]}")
        for name in set(after) & set(self.whole) - self.unsteady:
            if matches(name, self.job.grows):
                continue
            if dict(content(after[name])) != self.whole[name]:
                self._found(f"{said}: run again, {name} differs")
        return None

    def _look(self, name: str, path: Path, before: dict[str, bytes], said: str) -> None:
        """See whether a file of a killed run is whole."""
        if is_torn(Path(name)) or matches(name, self.job.grows):
            return
        if before.get(name) == path.read_bytes():
            return
        try:
            parts = dict(content(path))
        except Exception as exc:
            return self._found(f"{said}: {name} is not whole: {type(exc).__name__}: {exc}")
        if matches(name, self.job.changes) or name in self.unsteady:
            if not path.stat().st_size:
                self._found(f"{said}: {name} is empty")
            return None
        if name not in self.whole:
            if not matches(name, self.job.kept):
                self._found(f"{said}: {name} is no file of a whole run")
        elif parts != self.whole[name]:
            self._found(f"{said}: {name} is not whole")
        return None

    def _found(self, what: str) -> None:
        self.findings.append(what)


def moments(n_changes: int, seconds: float, n: int, rng: random.Random) -> list[dict[str, float]]:
    """Half before and shortly after changes of files, half at any time."""
    changes = list(range(n_changes))
    if n_changes > n:
        changes = sorted(rng.sample(changes, n))
    at: list[dict[str, float]] = [{"change": k} for k in changes]
    at += [
        {"change": k, "late_s": rng.choice(LATE_S)} for k in changes[:: max(1, len(changes) // n)]
    ]
    return at + [{"after_s": rng.uniform(0.0, seconds)} for _ in range(n)]


def main() -> int:
    """Kill the commands that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="commands, wildcards allowed")
    parser.add_argument("--moments", type=int, default=8, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", type=Path, help="folder of inputs, made if missing")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    jobs = [job for job in JOBS.values()
            if not args.names or any(fnmatch(job.name, n) for n in args.names)]  # fmt: skip
    rows, bad = [], 0
    with tempfile.TemporaryDirectory() as temporary:
        base = (args.inputs or Path(temporary) / "inputs").absolute()
        inputs_of(base, {group_of(job) for job in jobs})
        print("| command | changes of files | kills | findings |\n|---|---|---|---|")
        for job in jobs:
            load(group_of(job))
            place = Path(temporary) / "place"
            killed = Kill(job, base, place)
            rng = random.Random(f"{args.seed} {job.name}")
            for how in moments(killed.changes, killed.seconds, args.moments, rng):
                killed.moment(**how)
            shutil.rmtree(place)
            bad += bool(killed.findings)
            print(f"| {job.name} | {killed.changes} | {killed.kills} | {len(killed.findings)} |",
                  flush=True)  # fmt: skip
            if killed.unsteady:
                print(f"  not the same twice: {sorted(killed.unsteady)[:6]}", file=sys.stderr)
            for line in killed.findings[:6]:
                print(f"  {line}", file=sys.stderr, flush=True)
            rows.append({"command": job.name, "changes": killed.changes, "kills": killed.kills,
                         "findings": killed.findings})  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
