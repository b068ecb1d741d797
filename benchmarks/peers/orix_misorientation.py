"""orix on random pairs; run by benchmarks/nearfield_misorientation.py in orix's Python."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import measure, serve

GROUPS = {
    "-1": "C1", "2/m": "C2", "mmm": "D2", "4/m": "C4", "4/mmm": "D4", "-3": "C3", "-31m": "D3",
    "-3m1": "D3", "6/m": "C6", "6/mmm": "D6", "m-3": "T", "m-3m": "O",
}  # fmt: skip


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Time ``angle_with`` in each class."""
    try:
        from orix.quaternion import Orientation, symmetry
    except ImportError:
        return {"error": "orix: not importable here (--peer-python names an interpreter)"}
    q = np.random.default_rng(request["seed"]).normal(size=(2, request["pairs"], 4))
    timings = {}
    for name in request["classes"]:
        group = getattr(symmetry, GROUPS[name])
        one, two = (Orientation(v, symmetry=group) for v in q)
        timings[name] = measure(lambda a=one, b=two: a.angle_with(b), 2, attempts=1)
    return {"timings": timings}


if __name__ == "__main__":
    serve(work)
