"""``refimpl nearfield process-images``: the filters that no published key asks for."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.io.lit_files import read_frame_pixels
from refimpl.nearfield.example import SMALL, write_example

FRAMES, SIDE = 6, 48


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two distances of six frames; frame f has 40 + 10 f counts on 5 x 5 pixels, the third none."""
    monkeypatch.chdir(tmp_path)
    size = {"EndNr": FRAMES - 1, "NrFilesPerDistance": FRAMES, "NrPixels": SIDE}
    write_example(tmp_path, n_grains=2, **SMALL | size)
    images = np.full((2 * FRAMES, SIDE, SIDE), 10, dtype=np.uint16)
    for f in range(2 * FRAMES):
        if f != 2:
            images[f, 9 + 2 * f : 14 + 2 * f, 10:15] += 40 + 10 * f
    with h5py.File("example.h5", "w") as file:
        file["exchange/data"] = images
    return tmp_path


def lit(*options: str) -> list[int]:
    """Lit pixels of both distances."""
    assert main(["nearfield", "process-images", "ps.txt", *options]) == 0
    return [read_frame_pixels(f"lit_pixels_distance_{d}.h5").n_lit for d in range(2)]


def test_lit_pixels_exceed_their_own_noise(here) -> None:
    """Noise of a pixel that hardly varies is 1 count; BlanketSubtraction is 20."""
    assert lit() == [25 * 5, 25 * 6]
    assert lit("--sigmas", "55") == [25 * 2, 25 * 6]  # above 75: 80 and 90; 100 to 150


def test_a_fake_pixel_in_a_frame_without_spots(here) -> None:
    assert lit("--fake-pixel") == [25 * 5 + 1, 25 * 6]
    found = read_frame_pixels("lit_pixels_distance_0.h5")
    row, column = divmod(2045, SIDE)
    first = int(found.ptr[2])
    assert (found.y[first], found.z[first]) == (SIDE - 1 - column, SIDE - 1 - row)
    assert found.empty_frames.tolist() == []
    assert lit() == [25 * 5, 25 * 6]  # done again: another setting


def test_outlines_are_filled_as_published(here, edit) -> None:
    """Of solid spots both ways find the same; the digest of the file tells which it was."""
    edit("DoLoGFilter 0", "DoLoGFilter 1")
    ours = lit()
    made_of = read_frame_pixels("lit_pixels_distance_0.h5").source
    assert lit("--published-fill") == ours == [25 * 5, 25 * 6]
    assert read_frame_pixels("lit_pixels_distance_0.h5").source != made_of
