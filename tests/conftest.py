"""Fixtures shared by every test."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

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
