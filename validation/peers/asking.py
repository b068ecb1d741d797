"""Ask codes to do a task, each in a process of its own: ours in this interpreter, peers in theirs.

Every code gets the same arrays and the same number of threads, and is timed by the same lines
(worker.py), our own as well. What cannot be run says why.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness import Timing, peer

HERE = Path(__file__).parent
OURS = "refimpl"


@dataclass(frozen=True)
class Answer:
    """What a code made of a task.

    Attributes
    ----------
    code
        Its name and version.
    arrays
        Its result by name; empty where there is none.
    timing, memory_mb
        Of the task; None and 0 where there is no result.
    error
        Why there is no result, in one line; empty where there is one.
    """

    code: str
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    timing: Timing | None = None
    memory_mb: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Asker:
    """How to ask.

    Attributes
    ----------
    python
        Interpreter that has the peers.
    threads, repeats, attempts
        For every code: threads, least calls, attempts at a quiet machine.
    """

    python: str
    threads: int = 1
    repeats: int = 3
    attempts: int = 3

    def absent(self) -> dict[str, str]:
        """Return what pip could not install, by distribution in small letters, and why."""
        place = Path(self.python).absolute().parents[1] / "absent.json"
        if not place.is_file():
            return {}
        found = json.loads(place.read_text(encoding="utf-8"))
        return {re.split("[=<>]", line)[0].lower(): why for line, why in found.items()}

    def ask(
        self,
        code: str,
        task: str,
        arrays: Mapping[str, Any],
        *,
        module: str | None = None,
        packages: tuple[str, ...] = (),
        seconds: float = 600.0,
        warm_up: bool = True,
        window_s: float = 1.0,
        once: bool = False,
        **settings: Any,
    ) -> Answer:
        """Have one code do a task.

        Parameters
        ----------
        code, packages
            Its name in tables, and the distributions that it is in, of which the first gives the
            version (none: the name).
        task, module
            Function, and the module of ``codes/`` that it is in.
        arrays, settings
            What it is given.
        seconds
            It is ended after so long.
        warm_up, window_s
            As of harness.measure.
        once
            One call in one attempt, of what takes minutes.
        """
        ours = code.startswith(OURS)
        absent = {} if ours else self.absent()
        for name in packages or (code,):
            if name.lower() in absent:
                return Answer(code, error=f"not installed: {absent[name.lower()]}")
        with tempfile.TemporaryDirectory() as folder:
            given, answer = Path(folder, "given.npz"), Path(folder, "answer.npz")
            np.savez(given, **{k: np.asarray(v) for k, v in arrays.items()})
            request = {
                "module": module or f"{code.lower()}_peer", "packages": packages or (code,),
                "task": task, "arrays": str(given), "answer": str(answer),
                "settings": settings | {"threads": self.threads},
                "repeats": 1 if once else self.repeats, "window_s": window_s,
                "attempts": 1 if once else self.attempts, "warm_up": warm_up,
            }  # fmt: skip
            said = peer(
                HERE / "worker.py", request, python=sys.executable if ours else self.python,
                threads=self.threads, timeout_s=seconds,
            )  # fmt: skip
            if "error" in said and ours:
                raise SystemExit(f"{task}: refimpl: {said['error']}")
            if "error" in said:
                return Answer(code, error=_why(said["error"]))
            with np.load(answer) as file:
                found = dict(file)
        version = "" if ours else f" {said['versions'][0]}"
        return Answer(f"{code}{version}", found, said["timings"]["run"], said["memory_mb"])


def _why(error: str) -> str:
    """Words for an import that failed; other errors as they are, without paths of this machine."""
    missing = re.search(r"No module named '([^']+)'", error)
    if missing:
        return f"not installed: no module {missing[1]}"
    if "NotImplementedError" in error:
        return "not offered"
    late = re.search(r"timed out after ([\d.]+) seconds", error)
    if late:
        return f"no result after {float(late[1]):g} s"
    return re.sub(rf"(?:{re.escape(os.sep)}[\w.+-]+)+{re.escape(os.sep)}", "", error)[:200]
