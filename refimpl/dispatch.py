"""The one place that chooses between a definition and its compiled twin.

A definition is a NumPy function marked ``@twin`` in its domain room. Its twin has the same module
name, function name and arguments in ``refimpl/_ext``, plus ``threads``. The wrapper checks dtypes,
shapes and contiguity once for both sides. Choice: argument ``backend=``, then
:func:`use_backend`, then ``REFIMPL_BACKEND``, then ``auto``. Only ``auto`` falls back to the
definition, once, with a warning; a backend asked for by name is honoured or refused.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import BackendUnavailable, ConfigError

__all__ = [
    "BACKENDS",
    "REGISTRY",
    "Pair",
    "available_backends",
    "current_backend",
    "resolve_threads",
    "twin",
    "use_backend",
    "use_threads",
]

BACKENDS = ("python", "cython")
_CHOICES = ("auto", *BACKENDS)
_context: ContextVar[str | None] = ContextVar("refimpl_backend", default=None)
_threads: ContextVar[int | None] = ContextVar("refimpl_threads", default=None)
_warned = False

Kind = Literal["arithmetic", "libm", "iterative"]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Pair:
    """A definition and where its twin is.

    Attributes
    ----------
    definition
        The NumPy function; the specification.
    module, name
        ``refimpl._ext.<module>.<name>`` is the twin.
    kind
        What the twin test demands: ``arithmetic`` 0 ulp, ``libm`` 4 ulp, ``iterative`` 1e-6 of
        the standard error.
    arrays
        Argument name to (dtype, shape letters); equal letters mean equal lengths, a digit is a
        fixed length.
    """

    definition: Callable[..., Any]
    module: str
    name: str
    kind: Kind
    arrays: Mapping[str, tuple[str, tuple[str, ...]]]

    @property
    def key(self) -> str:
        """Name in the registry, ``module.function``."""
        return f"{self.module}.{self.name}"

    def compiled(self) -> Callable[..., Any]:
        """Return the twin, or raise :class:`~refimpl.errors.BackendUnavailable`."""
        try:
            module = importlib.import_module(f"refimpl._ext.{self.module}")
        except ImportError as exc:
            raise BackendUnavailable(
                f"backend 'cython': the twin of {self.key} is not compiled here ({exc}); "
                "install a C compiler and reinstall refimpl, or use backend 'python'"
            ) from exc
        return cast(Callable[..., Any], getattr(module, self.name))


REGISTRY: dict[str, Pair] = {}


def available_backends() -> tuple[str, ...]:
    """Backends that can run here; ``cython`` only if the twins are compiled."""
    try:
        importlib.import_module("refimpl._ext.build_info")
    except ImportError:
        return ("python",)
    return BACKENDS


def _checked(name: str, source: str) -> str:
    if name not in _CHOICES:
        raise ConfigError(
            f"{source}: unknown backend {name!r}: expected one of {', '.join(_CHOICES)}", got=name
        )
    return name


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Use one backend for every pair called inside the ``with`` block."""
    token = _context.set(_checked(name, "use_backend"))
    try:
        yield
    finally:
        _context.reset(token)


@contextmanager
def use_threads(threads: int) -> Iterator[None]:
    """Use so many threads inside the ``with`` block, where no number is stated."""
    token = _threads.set(resolve_threads(threads))
    try:
        yield
    finally:
        _threads.reset(token)


def current_backend(argument: str | None = None) -> str:
    """Backend that a call would use now: ``python`` or ``cython``."""
    global _warned
    if argument is not None:
        choice = _checked(argument, "backend")
    elif (in_context := _context.get()) is not None:
        choice = in_context
    else:
        choice = _checked(os.environ.get("REFIMPL_BACKEND", "auto"), "REFIMPL_BACKEND")
    if choice != "auto":
        return choice
    if "cython" in available_backends():
        return "cython"
    if not _warned:
        _warned = True
        warnings.warn(
            "refimpl's compiled twins are not available: using the NumPy definitions, "
            "which give the same results and are 10 to 1000 times slower",
            RuntimeWarning,
            stacklevel=3,
        )
    return "python"


