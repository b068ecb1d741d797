"""Blocks of work for the tests of running them, and what stands in the ledger."""

from __future__ import annotations

import json
from pathlib import Path

from refimpl.scaleout import Block

HERE = ("serial", "threads", "parsl")


def square(x: float) -> dict[str, float]:
    if x < 0:
        raise ValueError(f"x is\n{x}")
    return {"square": x * x / 7.0}


def blocks(n: int = 5) -> list[Block]:
    return [Block(f"b{i}", 0.1 * i, "v1") for i in range(n)]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(path: Path) -> list[tuple[str, str]]:
    return [(entry["key"], entry["status"]) for entry in lines(path) if "key" in entry]
