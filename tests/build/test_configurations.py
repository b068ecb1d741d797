"""The three builds: without a compiler, compiled without OpenMP, compiled with it.

The quick tests compile only two of the twins, ten seconds of CPU a build; the slow ones compile
them all and run the twin tests on the result.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TWO = ("build_info", "tilted_flat")

COMPILER = (sysconfig.get_config_var("CC") or "cc").split()[0]
needs_compiler = pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason=f"no C compiler ({COMPILER}) on this machine"
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="stands in for the compiler by a script")

# What a build can do and what it computes, to be compared between builds bit by bit.
PROBE = """
import json, pathlib, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np, refimpl
    from refimpl.cli.info import info
    from refimpl.detector.tilted_flat import ring_coordinates
    from refimpl.testing.strategies import STRATEGIES
    make = STRATEGIES["tilted_flat.ring_coordinates"].make
    arguments = make(np.random.default_rng(2), 5000)
    radius = [ring_coordinates(**arguments, threads=t)[0].tobytes().hex() for t in (1, 2)]
    assert radius[0] == radius[1]
    radius = ring_coordinates(**arguments)[0]
print(json.dumps({
    "where": str(pathlib.Path(refimpl.__file__).parents[1]),
    "backends": info()["backends"],
    "openmp": info()["openmp"],
    "warnings": [str(w.message) for w in caught],
    "bytes": radius.tobytes().hex()[:4096],
}))
"""


def probe(python: Callable[..., subprocess.CompletedProcess[str]], site: Path) -> dict[str, object]:
    done = python("-c", PROBE, cwd=site, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    values: dict[str, object] = json.loads(done.stdout)
    assert values["where"] == str(site), "the checkout shadows the build under test"
    return values


@pytest.fixture(scope="module")
def definitions(
    tmp_path_factory: pytest.TempPathFactory, copy_source, install, python
) -> dict[str, object]:
    """What a build without compilation computes."""
    folder = tmp_path_factory.mktemp("never")
    (folder / "src").mkdir()
    source = copy_source(folder / "src")
    done = install(source, folder / "site", REFIMPL_EXT="never")
    assert done.returncode == 0, done.stderr
    return probe(python, folder / "site")


def test_without_compilation_the_definitions_work_and_say_so(
    definitions: dict[str, object],
) -> None:
    assert definitions["backends"] == ["python"]
    assert definitions["openmp"] is None
    (warning,) = definitions["warnings"]  # type: ignore[misc]  # one, though called three times
    assert "compiled twins are not available" in warning


@needs_compiler
@pytest.mark.parametrize(("openmp", "has_openmp"), [("off", False), ("on", True)])
def test_compiled_with_and_without_openmp(
    tmp_path: Path, copy_source, install, python, definitions, openmp: str, has_openmp: bool
) -> None:
    (tmp_path / "src").mkdir()
    source = copy_source(tmp_path / "src", TWO)
    done = install(source, tmp_path / "site", REFIMPL_EXT="always", REFIMPL_OPENMP=openmp)
    if openmp == "on" and "test program for OpenMP does not run" in done.stdout + done.stderr:
        pytest.skip("the compiler here has no OpenMP")
    assert done.returncode == 0, done.stdout + done.stderr
    built = probe(python, tmp_path / "site")
    assert built["backends"] == ["python", "cython"]
    assert built["openmp"] is has_openmp
    assert built["warnings"] == []
    assert built["bytes"] == definitions["bytes"]
    assert not list((tmp_path / "site").rglob("*.c")), "generated C lands in the install"


@posix
def test_auto_survives_a_machine_without_a_compiler(
    tmp_path: Path, copy_source, install, python, definitions
) -> None:
    (tmp_path / "src").mkdir()
    source = copy_source(tmp_path / "src", TWO)
    done = install(source, tmp_path / "site", REFIMPL_EXT="auto", CC="/nonexistent/cc")
    assert done.returncode == 0, done.stdout + done.stderr
    built = probe(python, tmp_path / "site")
    assert built["backends"] == ["python"]
    assert len(built["warnings"]) == 1
    assert built["bytes"] == definitions["bytes"]


@posix
def test_always_fails_without_a_compiler(tmp_path: Path, copy_source, python) -> None:
    source = copy_source(tmp_path, ["build_info"])
    done = python(
        "setup.py", "-q", "build_ext", cwd=source, REFIMPL_EXT="always", CC="/nonexistent/cc"
    )
    assert done.returncode != 0
    assert "/nonexistent/cc" in done.stdout + done.stderr


@posix
@needs_compiler
@pytest.mark.parametrize("openmp", ["auto", "on"])
def test_a_compiler_without_openmp(tmp_path: Path, copy_source, python, openmp: str) -> None:
    """Apple's clang as shipped: `auto` builds serial twins and says so, `on` refuses."""
    source = copy_source(tmp_path, ["build_info"])
    compiler = tmp_path / "plain-cc"
    compiler.write_text(
        f'#!/bin/sh\nfor a in "$@"; do [ "$a" = -fopenmp ] && exit 1; done\nexec {COMPILER} "$@"\n'
    )
    compiler.chmod(0o755)
    done = python(
        "setup.py", "build_ext", "--inplace",
        cwd=source, REFIMPL_EXT="always", REFIMPL_OPENMP=openmp, CC=str(compiler),
    )  # fmt: skip
    said = done.stdout + done.stderr
    if openmp == "on":
        assert done.returncode != 0
        assert "REFIMPL_OPENMP=on, but a test program for OpenMP does not run" in said
        return
    assert done.returncode == 0, said
    assert "no OpenMP: the compiled twins will use one thread" in said
    code = "from refimpl._ext import build_info as b; print(b.openmp_enabled(), b.max_threads())"
    assert python("-c", code, cwd=source).stdout.split() == ["False", "1"]


@pytest.mark.parametrize(
    ("variable", "allowed"),
    [("REFIMPL_EXT", "auto, always, never"), ("REFIMPL_OPENMP", "auto, on, off")],
)
def test_an_unknown_setting_is_refused(
    tmp_path: Path, copy_source, python, variable: str, allowed: str
) -> None:
    source = copy_source(tmp_path, [])
    done = python("setup.py", "--name", cwd=source, **{variable: "maybe"})
    assert done.returncode != 0
    assert f"setup.py: {variable}='maybe': expected one of {allowed}" in done.stderr


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("openmp", ["off", "auto"])
def test_every_twin_in_a_complete_build(
    tmp_path: Path, copy_source, install, python, openmp: str
) -> None:
    (tmp_path / "src").mkdir()
    source = copy_source(tmp_path / "src")
    done = install(source, tmp_path / "site", REFIMPL_EXT="always", REFIMPL_OPENMP=openmp)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(ROOT / "tests" / "twin", tmp_path / "tests" / "twin")
    shutil.copy2(ROOT / "tests" / "conftest.py", tmp_path / "tests" / "conftest.py")
    shutil.copy2(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    done = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/twin",
        cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"), REFIMPL_EXPECT="python,cython",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