def resolve_threads(threads: int | None = None) -> int:
    """Number of threads to use.

    ``None`` means those of :func:`use_threads`, else OMP_NUM_THREADS if set, else the CPUs this
    process may run on. A negative number counts back from these, -1 being all of them
    (scikit-learn's rule).

    Raises
    ------
    ConfigError
        ``threads`` is 0, or OMP_NUM_THREADS is not a positive number.
    """
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:  # macOS, Windows
        cpus = os.cpu_count() or 1
    if threads is None:
        if (stated := _threads.get()) is not None:
            return stated
        value = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        if not value:
            return cpus
        if not value.isdecimal() or int(value) == 0:
            raise ConfigError(f"OMP_NUM_THREADS={value!r}: expected a positive number")
        return int(value)
    if threads == 0:
        raise ConfigError("threads=0: expected a positive number, or a negative one to count back")
    return threads if threads > 0 else max(1, cpus + 1 + threads)


def _as_checked_array(
    key: str, name: str, value: Any, dtype: str, letters: tuple[str, ...], sizes: dict[str, int]
) -> NDArray[Any]:
    array = np.ascontiguousarray(value, dtype=dtype)
    if np.ndim(value) != len(letters):
        raise ConfigError(
            f"{key}: {name} has shape {np.shape(value)}: expected ({', '.join(letters)})"
        )
    for axis, letter in enumerate(letters):
        expected = (
            int(letter) if letter.isdecimal() else sizes.setdefault(letter, array.shape[axis])
        )
        if array.shape[axis] != expected:
            raise ConfigError(
                f"{key}: {name} has shape {array.shape}: "
                f"axis {axis} ({letter}) should be {expected}"
            )
    return array


def _named(check: Callable[..., None] | None, definition: Callable[..., Any]) -> list[str]:
    """Arguments of a definition that its check names; defaults of the check stand for others."""
    if check is None:
        return []
    taken = inspect.signature(definition).parameters
    asked = inspect.signature(check).parameters
    for name, parameter in asked.items():
        if name not in taken and parameter.default is parameter.empty:
            names = f"{check.__name__} checks {name!r}, which {definition.__name__}"
            raise TypeError(f"{names} does not take")
    return [name for name in asked if name in taken]


def twin(
    kind: Kind, *, check: Callable[..., None] | None = None, **arrays: str
) -> Callable[[F], F]:
    """Mark a NumPy function as the definition of a pair.

    Parameters
    ----------
    kind
        Bound between the twins, see :class:`Pair`.
    check
        Called before either side with those of the arguments that it names: raises where the
        numbers are wrong in ways that shapes cannot tell, such as an index out of bounds.
    **arrays
        For each array argument ``"dtype shape"``, for instance ``"f8 n,3"``; it is converted to a
        C-contiguous array of that dtype and its shape is checked against the letters.
    """
    specs = {
        name: (spec.split()[0], tuple(spec.split()[1].split(","))) for name, spec in arrays.items()
    }

    def mark(definition: F) -> F:
        module = definition.__module__.rsplit(".", 1)[-1]
        pair = Pair(definition, module, definition.__name__, kind, specs)
        if (
            pair.key in REGISTRY
            and REGISTRY[pair.key].definition.__module__ != definition.__module__
        ):
            raise RuntimeError(f"two pairs are called {pair.key}: module names of twins are unique")
        REGISTRY[pair.key] = pair
        signature = inspect.signature(definition)
        wanted = _named(check, definition)

        @functools.wraps(definition)
        def call(
            *args: Any, backend: str | None = None, threads: int | None = None, **kwargs: Any
        ) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            sizes: dict[str, int] = {}
            for name, (dtype, letters) in specs.items():
                if bound.arguments[name] is None and signature.parameters[name].default is None:
                    continue  # an optional array that was not given
                bound.arguments[name] = _as_checked_array(
                    pair.key, name, bound.arguments[name], dtype, letters, sizes
                )
            if check is not None:
                check(**{name: bound.arguments[name] for name in wanted})
            if current_backend(backend) == "python":
                return definition(*bound.args, **bound.kwargs)
            return pair.compiled()(*bound.args, **bound.kwargs, threads=resolve_threads(threads))

        call.pair = pair  # type: ignore[attr-defined]
        return cast(F, call)

    return mark
