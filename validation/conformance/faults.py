"""Seeded faults: what the kit must catch in a code under test, one at a time.

``faults.toml`` is the table: where a fault is (a function or a constant of refimpl that the
definitions go through), which text of its source becomes which other text, and which quantities
are wrong by it: exactly those must fail. A fault that nobody catches is a case that the vectors
lack. The definitions are under test, not their compiled twins: ``use_backend("python")``.

    python validation/conformance/faults.py            # all; exit 1 if one is missed
    python validation/conformance/faults.py eta-sense  # one

Not here: what the quantities are (:mod:`refimpl.testing.conform_records`); faults in the compiled
twins (:mod:`twin_faults`).
"""

from __future__ import annotations
import __future__

import ast
import functools
import importlib
import inspect
import sys
import textwrap
import tomllib
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from refimpl.dispatch import use_backend
from refimpl.testing.conform import Report, load, vectors_root
from refimpl.testing.conform_judge import judge_quantity
from refimpl.testing.conform_records import Case, quantities
from refimpl.testing.conform_subjects import PythonObject

__all__ = ["Fault", "failing", "faults", "forget", "injected", "reach", "told", "wrong_by"]

TABLE = Path(__file__).with_name("faults.toml")


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    Attributes
    ----------
    id
        Unique.
    what
        The mistake, in words.
    at
        ``module:function``, ``module:Class.method`` or ``module:CONSTANT``.
    old, new
        Text that occurs once in the source of the function, and what it becomes; of a constant its
        ``repr`` and another literal.
    wrong
        Quantities that are wrong by it, sorted.
    """

    id: str
    what: str
    at: str
    old: str
    new: str
    wrong: tuple[str, ...]


@functools.cache
def faults() -> dict[str, Fault]:
    """Rows of the table by id; ``wrong`` may name a family."""
    with TABLE.open("rb") as handle:
        table = tomllib.load(handle)
    families: dict[str, list[str]] = table["families"]
    out: dict[str, Fault] = {}
    for at, rows in table["at"].items():
        for name, (what, old, new, words) in rows.items():
            wrong = {q for word in words.split() for q in families.get(word, [word])}
            if unknown := wrong - set(quantities()):
                raise ValueError(f"fault {name}: no quantities {sorted(unknown)}")
            if name in out:
                raise ValueError(f"two faults are called {name}")
            out[name] = Fault(name, what, at, old, new, tuple(sorted(wrong)))
    return out


# --- injection ------------------------------------------------------------------------------------


def _target(at: str) -> tuple[Any, str, Any]:
    """Holder, name and value of what a row names; functions without their wrappers."""
    module, _, path = at.partition(":")
    holder: Any = importlib.import_module(module)
    *way, name = path.split(".")
    for part in way:
        holder = getattr(holder, part)
    value = inspect.getattr_static(holder, name)
    value = value.fget if isinstance(value, property) else value
    return holder, name, inspect.unwrap(value) if callable(value) else value


def _changed_code(function: FunctionType, old: str, new: str) -> CodeType:
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(old) != 1:
        raise ValueError(f"{function.__qualname__} holds {source.count(old)} times: {old}")
    (made,) = ast.parse(source.replace(old, new)).body
    assert isinstance(made, ast.FunctionDef)
    made.decorator_list = []
    flag = __future__.annotations.compiler_flag
    whole = compile(ast.Module([made], []), f"<{function.__name__}, faulty>", "exec", flag)
    (code,) = (c for c in whole.co_consts if isinstance(c, CodeType))
    return code


def forget() -> None:
    """Empty every cache of refimpl: what a faulty function gave must not outlive it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("refimpl"):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


@contextmanager
def injected(fault: Fault) -> Iterator[None]:
    """Run what is inside the ``with`` block with the fault."""
    holder, name, value = _target(fault.at)
    if isinstance(value, FunctionType):
        before = value.__code__
        value.__code__ = _changed_code(value, fault.old, fault.new)
    else:
        if repr(value) != fault.old:
            raise ValueError(f"{fault.at} is {value!r}, expected {fault.old}")
        setattr(holder, name, ast.literal_eval(fault.new))
    forget()
    try:
        yield
    finally:
        if isinstance(value, FunctionType):
            value.__code__ = before
        else:
            setattr(holder, name, value)
        forget()


# --- verdicts -------------------------------------------------------------------------------------


@functools.cache
def _cases(name: str) -> list[Case]:
    return load(quantities()[name], vectors_root())


def failing(names: Sequence[str], backend: str = "python") -> tuple[str, ...]:
    """Those of the quantities that a backend, as it is now, does not meet, sorted."""
    code = PythonObject({n: q.reference for n, q in quantities().items()}, backend)
    verdicts = []
    with use_backend(backend):
        for name in names:
            record, cases = quantities()[name], _cases(name)
            verdicts.append(judge_quantity(record, cases, code.run(record, cases) or {}))
    report = Report(code.name, tuple(verdicts))
    return tuple(sorted(q.name for q in report.quantities if not q.is_met))


@functools.cache
def reach(name: str) -> frozenset[CodeType]:
    """Functions that the definition of a quantity goes through in its cases."""
    seen: set[CodeType] = set()

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            seen.add(frame.f_code)

    forget()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        failing([name])
    finally:
        sys.setprofile(before)
    return frozenset(seen)


def wrong_by(fault: Fault, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the quantities that fail with the fault; what never goes there is not run."""
    _, _, value = _target(fault.at)
    if isinstance(value, FunctionType):
        names = [n for n in names if value.__code__ in reach(n)]
    with injected(fault), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what is wrong may overflow
        return failing(names)


def told(
    table: Mapping[str, Fault], only: Sequence[str], wrong: Callable[[Fault], Collection[str]]
) -> int:
    """Print a line a fault of a table; return the exit status.

    Parameters
    ----------
    wrong
        Quantities that fail with a fault.
    """
    if unknown := set(only) - set(table):
        print(f"no faults {' '.join(sorted(unknown))}")
        return 2
    missed = 0
    for name in only or table:
        found, expected = wrong(table[name]), table[name].wrong
        missed += found != expected
        words = "caught" if found == expected else f"expected {' '.join(expected)}, found"
        print(f"{name:32} {words} {' '.join(found) or 'nothing'}", flush=True)
    print(f"{len(only or table)} faults, {missed} not as expected")
    return int(missed > 0)


def main(only: Sequence[str]) -> int:
    """Seed the faults into the definitions."""
    if wrong := failing(list(quantities())):
        print(f"without a fault there fail {' '.join(wrong)}")
        return 1
    return told(faults(), only, lambda fault: wrong_by(fault, list(quantities())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
