"""Targets crystal by crystal: ranks, and parts of the most."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.centring.targets import PER_CRYSTAL, TARGETS, Target, alike, fit_target
from refimpl.errors import ConfigError

COUNT = np.array([10.0, 400.0, 200.0, 2000.0, 1000.0, 0.0, 3.0, 200.0])
CRYSTAL = np.array(["a", "a", "a", "b", "b", "none", "none", "a"])


def test_by_hand() -> None:
    # a: ranks 1, 4, 2.5 and 2.5 of 4; b: 2 and 1 of 2; the third never reaches a hit
    want = [0.125, 0.875, 0.5, 0.75, 0.25, 0.0, 0.0, 0.5]
    np.testing.assert_allclose(alike(COUNT, CRYSTAL, "rank"), want)
    want = [0.025, 1.0, 0.5, 1.0, 0.5, 0.0, 0.03, 0.5]
    np.testing.assert_allclose(alike(COUNT, CRYSTAL, "most"), want)


@pytest.mark.parametrize("how", PER_CRYSTAL)
@pytest.mark.parametrize("name", [n for n in TARGETS if n != "log_literal"])
def test_a_target_keeps_what_it_is_and_has_no_way_back(how: str, name: str) -> None:
    target = fit_target(name, COUNT, CRYSTAL, per_crystal=how)
    assert Target(**json.loads(json.dumps(target.as_dict()))) == target
    assert not target.is_invertible
    want = fit_target(name, alike(COUNT, CRYSTAL, how)).apply(alike(COUNT, CRYSTAL, how))
    np.testing.assert_allclose(target.apply(COUNT, CRYSTAL), want)
    with pytest.raises(ConfigError, match=f"{name} by {how} per crystal: there is no way back"):
        target.invert([0.1])
    with pytest.raises(ConfigError, match="needs the crystal of each count"):
        target.apply(COUNT)


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3000)), min_size=1, max_size=40),
    seed=st.integers(0, 99), factor=st.floats(1.0, 50.0),
)  # fmt: skip
def test_order_within_a_crystal_is_kept_and_rows_do_not_matter(
    rows: list[tuple[int, int]], seed: int, factor: float
) -> None:
    crystal = np.array([f"c{k}" for k, _ in rows])
    count = np.array([float(n) for _, n in rows])
    order = np.random.default_rng(seed).permutation(len(rows))
    for how in PER_CRYSTAL:
        got = alike(count, crystal, how)
        assert ((got >= 0.0) & (got <= 1.0)).all()
        np.testing.assert_array_equal(alike(count[order], crystal[order], how), got[order])
        for name in np.unique(crystal):
            own = crystal == name
            by_count = got[own][np.argsort(count[own], kind="stable")]
            assert (np.diff(by_count) >= 0.0).all()
            if count[own].max() >= 100.0:  # one that diffracts better is not another one
                better = np.where(own, factor * count, count)
                np.testing.assert_allclose(alike(better, crystal, how), got, rtol=1e-12)


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="target per crystal 'half': expected rank or most"):
        fit_target("tanh", COUNT, CRYSTAL, per_crystal="half")
    with pytest.raises(ConfigError, match="target per crystal 'half'"):
        Target("tanh", 0.0, 1.0, 0.0, "half")
    with pytest.raises(ConfigError, match="needs the crystal of each count"):
        fit_target("tanh", COUNT, per_crystal="rank")
    with pytest.raises(ConfigError, match="2 crystals for 8 counts"):
        alike(COUNT, CRYSTAL[:2], "rank")
    with pytest.raises(ConfigError, match="all counts are equal"):
        fit_target("tanh", COUNT[5:7], CRYSTAL[5:7], per_crystal="rank")
