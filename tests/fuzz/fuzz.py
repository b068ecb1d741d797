"""Fuzz readers: ``python tests/fuzz/fuzz.py [NAME ...] --seconds 10``.

Each reader is fuzzed in a process of its own, ``--jobs`` at a time: a crash, or a wait that no
signal ends, is seen from outside and its file kept. Prints a table; exit 1 if there is a finding,
whose files are in ``--out``. ``--store`` adds what was learnt to the stored corpus.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from campaign import MOST_GIB, Campaign, corpus_of, digest, write_corpus
from readers import READERS
from seeds import seeds_of


def _within(name: str, args: argparse.Namespace) -> None:
    """Fuzz one reader in this process; the last line of stdout is the result."""
    faulthandler.enable()
    reader = READERS[name]
    seeds = [*corpus_of(reader).values(), *seeds_of(name, reader.file)]
    if args.seeds:
        seeds += [path.read_bytes() for path in sorted((args.seeds / name).glob("*"))]
    folder = args.out / f"{name}.now"
    folder.mkdir(parents=True, exist_ok=True)
    # what is in use already, libraries mapped on import too, does not count
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + int(MOST_GIB * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    start = time.monotonic()
    campaign = Campaign(reader, seeds, folder, args.seed)
    before = len(campaign.seen)
    campaign.run(seconds=args.seconds, runs=args.runs)
    found = []
    for finding in campaign.findings.values():
        path = args.out / f"{name}-{digest(finding.data)}"
        path.write_bytes(finding.data)
        found.append({"what": finding.what, "where": finding.where, "file": str(path)})
    if args.store:
        of_now = [finding.data for finding in campaign.findings.values()]
        write_corpus(reader, campaign.smallest(), of_now)
    print(json.dumps({
        "reader": name, "runs": campaign.n_runs, "pairs": [before, len(campaign.seen)],
        "corpus": len(campaign.corpus), "seconds": round(time.monotonic() - start, 1),
        "findings": found,
    }))  # fmt: skip


def _beside(name: str, args: argparse.Namespace, rest: list[str]) -> dict[str, Any]:
    """Fuzz one reader in another process."""
    command = [sys.executable, __file__, name, "--within", *rest]
    limit = 3 * args.seconds + 120
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        what = ""
        try:
            out, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            what = f"no end within {limit:g} s"
            process.send_signal(signal.SIGABRT)  # faulthandler says where
            try:
                out, errors = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                out, errors = process.communicate()
    if not what and process.returncode == 0:
        return json.loads(out.splitlines()[-1])
    if process.returncode > 0:
        raise SystemExit(f"{name}: the campaign itself failed\n{errors}")
    what = what or f"crash: {signal.Signals(-process.returncode).name}"
    last = args.out / f"{name}.now" / READERS[name].file
    file = args.out / f"{name}-crash"
    file.write_bytes(last.read_bytes())
    found = [{"what": what, "where": _where(errors), "file": str(file)}]
    return {"reader": name, "runs": 0, "pairs": [0, 0], "corpus": 0, "seconds": 0.0,
            "findings": found}  # fmt: skip


def _where(errors: str) -> str:
    """Last line of refimpl in what faulthandler says of a process that was ended by a signal."""
    if "most recent call first" in errors and not re.search(r"in judge$|^  \.\.\.$", errors, re.M):
        return "the campaign itself, not a reader: the file is the one before"
    lines = re.findall(r'/refimpl/(\S+\.py)", line (\d+)', errors)
    return "refimpl/{}:{}".format(*lines[0]) if lines else "nowhere in refimpl"


def _show(result: dict[str, Any]) -> None:
    """Row of the table, and what was found."""
    pairs = "{} to {}".format(*result["pairs"])
    print(f"{result['reader']:42} {result['runs']:7} {pairs:>15} {result['corpus']:7} "
          f"{result['seconds']:6}  {len(result['findings'])}", flush=True)  # fmt: skip
    for finding in result["findings"]:
        print(f"    {finding['what']}\n        {finding['where']}  {finding['file']}", flush=True)


def main() -> int:
    """Fuzz the readers that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="readers; all without")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each reader")
    parser.add_argument("--jobs", type=int, default=1, help="readers at a time")
    parser.add_argument("--runs", type=int, default=None, help="files for each reader at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=Path, help="folder with a folder of files a reader")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "refimpl-fuzz")
    parser.add_argument("--store", action="store_true", help="add to the stored corpus")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--within", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.names) - READERS.keys():
        parser.error(f"unknown reader {sorted(unknown)[0]!r}: expected of {', '.join(READERS)}")
    if args.within:
        _within(args.names[0], args)
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    rest = [word for word in sys.argv[1:] if word not in args.names]
    print(f"{'reader':42} {'files':>7} {'pairs of lines':>15} {'corpus':>7} {'s':>6}  findings")
    results = []
    with ThreadPoolExecutor(max(args.jobs, 1)) as pool:
        for result in pool.map(lambda name: _beside(name, args, rest), args.names or READERS):
            results.append(result)
            _show(result)
    total = sum(result["runs"] for result in results)
    n_findings = sum(len(result["findings"]) for result in results)
    spent = sum(result["seconds"] for result in results) / 60
    print(f"{len(results)} readers, {total} files, {spent:.1f} min, {n_findings} findings")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 1 if n_findings else 0


if __name__ == "__main__":
    sys.exit(main())
