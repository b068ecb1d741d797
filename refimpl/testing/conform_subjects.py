"""Codes under test: a command that reads and writes a file, or a Python object with functions.

Both may offer some quantities only. A command says so with the exit status 77, an object by not
having the function, by returning None or by raising NotImplementedError. Whatever else goes wrong
in the code under test is its verdict, not an error of the kit.
"""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from refimpl.dispatch import use_backend
from refimpl.errors import ConfigError, FormatError
from refimpl.reading import read_text
from refimpl.testing.conform_files import FORMATS, read_outputs, write_cases
from refimpl.testing.conform_records import Case, Inputs, Quantity

__all__ = [
    "NOT_OFFERED",
    "Command",
    "Ours",
    "PythonObject",
    "Subject",
    "object_named",
    "read_known_failures",
]

NOT_OFFERED = 77
"""Exit status of a command that does not have a quantity (that of a skipped test in automake)."""

Results = dict[str, Any]
"""By the name of a case: outputs by name, or a text that says why there are none."""


class Subject(Protocol):
    """A code under test."""

    @property
    def name(self) -> str:
        """For the report."""

    def run(self, quantity: Quantity, cases: Sequence[Case]) -> Results | str | None:
        """Outputs of cases; None if the quantity is not offered, a text if nothing came back."""


class Ours:
    """A backend of refimpl: the definitions (``python``) or their compiled twins (``cython``)."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.name = f"refimpl, backend {backend}"

    def run(self, quantity: Quantity, cases: Sequence[Case]) -> Results:
        """Outputs of our definition."""
        with use_backend(self.backend):
            return {c.name: quantity.expected(_copies(c.inputs)) for c in cases}


class PythonObject:
    """A module or any object, or a mapping, with a function for each quantity that it offers.

    A function takes the inputs by keyword and returns the outputs by name, as a tuple in the order
    of the record, or as an array where there is one output.
    """

    def __init__(self, target: Any, name: str = "object") -> None:
        self.target, self.name = target, name

    def run(self, quantity: Quantity, cases: Sequence[Case]) -> Results | None:
        """Outputs of the object's function."""
        if isinstance(self.target, Mapping):
            function = self.target.get(quantity.name)
        else:
            function = getattr(self.target, quantity.name, None)
        if function is None:
            return None
        out: Results = {}
        for case in cases:
            try:
                result = function(**_copies(case.inputs))
            except NotImplementedError:
                continue  # not offered; where others are, the case has no outputs
            except Exception as exc:  # the code of others may raise anything: that is its verdict
                out[case.name] = f"raised {type(exc).__name__}: {exc}"
                continue
            if result is not None:
                out[case.name] = _by_name(quantity, result)
        return out or None


def _copies(inputs: Inputs) -> Inputs:
    return {k: v if isinstance(v, str) else np.array(v) for k, v in inputs.items()}


def _by_name(quantity: Quantity, result: Any) -> Any:
    if isinstance(result, Mapping):
        return result
    names = [o.name for o in quantity.outputs]
    values = result if isinstance(result, tuple) else (result,)
    if len(values) != len(names):
        return f"returned {len(values)} outputs, expected {len(names)}: {', '.join(names)}"
    return dict(zip(names, values, strict=True))


class Command:
    """A program that is run once a quantity.

    Parameters
    ----------
    words
        Command line with ``{input}`` and ``{output}``; ``{quantity}`` if it needs the name outside
        of the file. No shell looks at it.
    suffix
        Format of both files.
    timeout_s
        Longest time of one run.
    """

    def __init__(self, words: str, suffix: str = "json", timeout_s: float = 300.0) -> None:
        try:
            self.words = shlex.split(words)
        except ValueError as exc:
            raise ConfigError(f"--command {words!r}: {exc}") from exc
        for needed in ("{input}", "{output}"):
            if not any(needed in word for word in self.words):
                raise ConfigError(f"--command {words!r}: expected {needed} among its words")
        if suffix not in FORMATS:
            raise ConfigError(f"format {suffix!r}: expected one of {', '.join(FORMATS)}")
        self.name, self.suffix, self.timeout_s = words, suffix, timeout_s
        self.why_not_offered = f": it ended with {NOT_OFFERED}, given a {suffix} file (--format)"

    def run(self, quantity: Quantity, cases: Sequence[Case]) -> Results | str | None:
        """Outputs that the program wrote."""
        with tempfile.TemporaryDirectory(prefix="refimpl-conform-") as folder:
            given = Path(folder) / f"{quantity.name}.{self.suffix}"
            answer = Path(folder) / f"{quantity.name}-out.{self.suffix}"
            write_cases(given, quantity, cases, bare=True)
            places = {"input": str(given), "output": str(answer), "quantity": quantity.name}
            words = list(self.words)
            for key, value in places.items():
                words = [word.replace(f"{{{key}}}", value) for word in words]
            try:
                done = subprocess.run(
                    words, capture_output=True, text=True, errors="replace",
                    timeout=self.timeout_s, check=False,
                )  # fmt: skip
            except OSError as exc:
                here = Path(words[0]).name == words[0] and Path(words[0]).is_file()
                hint = f"; ./{words[0]} is here" if here else ""
                raise ConfigError(
                    f"--command: cannot run {words[0]!r}: {exc.strerror}{hint}"
                ) from exc
            except subprocess.TimeoutExpired:
                return f"still running after {self.timeout_s:g} s"
            if done.returncode == NOT_OFFERED:
                return None
            if done.returncode != 0:
                words = done.stderr.split()
                last = " ".join(words)[-300:]
                if len(last) < len(" ".join(words)):
                    last = "... " + last.partition(" ")[2]
                return f"exit status {done.returncode}: {last or 'nothing on stderr'}"
            if not answer.is_file():
                return "exit status 0 and no output file"
            try:
                return dict(read_outputs(answer))
            except FormatError as exc:
                return " ".join(str(exc).replace(str(answer), "its output").split())


def object_named(name: str) -> Any:
    """Object of ``module`` or ``module:attribute``; modules in the working folder are found too.

    Raises
    ------
    ConfigError
        There is no such module or attribute, or it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
    except Exception as exc:  # the module of others may raise anything when it is imported
        is_file = module.endswith(".py") or "/" in module
        hint = "; a module is named as in an import: mycode, not mycode.py" if is_file else ""
        raise ConfigError(f"--object {name!r}: {type(exc).__name__}: {exc}{hint}") from exc
    for part in attribute.split(".") if attribute else ():
        if not hasattr(found, part):
            raise ConfigError(f"--object {name!r}: {module} has no {attribute!r}")
        found = getattr(found, part)
    return found


def read_known_failures(path: Path) -> list[str]:
    """Patterns of ids, one a line, as ``misorientation/edge-*``; a bare name is all its cases.

    Raises
    ------
    FormatError
        The file cannot be read.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise FormatError(f"cannot read: {exc}", path=path) from exc
    words = [line.split("#", 1)[0].strip() for line in lines]
    return [word if "/" in word else f"{word}/*" for word in words if word]
