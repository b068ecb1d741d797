"""Give every pair of definition and twin spoilt arguments: refused, or right, never out of bounds.

    python tests/sanitize/fuzz_twins.py                      # every pair
    python tests/sanitize/fuzz_twins.py ring_peaks.fit_ring_peaks --show

A case is refused where the twin raises an error of Python, right where it gives what the definition
gives, within the bounds of the twin test. Findings: the definition refuses and the twin does not;
both give, and differ; an error inside a loop; a wait; the death of the process. A pair is run in a
process of its own, which is forked again behind a case that killed it. Exit 1 with a finding.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import signal
import sys
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from spoil import spoilt

from refimpl.dispatch import REGISTRY
from refimpl.testing.strategies import STRATEGIES, Strategy
from refimpl.testing.twins import as_outputs, bounds_of, describe_difference, import_rooms, wrapped

WAIT_S = 8.0
"""Of a case that does not come back; a definition that waits, or lacks memory, gives no answer."""
MEMORY = 6 << 30
REFUSALS = (ValueError, TypeError, IndexError, OverflowError, MemoryError, ArithmeticError)

PROMISED = {
    "greedy_grains.greedy_labels": ("operators",),  # a group
    "overlap_spots.screen_spots": ("near", "margin_px"),  # made for the lit pixels
}
"""Arguments that the twin takes on trust: spoilt, they may change results, but lead nowhere."""

VERDICTS = (
    "right",
    "refused",
    "refused by the twin alone",
    "no answer",
    "promise broken",
    "FINDING",
)


def _given(call: Any, arguments: dict[str, Any], backend: str) -> Any:
    """Outputs, or the error that refused the arguments."""
    try:
        with np.errstate(all="ignore"):
            return as_outputs(call(**arguments, backend=backend, threads=2))
    except REFUSALS as error:
        return error


def judge(
    key: str, strategy: Strategy, arguments: dict[str, Any], pipe: Connection, is_promised: bool
) -> str:
    """Verdict on a case, with words where it is a finding."""
    call = wrapped(REGISTRY[key])
    unraised: list[str] = []
    sys.unraisablehook = lambda what: unraised.append(repr(what.exc_value))
    pipe.send("definition")
    expected = _given(call, arguments, "python")
    pipe.send("twin")
    actual = _given(call, arguments, "cython")
    if unraised:
        return f"FINDING: an error inside a loop: {unraised[0]}"
    if isinstance(actual, Exception):
        return "refused" if isinstance(expected, Exception) else "refused by the twin alone"
    if isinstance(expected, MemoryError):
        return "no answer"
    if isinstance(expected, Exception):
        return f"FINDING: only the definition refuses: {type(expected).__name__}: {expected}"
    if len(expected) != len(actual):
        return f"FINDING: {len(expected)} outputs, the twin has {len(actual)}"
    try:
        bounds = bounds_of(REGISTRY[key], strategy, arguments, expected)
    except REFUSALS:
        bounds = [0.0] * len(expected)
    for i, (e, a, bound) in enumerate(zip(expected, actual, bounds, strict=True)):
        if words := describe_difference(e, a, bound, f"output {i}"):
            return "promise broken" if is_promised else f"FINDING: {words}"
    return "right"


def work(key: str, sizes: list[int], skip: int, pipe: Connection) -> None:
    """Judge the cases of a pair from number ``skip`` on; runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    if "asan" not in open("/proc/self/maps").read():  # noqa: SIM115  # its shadow is terabytes
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    strategy, number = STRATEGIES[key], 0
    for n in sizes:
        rng = np.random.default_rng(n)
        for what, arguments in spoilt(REGISTRY[key], strategy.make(rng, n), rng):
            number += 1
            if number > skip:
                pipe.send((f"n={n}, {what}", number))
                try:
                    is_promised = what.startswith(PROMISED.get(key, ()))
                    verdict = judge(key, strategy, arguments, pipe, is_promised)
                except Exception as error:  # what no user should see
                    verdict = f"FINDING: {type(error).__name__}: {error}"
                pipe.send((verdict,))
    pipe.send(None)


def run_pair(key: str) -> tuple[Counter[str], list[str]]:
    """Counts of the verdicts on a pair and its findings."""
    sizes = [min(n, STRATEGIES[key].most) for n in (1, 20)]
    counts: Counter[str] = Counter()
    findings, number, context = [], 0, multiprocessing.get_context("fork")

    def note(case: str, verdict: str) -> None:
        counts[verdict.split(":")[0]] += 1
        if verdict.startswith("FINDING"):
            findings.append(f"{key}: {case}: {verdict.removeprefix('FINDING: ')}")

    while True:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(key, sizes, number, there), daemon=True)
        process.start()
        there.close()
        case, side = "start", "nothing"
        try:
            while here.poll(WAIT_S):
                message = here.recv()
                if message is None:
                    process.join()
                    return counts, findings
                if isinstance(message, str):
                    side = message
                elif len(message) == 2:
                    case, number = message
                else:
                    note(case, message[0])
            process.kill()
            note(
                case,
                "no answer" if side == "definition" else f"FINDING: the {side} waits",
            )
        except EOFError:
            process.join()
            note(case, f"FINDING: the {side} ends the process, status {process.exitcode}")
        if case == "start":
            return counts, findings


def in_words(counts: Counter[str]) -> str:
    """Return the counts on one line."""
    return ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Spoilt arguments for the twins.")
    parser.add_argument("pairs", nargs="*", help="as in the registry; all of them")
    parser.add_argument("--show", type=int, default=3, help="findings shown of each pair")
    options = parser.parse_args(arguments)
    import_rooms()
    total: Counter[str] = Counter()
    for key in options.pairs or sorted(set(REGISTRY) & set(STRATEGIES)):
        counts, findings = run_pair(key)
        total += counts
        print(f"{key:36} {in_words(counts)}")
        for line in findings[: options.show]:
            print(f"    {line[:300]}")
        sys.stdout.flush()
    print(f"{total.total()} cases: {in_words(total)}")
    return int(total["FINDING"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
