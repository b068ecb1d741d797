"""The step of Adam in one cycle: its shape, and runs that go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")

from refimpl.centring.callbacks import one_cycle  # noqa: E402
from refimpl.centring.samples import Samples  # noqa: E402
from refimpl.centring.splits import split_crystals  # noqa: E402
from refimpl.centring.training import TrainingSettings, train  # noqa: E402
from refimpl.errors import ConfigError  # noqa: E402

CYCLE = TrainingSettings(epochs=4, patience=9, schedule="one-cycle")


class Stopped(Exception):
    """As if the run were ended from outside."""


def test_the_cycle_rises_and_falls() -> None:
    steps = [one_cycle(share) for share in np.linspace(0.0, 1.0, 11)]
    assert steps[0] == pytest.approx(0.04)
    assert steps[3] == pytest.approx(1.0)
    assert steps[10] == pytest.approx(0.0)
    assert np.diff(steps[:4]).min() > 0.0
    assert np.diff(steps[3:]).max() < 0.0


def test_a_cycle_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    images, crystal = rng.normal(size=(60, 16, 16)), rng.integers(0, 12, 60).astype(str)
    samples = Samples.of(images, rng.poisson(50.0 * images[:, 8, 8] ** 2), crystal)
    split = split_crystals(crystal.tolist(), samples.count)

    def stop(epoch: int, row: dict[str, float]) -> None:
        if epoch == 2:
            raise Stopped

    def weights(net: Any) -> list[bytes]:
        return [v.numpy().tobytes() for v in net.state_dict().values()]

    straight = train(samples, split, CYCLE)
    with pytest.raises(Stopped):
        train(samples, split, CYCLE, folder=tmp_path, progress=stop)
    with pytest.raises(ConfigError, match="the run began with epochs 4, not 5: go on with the"):
        train(samples, split, replace(CYCLE, epochs=5), folder=tmp_path, resume=True)
    on = train(samples, split, CYCLE, folder=tmp_path, resume=True)
    assert weights(on.net) == weights(straight.net)
    assert on.history == straight.history
    steps = [row["lr"] for row in on.history]
    assert max(steps) == steps[1]
    assert steps[3] < 0.2 * steps[2]


def test_one_rule_for_the_step() -> None:
    with pytest.raises(ConfigError, match="plateau 2 with the schedule one-cycle"):
        replace(CYCLE, plateau=2)
    with pytest.raises(ConfigError, match="schedule 'up': expected one of constant, one-cycle"):
        replace(CYCLE, schedule="up")
