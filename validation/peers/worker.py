"""One task by one code, timed in that code's own interpreter; started by run.py through harness.

A module ``codes/<code>_peer.py`` has a function a task: it is given the arrays and settings, and
returns two functions, without arguments and with one: the work that is timed, and what makes named
arrays of its result, which is not timed. A quantity of the conformance kit is asked of the kit's
adapter of the code (``<code>_code``), or, of refimpl, of the definition in the kit. Here are NumPy
and the standard library only.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ADAPTERS = ROOT / "validation" / "conformance" / "adapters"
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(HERE), str(ADAPTERS)]
from harness import measure, serve
from process import peak_memory_mb


def task(module: str, name: str, given: dict[str, Any]) -> tuple[Any, Any]:
    """Return what does the work, and what makes named arrays of its result."""
    if module.endswith("_peer"):
        return getattr(importlib.import_module(f"codes.{module}"), name)(given)
    inputs = {k: v.item() if v.dtype.kind == "U" else v for k, v in given.items() if k != "threads"}
    if module == "kit":
        from refimpl.testing.conform_records import quantities

        record = quantities()[name]
        return lambda: record.expected(inputs), dict
    function = getattr(importlib.import_module(module), name)
    return lambda: function(**inputs), named


def named(result: Any) -> dict[str, Any]:
    """Arrays by name; without names by number."""
    if isinstance(result, dict):
        return result
    parts = result if isinstance(result, tuple) else (result,)
    return {str(i): part for i, part in enumerate(parts)}


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Run and time the task; the arrays of its result go to a file."""
    with np.load(request["arrays"]) as file:
        given: dict[str, Any] = dict(file)
    given |= request["settings"]
    run, unpack = task(request["module"], request["task"], given)
    kept: list[Any] = []

    def once() -> None:
        kept[:] = [run()]

    taken = measure(
        once, request["repeats"], window_s=request["window_s"], attempts=request["attempts"],
        warm_up=request["warm_up"],
    )  # fmt: skip
    np.savez(request["answer"], **unpack(kept[0]))
    versions = [importlib.metadata.version(name) for name in request["packages"]]
    return {"timings": {"run": taken}, "versions": versions, "memory_mb": peak_memory_mb()}


if __name__ == "__main__":
    serve(work)
