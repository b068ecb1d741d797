"""A small near-field scan for tests: raw frames with known spots, their files and parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.lit_pixels import LitPixels
from refimpl.io.nearfield_params import NearfieldParams

__all__ = ["FRAMES", "NY", "NZ", "Counts", "lit_set", "parameters", "scan", "write_hdf5"]
__all__ += ["write_numbered"]

NY, NZ, FRAMES = 50, 40, 6
"""A detector that is wider than high, so that swapped axes do not fit."""

Counts = NDArray[np.uint16]


def scan(seed: int = 0, n: int = FRAMES) -> tuple[Counts, set[tuple[int, int, int]]]:
    """Raw frames (n, NZ, NY) with a bright 4 x 5 px spot in each but one; lit (frame, Y, Z)."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(95, 105, (n, NZ, NY)).astype(np.uint16)
    truth = set()
    for f in range(n):
        if f == 2:
            continue
        row, column = 3 + 5 * f, 4 + 7 * f
        frames[f, row : row + 4, column : column + 5] += 400
        truth |= {
            (f, NY - 1 - c, NZ - 1 - r)
            for r in range(row, row + 4)
            for c in range(column, column + 5)
        }
    return frames, truth


def parameters(folder: Path, **changes: Any) -> NearfieldParams:
    """Parameters of the scan, with other values of some keys; None: without the key."""
    values: dict[str, Any] = {
        "DataDirectory": "raw", "OutputDirectory": "out", "OrigFileName": "au",
        "ReducedFileName": "red", "nDistances": 2, "StartNr": 0, "EndNr": FRAMES - 1,
        "RawStartNr": 3, "WFImages": 2, "NrPixelsY": NY, "NrPixelsZ": NZ,
        "BlanketSubtraction": 20.0, "DoLoGFilter": 0, "MedFiltRadius": 0, **changes,
    }  # fmt: skip
    values = {key: value for key, value in values.items() if value is not None}
    return NearfieldParams(values, folder / "ps.txt", {})


def write_numbered(folder: Path) -> None:
    """Numbered TIFFs of two distances, with two wide-field images after each."""
    import tifffile

    (folder / "raw").mkdir()
    for d in range(2):
        frames = [*scan(d)[0], *np.zeros((2, 9, 9), np.uint16)]
        for number, frame in enumerate(frames, start=3 + d * (FRAMES + 2)):
            tifffile.imwrite(folder / "raw" / f"au_{number:06d}.tif", frame)


def write_hdf5(path: Path, frames: Counts, **more: Any) -> None:
    """Write (n, NZ, NY) frames as the data set exchange/data; `more` is for h5py."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("exchange/data", data=frames, **more)


def lit_set(lit: LitPixels, distance: int) -> set[tuple[int, int, int]]:
    """(frame, Y, Z) of the lit pixels of a distance."""
    return {(int(f), int(y), int(z)) for d, f, y, z in lit.pixels() if d == distance}
