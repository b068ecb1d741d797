"""Quantities of the kit about nets that count reflections: what they are taught."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.centring.targets import fit_target
from refimpl.testing.conform_records import Array, Inputs, Output, Quantity, quantity, rng_of

__all__: list[str] = []

_DOUBLE = "double precision"


def _targets(**given: Any) -> Inputs:
    target = fit_target(given["name"], given["training_count"])
    value = target.apply(given["count"])
    return {
        "mean": target.mean, "deviation": target.deviation, "value": value,
        "back": target.invert(value),
    }  # fmt: skip


def _target_cases() -> Iterator[tuple[str, Inputs]]:
    name = "centring_targets"

    def one(rng: np.random.Generator, target: str) -> Inputs:
        training = np.floor(rng.exponential(150.0, 50)) + rng.integers(0, 4)
        count = np.floor(rng.exponential(150.0, 12)) + 5.0
        return {"name": target, "training_count": training, "count": count}

    words = ("vanilla", "log", "log_first", "slog", "tanh")
    for j, target in enumerate(words):
        yield f"ordinary-{target}", one(rng_of(name, 1000 + j), target)
    literal = one(rng_of(name, 1010), "log_literal")
    literal["count"] = literal["count"] + float(literal["training_count"].max())
    yield "ordinary-log_literal", literal
    below = one(rng_of(name, 1011), "log")
    below["training_count"] = below["training_count"] + 60.0
    yield "edge-below-the-least", below
    yield "edge-no-reflections", one(rng_of(name, 1012), "slog") | {"count": np.array([0.0, 1.0])}
    for k in range(3):
        rng = rng_of(name, k)
        yield f"random-{k:03d}", one(rng, str(rng.choice(words[:4])))


quantity(Quantity(
    "centring_targets", "what a net is taught in place of a reflection count, and the way back",
    "refimpl.centring.targets.Target",
    (Array("name", "1", "", "vanilla, log, log_literal, log_first, slog or tanh", "str"),
     Array("training_count", "1", "m", "counts of the training set"),
     Array("count", "1", "n", "counts to transform")),
    (Output("mean", "1", "", "of the training set; log_first: of log(1 + count)", atol=1e-10,
            why=_DOUBLE),
     Output("deviation", "1", "", "standard deviation, divisor m", atol=1e-10, why=_DOUBLE),
     Output("value", "1", "n", "targets", atol=1e-11, why=_DOUBLE),
     Output("back", "1", "n", "counts from the targets", atol=1e-4,
            why="artanh of a tanh near 1 keeps few digits")),
    _targets, _target_cases,
    "z = (count - mean) / deviation. vanilla: z; tanh: tanh z; slog: sign(z) log(1 + |z|); "
    "log_literal: log z; log: log(1 + max(count - least, 0) / deviation), least that of the "
    "training set; log_first: (log(1 + count) - mean) / deviation.",
))  # fmt: skip
