"""Every pair in the registry: definition against compiled twin."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import _ext
from refimpl.dispatch import BACKENDS, REGISTRY, available_backends
from refimpl.testing.strategies import STRATEGIES
from refimpl.testing.twins import (
    LAYOUTS,
    check_layout,
    check_pair,
    import_rooms,
    make_arguments,
    wrapped,
)

import_rooms()
PAIRS = sorted(key for key, p in REGISTRY.items() if p.definition.__module__.startswith("refimpl."))
READY = [key for key in PAIRS if key in STRATEGIES]  # the others fail in a test of their own
SIZES = [(key, n) for key in READY for n in (0, 1, *STRATEGIES[key].edges)]

compiled = pytest.mark.skipif(
    "cython" not in available_backends(), reason="the twins are not compiled here"
)


def test_expected_backends_are_here() -> None:
    """REFIMPL_EXPECT=python,cython makes a build without twins a failure, not a silent pass."""
    expected = os.environ.get("REFIMPL_EXPECT", "python").split(",")
    assert set(expected) <= set(BACKENDS), f"REFIMPL_EXPECT names unknown backends: {expected}"
    missing = set(expected) - set(available_backends())
    assert not missing, f"expected backends are not available here: {sorted(missing)}"


def test_the_registry_is_not_empty() -> None:
    assert PAIRS


def test_every_pair_has_a_strategy_and_every_strategy_a_pair() -> None:
    assert sorted(STRATEGIES) == PAIRS, (
        "refimpl/testing/strategies.py and the registry of pairs disagree; "
        f"without strategy: {sorted(set(PAIRS) - set(STRATEGIES))}; "
        f"without pair: {sorted(set(STRATEGIES) - set(PAIRS))}"
    )


@compiled
@pytest.mark.parametrize("key", PAIRS)
def test_the_twin_is_compiled(key: str) -> None:
    assert callable(REGISTRY[key].compiled())


@compiled
@pytest.mark.parametrize(("key", "n"), SIZES)
def test_sizes_and_threads(key: str, n: int) -> None:
    pair, strategy = REGISTRY[key], STRATEGIES[key]
    for special in (False, True):
        arguments = make_arguments(pair, strategy, np.random.default_rng(n), n, special=special)
        check_pair(wrapped(pair), strategy, arguments, case=f"n={n}, special={special}")


@compiled
@pytest.mark.parametrize("key", READY)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 64), special=st.booleans())
def test_random_arguments(key: str, seed: int, n: int, special: bool) -> None:
    pair, strategy = REGISTRY[key], STRATEGIES[key]
    n = min(n, strategy.most)
    arguments = make_arguments(pair, strategy, np.random.default_rng(seed), n, special=special)
    check_pair(wrapped(pair), strategy, arguments, case=f"seed={seed}, n={n}, special={special}")


@compiled
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("key", READY)
def test_layouts(key: str, layout: str, backend: str) -> None:
    pair, strategy = REGISTRY[key], STRATEGIES[key]
    arguments = make_arguments(
        pair, strategy, np.random.default_rng(7), min(33, strategy.most), special=True
    )
    check_layout(wrapped(pair), arguments, layout, backend=backend)


def test_the_edges_are_those_of_the_twins() -> None:
    """A strategy that does not know where its twin goes parallel tests one thread only."""
    for key in READY:
        text = (Path(_ext.__file__).parent / f"{REGISTRY[key].module}.pyx").read_text()
        for serial in re.findall(r"^cdef int SERIAL = (\d+)", text, re.MULTILINE):
            largest = max(STRATEGIES[key].edges)
            points = STRATEGIES[key].make(np.random.default_rng(0), largest)
            assert max(np.size(v) for v in points.values()) > int(serial), (
                f"{key}: goes parallel above {serial}, its strategy stops at {largest}"
            )
