"""Processes that a test has started, known by a mark in their environment; Linux only."""

from __future__ import annotations

import os
import time
from pathlib import Path

MARK = "REFIMPL_TEST_RUN"


def others(mark: str) -> dict[int, str]:
    """Numbers and command lines of the living processes that a test has started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # gone meanwhile, or not ours
            continue
        if mark.encode() in environment and int(folder.name) != os.getpid() and command:
            found[int(folder.name)] = command
    return found


def workers(mark: str) -> list[int]:
    """Numbers of Parsl's worker processes: those whose manager is one of its processes too."""
    pool = {n for n, command in others(mark).items() if "process_worker_pool" in command}
    found = []
    for number in sorted(pool):
        try:
            parent = int(Path(f"/proc/{number}/stat").read_text().rsplit(") ", 1)[1].split()[1])
        except OSError:
            continue
        if parent in pool:
            found.append(number)
    return found


def wait_for_none(mark: str, patience_s: float = 60.0) -> None:
    """Wait until no process of a test is there."""
    until = time.monotonic() + patience_s
    while others(mark) and time.monotonic() < until:
        time.sleep(0.1)
    assert others(mark) == {}
