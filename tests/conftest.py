"""Fixtures shared by every test."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from refimpl.epu.simulate import Simulated

# What several test files make their cases with; with importlib's way they cannot import each other.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

# Deterministic everywhere; twins on a cold cache can exceed hypothesis' default deadline.
settings.register_profile("refimpl", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("refimpl")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Path of a real measurement by name; skip where it is absent, fail where it is required."""

    def find(name: str) -> Path:
        folder = os.environ.get("REFIMPL_DATA")
        if folder and (Path(folder) / name).exists():
            return Path(folder) / name
        reason = f"real data {name!r} not found: set REFIMPL_DATA to the folder that holds it"
        if os.environ.get("REFIMPL_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    return find


@pytest.fixture(scope="session")
def small_epu(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Simulated]:
    """Folder of a small simulated EPU session, to be read only, and what is true in it."""
    from epu_folder import small_session

    folder = tmp_path_factory.mktemp("epu") / "session"
    return folder, small_session(folder)
