"""Results that go nowhere: stdout on a full disk, stdout that nobody reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "refimpl.cli.main"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_stdout_that_takes_nothing() -> None:
    with open("/dev/full", "w") as full:
        run = subprocess.run([*PROGRAM, "info"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 2
    assert run.stderr == "refimpl: cannot write: No space left on device\n"
