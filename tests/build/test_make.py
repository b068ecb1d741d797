"""The Makefile's own small programs: what it installs, what it expects of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-s", "--no-print-directory", *arguments],
        cwd=ROOT, env={**env, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def run_block(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a Python block that the Makefile defines with the running interpreter."""
    rule = f'block:;@{sys.executable} -c "$${name}" {" ".join(arguments)}'
    return make("--eval", rule, "block", **environment)


def test_development_needs_are_read_with_any_pip() -> None:
    lines = run_block("REQUIREMENTS", "dev").stdout.splitlines()
    names = {line.split(">")[0] for line in lines}
    assert {"setuptools", "Cython", "numpy", "ruff", "mypy", "pytest", "hypothesis"} <= names
    assert "parsl" in names  # of an extra, but default tests run on it
    assert not {"torch", "sphinx", "pyFAI"} & names
    assert "sphinx" in run_block("REQUIREMENTS", "docs").stdout
    assert "torch" in run_block("REQUIREMENTS", "centring").stdout  # an extra, for its tests


def test_an_unknown_group_is_an_error() -> None:
    assert run_block("REQUIREMENTS", "nonsense").returncode != 0


def test_what_the_tests_must_find() -> None:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler):
        assert run_block("PROBE").stdout.strip() == "python,cython"
    done = run_block("PROBE", CC="/nonexistent/cc")
    assert done.stdout.strip() == "python"
    assert "no working C compiler" in done.stderr


def test_an_old_python_is_refused_with_a_reason(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    # runs the check that it is given as if it were 3.8
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 8);'
        ' sys.version = \'3.8.1 (old)\'; exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    done = make(f"PYTHON={old}", f"VENV={tmp_path}/venv", f"{tmp_path}/venv/.python")
    assert done.returncode != 0
    assert f"make: {old} is Python 3.8.1; refimpl needs 3.11 or newer" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_every_constraint_is_pinned_once() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    names = [line.split("==")[0].lower().replace("_", "-") for line in pins]
    assert len(set(names)) == len(names)
    needed = run_block("REQUIREMENTS", "dev", "docs").stdout.splitlines()
    wanted = {n.split(">")[0].lower().replace("_", "-") for n in needed}
    assert wanted <= set(names), f"not pinned: {sorted(wanted - set(names))}"


def test_ci_calls_make_and_nothing_else() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert script.rstrip().endswith("make lint test")
    assert "pip install" not in script
