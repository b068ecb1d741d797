"""The twin test tests itself: a right twin passes, every wrong one is caught."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from refimpl.detector import tilted_flat
from refimpl.dispatch import REGISTRY, available_backends, twin
from refimpl.testing.strategies import STRATEGIES, Strategy, random_geometry, strategy
from refimpl.testing.twins import (
    LAYOUTS,
    check_layout,
    check_pair,
    describe_difference,
    import_rooms,
    make_arguments,
)

F64 = np.ndarray[Any, np.dtype[np.float64]]


def make(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {"x": rng.uniform(1.0, 2.0, n), "table": rng.uniform(1.0, 2.0, (n, 3))}


PLAIN = Strategy("fake_pair.combine", make)


@pytest.fixture
def fake() -> Iterator[Callable[..., Any]]:
    """Build a pair of a given kind whose compiled side is a Python function."""
    added: list[str] = []

    def build(
        compiled: Callable[..., Any],
        kind: str = "arithmetic",
        definition: Callable[..., Any] | None = None,
    ) -> Callable[..., Any]:
        def combine(x: F64, table: F64) -> tuple[F64, F64]:
            return x * table[:, 0] + table[:, 1], np.sqrt(table[:, 2])

        chosen = definition or combine
        chosen.__module__, chosen.__name__ = "refimpl.fake.fake_pair", "combine"
        wrapper = twin(kind, x="f8 n", table="f8 n,3")(chosen)  # type: ignore[arg-type]
        module = ModuleType("refimpl._ext.fake_pair")
        module.combine = compiled  # type: ignore[attr-defined]
        sys.modules["refimpl._ext.fake_pair"] = module
        added.append("fake_pair.combine")
        return wrapper

    yield build
    for key in added:
        REGISTRY.pop(key, None)
    sys.modules.pop("refimpl._ext.fake_pair", None)


def right(x: F64, table: F64, threads: int = 1) -> tuple[F64, F64]:
    return x * table[:, 0] + table[:, 1], np.sqrt(table[:, 2])


@pytest.mark.parametrize("n", [0, 1, 50])
def test_a_right_twin_passes(fake: Callable[..., Any], n: int) -> None:
    call = fake(right)
    for special in (False, True):
        arguments = make_arguments(call.pair, PLAIN, np.random.default_rng(n), n, special=special)
        check_pair(call, PLAIN, arguments)
        for layout in LAYOUTS:
            check_layout(call, arguments, layout)


def one_ulp(x: F64, table: F64, threads: int = 1) -> tuple[F64, F64]:
    a, b = right(x, table)
    return np.nextafter(a, np.inf), b


def swallows_nan(x: F64, table: F64, threads: int = 1) -> tuple[F64, F64]:
    a, b = right(x, table)
    return np.nan_to_num(a), b


def by_threads(x: F64, table: F64, threads: int = 1) -> tuple[F64, F64]:
    a, b = right(x, table)
    return (a if threads < 5 else np.nextafter(a, np.inf)), b


def one_output(x: F64, table: F64, threads: int = 1) -> F64:
    return right(x, table)[0]


def narrower(x: F64, table: F64, threads: int = 1) -> tuple[Any, F64]:
    a, b = right(x, table)
    return a.astype(np.float32), b


def shorter(x: F64, table: F64, threads: int = 1) -> tuple[F64, F64]:
    a, b = right(x, table)
    return a[:-1], b


def last_point_forgotten(x: F64, table: F64, threads: int = 1) -> tuple[F64, F64]:
    a, b = right(x, table)
    a[-1:] = 0.0
    return a, b


@pytest.mark.parametrize(
    ("compiled", "text"),
    [
        (one_ulp, "1.0 ulp"),
        (swallows_nan, "definition np.float64(nan), twin np.float64(0.0)"),
        (by_threads, "5 threads instead of 1: output 0 has other bits"),
        (one_output, "2 outputs, the twin has 1"),
        (narrower, "twin float32"),
        (shorter, r"twin float64(49,)"),
        (last_point_forgotten, "worst at (49,)"),
    ],
)
def test_a_wrong_twin_is_caught(fake: Callable[..., Any], compiled: Any, text: str) -> None:
    call = fake(compiled)
    arguments = make_arguments(call.pair, PLAIN, np.random.default_rng(3), 50, special=True)
    arguments["x"][-1] = 1.5
    with pytest.raises(AssertionError) as caught:
        check_pair(call, PLAIN, arguments)
    assert text in str(caught.value)


def test_kind_libm_allows_four_ulp_and_no_more(fake: Callable[..., Any]) -> None:
    def off_by(k: int) -> Callable[..., Any]:
        def compiled(x: F64, table: F64, threads: int = 1) -> tuple[F64, F64]:
            a, b = right(x, table)
            return a + k * np.spacing(a), b

        return compiled

    arguments = make(np.random.default_rng(1), 50)
    check_pair(fake(off_by(4), "libm"), PLAIN, arguments)
    with pytest.raises(AssertionError, match=r"5\.0 ulp"):
        check_pair(fake(off_by(5), "libm"), PLAIN, arguments)


def test_a_stated_scale_widens_the_bound_of_its_output_only(fake: Callable[..., Any]) -> None:
    def near_zero(x: F64, table: F64, threads: int = 1) -> tuple[F64, F64]:
        a, b = right(x, table)
        return a + 2.0 * np.spacing(1000.0), b

    scaled = Strategy("fake_pair.combine", make, scale=lambda _: [1000.0, None])
    arguments = make(np.random.default_rng(1), 50)
    check_pair(fake(near_zero, "libm"), scaled, arguments)
    with pytest.raises(AssertionError, match="output 0"):
        check_pair(fake(near_zero, "libm"), PLAIN, arguments)


def test_iterative_pairs_are_measured_in_standard_errors(fake: Callable[..., Any]) -> None:
    def off_by(k: float) -> Callable[..., Any]:
        def compiled(x: F64, table: F64, threads: int = 1) -> tuple[F64, F64]:
            a, b = right(x, table)
            return a + k, b

        return compiled

    errors = Strategy("fake_pair.combine", make, standard_errors=lambda _, out: [0.01, None])
    arguments = make(np.random.default_rng(1), 50)
    check_pair(fake(off_by(0.9e-8), "iterative"), errors, arguments)
    with pytest.raises(AssertionError, match="output 0"):
        check_pair(fake(off_by(1.1e-8), "iterative"), errors, arguments)
    with pytest.raises(AssertionError, match="its strategy states no standard errors"):
        check_pair(fake(right, "iterative"), PLAIN, arguments)


def test_a_twin_that_writes_into_its_arguments_is_caught(fake: Callable[..., Any]) -> None:
    def greedy(x: F64, table: F64, threads: int = 1) -> tuple[F64, F64]:
        out = right(x, table)
        if x.flags.writeable:
            x += 1.0
        return out

    arguments = make(np.random.default_rng(1), 50)
    with pytest.raises(AssertionError, match=r"changed its argument x|has other bits"):
        check_layout(fake(greedy), arguments, "strided")


def test_a_definition_that_depends_on_the_layout_is_caught(fake: Callable[..., Any]) -> None:
    calls = []

    def counting(x: F64, table: F64) -> tuple[F64, F64]:
        calls.append(1)
        return x + len(calls), np.sqrt(table[:, 2])

    call = fake(right, definition=counting)
    with pytest.raises(AssertionError, match=r"\(python\), fortran arguments: output 0"):
        check_layout(call, make(np.random.default_rng(1), 9), "fortran", backend="python")


def test_arguments_get_nan_special_angles_and_infinity(fake: Callable[..., Any]) -> None:
    arguments = make_arguments(
        fake(right).pair, PLAIN, np.random.default_rng(0), 1000, special=True
    )
    x = arguments["x"]
    assert np.isnan(x).any()
    assert np.isinf(x).any()
    assert (x == np.pi).any()
    assert (np.signbit(x) & (x == 0.0)).any()
    # about one element in eight is special: 125 of 1000, five standard deviations (10) either side
    assert 75 < 1000 - np.isin(x, make(np.random.default_rng(0), 1000)["x"]).sum() < 175


def test_a_strategy_may_choose_its_own_specials(fake: Callable[..., Any]) -> None:
    own = Strategy("fake_pair.combine", make, specials={"table": (-7.0,)})
    arguments = make_arguments(fake(right).pair, own, np.random.default_rng(0), 99, special=True)
    assert (arguments["table"] == -7.0).any()
    assert ((arguments["x"] >= 1.0) & (arguments["x"] <= 2.0)).all()


def test_integers_must_be_equal() -> None:
    a = np.array([1, 2, 3])
    assert describe_difference(a, a.copy(), 10.0, "labels") is None
    message = describe_difference(a, np.array([1, 2, 4]), 10.0, "labels")
    assert message is not None
    assert "labels: 1 of 3 elements differ, worst at (2,)" in message


def test_a_strategy_cannot_be_registered_twice() -> None:
    with pytest.raises(RuntimeError, match=r"two strategies are called tilted_flat\.ring_jacobian"):
        strategy("tilted_flat.ring_jacobian")(make)


def test_every_room_with_pairs_is_walked() -> None:
    names = import_rooms()
    assert "refimpl.detector.tilted_flat" in names
    assert not [name for name in names if name.startswith(("refimpl.cli", "refimpl._ext"))]


def test_random_geometry_breaks_every_symmetry() -> None:
    geometry, corrections = random_geometry(np.random.default_rng(5))
    for values in (geometry, corrections.ravel()):
        assert (values != 0.0).all()
        assert len(np.unique(values)) == len(values)


@pytest.mark.skipif("cython" not in available_backends(), reason="the twins are not compiled here")
@pytest.mark.parametrize("mutation", ["half a pixel", "sign of eta", "axes swapped", "tilt order"])
def test_a_mutated_real_kernel_is_caught(monkeypatch: pytest.MonkeyPatch, mutation: str) -> None:
    call = tilted_flat.ring_coordinates
    original = REGISTRY["tilted_flat.ring_coordinates"].compiled()

    def mutated(fast: F64, slow: F64, panel: Any, g: F64, corrections: F64, threads: int) -> Any:
        if mutation == "half a pixel":
            return original(fast + 0.5, slow, panel, g, corrections, threads=threads)
        if mutation == "axes swapped":
            return original(slow, fast, panel, g, corrections, threads=threads)
        if mutation == "tilt order":
            turned = g.copy()
            turned[[4, 5]] = g[[5, 4]]
            return original(fast, slow, panel, turned, corrections, threads=threads)
        radius, eta, untilted = original(fast, slow, panel, g, corrections, threads=threads)
        return radius, -eta, untilted

    module = sys.modules["refimpl._ext.tilted_flat"]
    monkeypatch.setattr(module, "ring_coordinates", mutated)
    chosen = STRATEGIES["tilted_flat.ring_coordinates"]
    with pytest.raises(AssertionError, match=r"tilted_flat\.ring_coordinates"):
        check_pair(call, chosen, chosen.make(np.random.default_rng(1), 20))
