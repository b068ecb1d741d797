"""Run powder calibration on bad input and take the one line that it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from refimpl.cli.main import main

WAVELENGTH = ["--wavelength-angstrom", "0.25"]
PIXEL = ["--pixel-size-um", "300"]
OPTIONS = [*WAVELENGTH, *PIXEL]


def said(arguments: list[str], capsys: pytest.CaptureFixture[str], *, code: int = 2) -> str:
    """Run in this process; the one line on stderr without its beginning."""
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("refimpl: ")
    assert printed.err.endswith("\n")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    # nothing is written, made or changed, not even an empty folder
    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*") if p != Path()} == before
    return printed.err[len("refimpl: ") : -1]


def refused(image: str, capsys: pytest.CaptureFixture[str], *options: str, code: int = 2) -> str:
    """What ``powder calibrate`` says of an image."""
    arguments = ["powder", "calibrate", image, *OPTIONS, *options, "-o", "new/out"]
    return said(arguments, capsys, code=code)


def write(name: str, image: np.ndarray) -> str:
    tifffile.imwrite(name, image)
    return name


def noise(shape: tuple[int, ...] = (240, 260)) -> np.ndarray:
    return np.random.default_rng(3).poisson(20.0, shape).astype(np.int32)
