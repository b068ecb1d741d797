"""Seeded faults in the compiled twins: the kit must catch them, and blame what is wrong by them.

``twin_faults.toml`` is the table: which source of ``refimpl/_ext`` a fault goes into, and which
module is built with it. The module is compiled into a temporary folder, takes the place of the
sound one, and the quantities that use it are run with the backend ``cython``: exactly those of the
row must fail.

    python validation/conformance/twin_faults.py                # all; exit 1 if one is missed
    python validation/conformance/twin_faults.py twin-eta-sense # one

Not here: faults in the definitions (:mod:`faults`).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from faults import TABLE, Fault, failing, forget, told

from refimpl import _ext
from refimpl.dispatch import Pair
from refimpl.testing.conform_records import quantities

__all__ = ["built", "injected", "twin_faults", "used_by", "wrong_by"]

TWINS = Path(__file__).with_name("twin_faults.toml")
SOURCES = Path(_ext.__file__).parent
DIRECTIVES = {"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True,
              "initializedcheck": False}  # fmt: skip


@functools.cache
def twin_faults() -> dict[str, Fault]:
    """Rows of the table by id; ``at`` is ``module/source``."""
    families: dict[str, list[str]] = tomllib.loads(TABLE.read_text())["families"]
    out: dict[str, Fault] = {}
    for at, rows in tomllib.loads(TWINS.read_text())["at"].items():
        for name, (what, old, new, words) in rows.items():
            wrong = {q for word in words.split() for q in families.get(word, [word])}
            if unknown := wrong - set(quantities()):
                raise ValueError(f"fault {name}: no quantities {sorted(unknown)}")
            if name in out:
                raise ValueError(f"two faults are called {name}")
            out[name] = Fault(name, what, at, old, new, tuple(sorted(wrong)))
    return out


def built(fault: Fault, folder: Path) -> Path:
    """Compile the module with the fault, without OpenMP, in an empty folder."""
    from Cython.Build import cythonize
    from setuptools import Extension

    module, source = fault.at.split("/")
    package = folder / "refimpl" / "_ext"
    shutil.copytree(
        SOURCES, package, ignore=shutil.ignore_patterns("*.so", "*.c", "*.pyd", "__py*")
    )
    (folder / "refimpl" / "__init__.py").touch()
    text = (package / source).read_text()
    if text.count(fault.old) != 1:
        raise ValueError(f"{source} holds {text.count(fault.old)} times: {fault.old}")
    (package / source).write_text(text.replace(fault.old, fault.new))
    here = Path.cwd()
    os.chdir(folder)  # Cython finds the other sources of the package from here
    try:
        (made,) = cythonize(
            [Extension(f"refimpl._ext.{module}", [f"refimpl/_ext/{module}.pyx"])],
            compiler_directives=DIRECTIVES, quiet=True,
        )  # fmt: skip
    finally:
        os.chdir(here)
    out = folder / f"{module}.so"
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    include = ["-I", sysconfig.get_paths()["include"], "-I", str(package)]
    flags = ["-shared", "-fPIC", "-O0", "-w", "-ffp-contract=off"]
    command = [*compiler, *flags, *include, str(folder / made.sources[0]), "-o", str(out), "-lm"]
    subprocess.run(command, check=True)
    return out


@contextmanager
def injected(fault: Fault) -> Iterator[None]:
    """Run what is inside the ``with`` block with the faulty module in place of the sound one."""
    name = "refimpl._ext." + fault.at.split("/")[0]
    sound = importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        spec = importlib.util.spec_from_file_location(name, built(fault, Path(folder)))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
        forget()
        try:
            yield
        finally:
            sys.modules[name] = sound
            forget()


@functools.cache
def used_by(quantity: str) -> frozenset[str]:
    """Modules whose twins a quantity goes through in its cases."""
    seen: set[str] = set()
    sound = Pair.compiled

    def note(pair: Pair) -> object:
        seen.add(pair.module)
        return sound(pair)

    forget()
    Pair.compiled = note  # type: ignore[method-assign, assignment]
    try:
        failing([quantity], "cython")
    finally:
        Pair.compiled = sound  # type: ignore[method-assign]
    return frozenset(seen)


def wrong_by(fault: Fault) -> tuple[str, ...]:
    """Quantities that fail with the fault; what does not use the module is not run."""
    names = [n for n in quantities() if fault.at.split("/")[0] in used_by(n)]
    with injected(fault), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what is wrong may overflow
        return failing(names, "cython")


def main(only: Sequence[str]) -> int:
    """Seed the faults into the twins."""
    if wrong := failing(list(quantities()), "cython"):
        print(f"without a fault there fail {' '.join(wrong)}")
        return 1
    return told(twin_faults(), only, wrong_by)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
