"""Which lines of a package a call runs, in which order: pairs of lines, by ``sys.settrace``.

A pair of lines says more than a line: that a branch was taken from here and not from there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

__all__ = ["Coverage"]


class Coverage:
    """Pairs of lines of some packages, since the last :meth:`take`."""

    def __init__(self, packages: Iterable[str]) -> None:
        self._marks = tuple(f"/{name}/" for name in packages)
        self._codes: dict[CodeType, int] = {}  # 0: of another package
        self._pairs: set[tuple[int, int, int]] = set()

    def _number(self, code: CodeType) -> int:
        if code not in self._codes:
            name = Path(code.co_filename).as_posix()
            ours = any(mark in name for mark in self._marks)
            self._codes[code] = len(self._codes) + 1 if ours else 0
        return self._codes[code]

    def _enter(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        number = self._number(frame.f_code)
        if not number:
            return None
        before, pairs = 0, self._pairs

        def line(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
            nonlocal before
            if event == "line":
                pairs.add((number, before, frame.f_lineno))
                before = frame.f_lineno
            return line

        return line

    def run(self, call: Callable[[], Any]) -> Any:
        """Call with the tracer on."""
        sys.settrace(self._enter)
        try:
            return call()
        finally:
            sys.settrace(None)

    def take(self) -> set[tuple[int, int, int]]:
        """Pairs since the last time."""
        pairs, self._pairs = self._pairs, set()
        return pairs
