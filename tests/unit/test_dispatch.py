"""Choice of backend, threads, the argument checks: every branch and every message."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from refimpl import dispatch
from refimpl.dispatch import REGISTRY, resolve_threads, twin, use_backend, use_threads
from refimpl.errors import BackendUnavailable, ConfigError

F64 = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFIMPL_BACKEND", raising=False)
    monkeypatch.setattr(dispatch, "_warned", False)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "available_backends", lambda: ("python", "cython"))


@pytest.fixture
def not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "available_backends", lambda: ("python",))


@pytest.fixture
def pair() -> Iterator[Callable[..., Any]]:
    """A pair that tells which side ran; the "compiled" side is a Python function."""

    def scale(points: F64, centre: F64, factor: float = 2.0) -> tuple[str, F64, F64]:
        """Definition."""
        return "python", points, centre * factor

    scale.__module__ = "refimpl.fake.fake_scale"
    wrapper = twin("arithmetic", points="f8 n,3", centre="f8 3")(scale)
    module = ModuleType("refimpl._ext.fake_scale")
    module.scale = lambda points, centre, factor, threads: (  # type: ignore[attr-defined]
        f"cython {threads}",
        points,
        centre * factor,
    )
    sys.modules["refimpl._ext.fake_scale"] = module
    yield wrapper
    REGISTRY.pop("fake_scale.scale", None)
    sys.modules.pop("refimpl._ext.fake_scale", None)


POINTS, CENTRE = np.ones((4, 3)), np.arange(3.0)


# --- choice of backend ----------------------------------------------------------------------------


def test_argument_beats_context_beats_environment(
    compiled: None, pair: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFIMPL_BACKEND", "python")
    assert pair(POINTS, CENTRE)[0] == "python"
    with use_backend("cython"):
        assert pair(POINTS, CENTRE, threads=3)[0] == "cython 3"
        assert pair(POINTS, CENTRE, backend="python")[0] == "python"
        with use_backend("python"):
            assert pair(POINTS, CENTRE)[0] == "python"
        assert pair(POINTS, CENTRE, threads=3)[0] == "cython 3"
    assert pair(POINTS, CENTRE)[0] == "python"


def test_context_is_left_even_after_an_error(compiled: None) -> None:
    with pytest.raises(ZeroDivisionError), use_backend("python"):
        raise ZeroDivisionError
    assert dispatch.current_backend() == "cython"


def test_context_belongs_to_its_thread(compiled: None) -> None:
    with use_backend("python"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(dispatch.current_backend).result() == "cython"
        assert dispatch.current_backend() == "python"


def test_auto_takes_the_twin(compiled: None) -> None:
    assert dispatch.current_backend() == "cython"
    assert dispatch.current_backend("auto") == "cython"


def test_auto_falls_back_with_one_warning(not_compiled: None) -> None:
    with pytest.warns(RuntimeWarning, match="compiled twins are not available"):
        assert dispatch.current_backend() == "python"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dispatch.current_backend() == "python"


def test_a_named_backend_never_falls_back(not_compiled: None, pair: Callable[..., Any]) -> None:
    del sys.modules["refimpl._ext.fake_scale"]
    with pytest.raises(BackendUnavailable) as caught:
        pair(POINTS, CENTRE, backend="cython")
    text = str(caught.value)
    assert text.startswith("backend 'cython': the twin of fake_scale.scale is not compiled here (")
    assert text.endswith("install a C compiler and reinstall refimpl, or use backend 'python'")


@pytest.mark.parametrize("source", ["backend", "use_backend", "REFIMPL_BACKEND"])
def test_an_unknown_backend_is_refused(
    source: str, pair: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def enter() -> None:
        with use_backend("cuda"):
            pass

    if source == "REFIMPL_BACKEND":
        monkeypatch.setenv("REFIMPL_BACKEND", "cuda")
    attempt = {
        "backend": lambda: pair(POINTS, CENTRE, backend="cuda"),
        "use_backend": enter,
        "REFIMPL_BACKEND": lambda: pair(POINTS, CENTRE),
    }[source]
    message = rf"^{source}: unknown backend 'cuda': expected one of auto, python, cython$"
    with pytest.raises(ConfigError, match=message) as caught:
        attempt()
    assert caught.value.got == "cuda"


def test_available_backends_follows_what_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "refimpl._ext.build_info", ModuleType("build_info"))
    assert dispatch.available_backends() == ("python", "cython")
    monkeypatch.setitem(sys.modules, "refimpl._ext.build_info", None)
    assert dispatch.available_backends() == ("python",)


@pytest.mark.skipif("cython" not in dispatch.available_backends(), reason="twins not compiled here")
def test_the_function_object_that_runs_is_the_named_one() -> None:
    """A backend that is listed but never runs would pass every comparison with itself."""
    pair = dispatch.REGISTRY.get("tilted_flat.ring_coordinates")
    if pair is None:
        from refimpl.detector import tilted_flat

        pair = tilted_flat.ring_coordinates.pair  # type: ignore[attr-defined]
    assert type(pair.compiled()).__name__ == "cython_function_or_method"
    assert type(pair.definition).__name__ == "function"


# --- threads --------------------------------------------------------------------------------------


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("asked", "given"), [(None, 8), (1, 1), (5, 5), (20, 20), (-1, 8), (-2, 7), (-8, 1), (-99, 1)]
)
def test_number_of_threads(eight_cpus: None, asked: int | None, given: int) -> None:
    assert resolve_threads(asked) == given


def test_without_affinity_the_cpu_count_serves(
    eight_cpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert resolve_threads() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert resolve_threads() == 1


@pytest.mark.parametrize(("value", "given"), [("3", 3), ("4,2", 4), (" 2 ", 2), ("", 8)])
def test_omp_num_threads_is_the_default(
    eight_cpus: None, monkeypatch: pytest.MonkeyPatch, value: str, given: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert resolve_threads() == given
    assert resolve_threads(7) == 7  # an argument beats the environment


@pytest.mark.parametrize("value", ["0", "many", "-1", "1.5"])
def test_a_bad_omp_num_threads_is_refused(
    eight_cpus: None, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    with pytest.raises(ConfigError, match=rf"^OMP_NUM_THREADS='{value}': expected a positive"):
        resolve_threads()


def test_zero_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^threads=0: expected a positive number, or a negative"):
        resolve_threads(0)


# --- argument checks ------------------------------------------------------------------------------


def test_arguments_are_made_contiguous_float64(pair: Callable[..., Any]) -> None:
    points = np.ones((3, 8), dtype=np.float32).T[::2]
    _, seen, centre = pair(points, [1, 2, 3], backend="python")
    assert seen.dtype == np.float64
    assert seen.flags.c_contiguous
    np.testing.assert_array_equal(seen, points)
    np.testing.assert_array_equal(centre, [2.0, 4.0, 6.0])


def test_defaults_and_keywords_reach_both_sides(compiled: None, pair: Callable[..., Any]) -> None:
    for backend in ("python", "cython"):
        np.testing.assert_array_equal(pair(POINTS, CENTRE, backend=backend)[2], 2.0 * CENTRE)
        result = pair(centre=CENTRE, points=POINTS, factor=3.0, backend=backend)
        np.testing.assert_array_equal(result[2], 3.0 * CENTRE)


@pytest.mark.parametrize("backend", ["python", "cython"])
@pytest.mark.parametrize(
    ("points", "centre", "text"),
    [
        (np.ones(3), CENTRE, r"fake_scale.scale: points has shape (3,): expected (n, 3)"),
        (np.ones((4, 2)), CENTRE, "points has shape (4, 2): axis 1 (3) should be 3"),
        (POINTS, np.ones(4), "centre has shape (4,): axis 0 (3) should be 3"),
        (POINTS, 1.0, "centre has shape (): expected (3)"),
    ],
)
def test_shapes_are_checked_for_both_sides(
    pair: Callable[..., Any], backend: str, points: Any, centre: Any, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        pair(points, centre, backend=backend)
    assert text in str(caught.value)


def test_equal_letters_mean_equal_lengths() -> None:
    def add(a: F64, b: F64) -> F64:
        return a + b

    add.__module__ = "refimpl.fake.fake_add"
    call = twin("arithmetic", a="f8 n", b="f8 n")(add)
    try:
        with pytest.raises(ConfigError, match=r"b has shape \(4,\): axis 0 \(n\) should be 3"):
            call(np.ones(3), np.ones(4), backend="python")  # type: ignore[call-arg]
    finally:
        REGISTRY.pop("fake_add.add")


def test_wrong_arguments_are_an_ordinary_type_error(pair: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'centre'"):
        pair(POINTS)


def test_a_check_gets_the_arguments_that_it_names(pair: Callable[..., Any]) -> None:
    def scale(points: F64, centre: F64, factor: float = 2.0) -> F64:
        return points * factor

    def check(factor: float, points: F64, most: float = 3.0) -> None:
        assert points.dtype == np.float64  # converted already
        if factor > most:
            raise ConfigError(f"factor = {factor}")

    scale.__module__ = "refimpl.fake.fake_scale"
    checked = twin("arithmetic", check=check, points="f8 n,3", centre="f8 3")(scale)
    assert checked([[1, 2, 3]], CENTRE, backend="python").tolist() == [[2.0, 4.0, 6.0]]
    with pytest.raises(ConfigError, match=r"factor = 4\.0"):
        checked(POINTS, CENTRE, 4.0)

    def mistaken(multiple: float) -> None: ...

    with pytest.raises(TypeError, match="mistaken checks 'multiple', which scale does not take"):
        twin("arithmetic", check=mistaken, points="f8 n,3", centre="f8 3")(scale)


# --- registry -------------------------------------------------------------------------------------


def test_the_pair_is_registered_and_documented(pair: Callable[..., Any]) -> None:
    entry = REGISTRY["fake_scale.scale"]
    assert pair.pair is entry  # type: ignore[attr-defined]
    assert entry.key == "fake_scale.scale"
    assert entry.kind == "arithmetic"
    assert entry.arrays == {"points": ("f8", ("n", "3")), "centre": ("f8", ("3",))}
    assert pair.__doc__ == "Definition."


def test_module_names_of_twins_are_unique(pair: Callable[..., Any]) -> None:
    def scale(points: F64) -> F64:
        return points

    scale.__module__ = "refimpl.elsewhere.fake_scale"
    with pytest.raises(RuntimeError, match=r"two pairs are called fake_scale\.scale: module names"):
        twin("arithmetic", points="f8 n")(scale)


def test_a_module_may_be_reloaded(pair: Callable[..., Any]) -> None:
    def scale(points: F64) -> F64:
        return points

    scale.__module__ = "refimpl.fake.fake_scale"
    twin("libm", points="f8 n")(scale)
    assert REGISTRY["fake_scale.scale"].kind == "libm"


def test_fallback_warning_points_at_the_user() -> None:
    """In a process without twins a call warns once, whatever the number of calls."""
    code = (
        "import sys; sys.modules['refimpl._ext.build_info'] = None\n"
        "import refimpl.dispatch as d\n"
        "print(d.available_backends(), d.current_backend(), d.current_backend())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["('python',)", "python", "python"]
    assert done.stderr.count("RuntimeWarning") == 1


def test_use_threads_where_no_number_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    with use_threads(2):
        assert resolve_threads() == 2
        assert resolve_threads(3) == 3
        with use_threads(1), ThreadPoolExecutor(1) as pool:
            assert resolve_threads() == 1
            assert pool.submit(resolve_threads).result() == 5  # another thread has its own
        assert resolve_threads() == 2
    assert resolve_threads() == 5
    with pytest.raises(ConfigError, match="threads=0"), use_threads(0):
        pass
