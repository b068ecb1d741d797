"""Copies of the source tree to build from, and installs of them beside the running environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def copy_source() -> Callable[..., Path]:
    """Copy what a release is made of, without anything compiled; only these twins if named."""

    def copy(folder: Path, twins: Sequence[str] | None = None) -> Path:
        for name in PROJECT_FILES:
            shutil.copy2(ROOT / name, folder / name)
        ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.c")
        shutil.copytree(ROOT / "refimpl", folder / "refimpl", ignore=ignore)
        for source in (folder / "refimpl" / "_ext").glob("*.pyx"):
            if twins is not None and source.stem not in twins:
                source.unlink()
        return folder

    return copy


@pytest.fixture(scope="session")
def python() -> Callable[..., Done]:
    """Run Python in a folder with no setting of refimpl but those given."""

    def run(*arguments: str | Path, cwd: Path, **environment: str) -> Done:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("REFIMPL_", "OMP_"))}
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=cwd,
            env={**env, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def install(python: Callable[..., Done]) -> Callable[..., Done]:
    """Install from a source folder into a target folder, offline, with this environment."""

    def pip(source: Path, target: Path, **environment: str) -> Done:
        options = ("install", "-v", "--no-deps", "--no-build-isolation", "--no-index")
        return python("-m", "pip", *options, "--target", target, source, cwd=source, **environment)

    return pip
