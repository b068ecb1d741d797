"""``refimpl nearfield`` and raw images that are missing, short, empty, or cannot be named so."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.nearfield.example import SMALL, write_example

PROCESS, SIMULATE = ("process-images", "ps.txt"), ("simulate", "ps.txt", "truth.mic")
FRAMES, SIDE = 6, 32


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with parameters of two distances, six frames each, and a map."""
    monkeypatch.chdir(tmp_path)
    size = {"EndNr": FRAMES - 1, "NrFilesPerDistance": FRAMES, "NrPixels": SIDE}
    write_example(tmp_path, n_grains=2, **SMALL | size)
    return tmp_path


def frames(n: int = 2 * FRAMES) -> np.ndarray:
    """Flat images; each but the third has a spot of 3 x 3 pixels."""
    out = np.full((n, SIDE, SIDE), 10, dtype=np.uint16)
    for f in range(n):
        if f != 2:
            out[f, 2 * f : 2 * f + 3, 4:7] = 90
    return out


def write(images: np.ndarray, name: str = "exchange/data") -> None:
    with h5py.File("example.h5", "w") as file:
        file[name] = images


def test_images_that_are_missing(here, edit, refused) -> None:
    assert refused(*PROCESS) == "example_000000.h5: no such image (and 5 more): 6 are needed"
    edit("OrigFileName example", "OrigFileName away/example")
    assert refused(*PROCESS) == "away: no such folder of images (DataDirectory)"
    assert refused(*PROCESS, "--stack", "none.h5").startswith("none.h5: ")


def test_a_numbered_image_that_is_missing_or_empty(here, edit, refused) -> None:
    edit("extOrig h5", "extOrig tif")
    assert main(["nearfield", *SIMULATE, "--set", "min_confidence=0"]) == 0
    Path("SpotsInfo.bin").unlink()
    last = Path("example_000011.tif")  # of the second distance
    last.write_bytes(b"")
    assert refused(*PROCESS) == "example_000011.tif: the image is empty: 0 bytes"
    last.unlink()
    assert refused(*PROCESS) == "example_000011.tif: no such image: 6 are needed"


def test_stacks_that_are_short_whatever_the_distance(here, refused) -> None:
    """The second distance is looked at before the first is worked on."""
    for n in (3, 2 * FRAMES - 1):
        write(frames(n))
        said = refused(*PROCESS)
        last = FRAMES - 1 if n < FRAMES else 2 * FRAMES - 1
        assert said == f"example.h5: {n} frames: number {last}, counted from 0, is needed"


def test_images_of_another_size_and_files_that_are_none(here, refused) -> None:
    write(frames()[:, :, :30])
    assert refused(*PROCESS) == (
        "example.h5: image of 32 x 30 pixels (rows x columns): NrPixelsZ x NrPixelsY is 32 x 32"
    )
    write(frames(), "a/b")
    assert refused(*PROCESS, "--dataset", "exchange/data").startswith("example.h5: ")
    Path("example.h5").write_bytes(b"not an HDF5 file")
    assert refused(*PROCESS).startswith("example.h5: not a readable HDF5 file")


def test_empty_images(here, capsys) -> None:
    write(np.zeros((2 * FRAMES, SIDE, SIDE), dtype=np.uint16))
    before = set(Path().iterdir())
    assert main(["nearfield", *PROCESS]) == 2
    assert capsys.readouterr().err == (
        "refimpl: example.h5: all 6 images of distance 1 are the same or empty: no pixel ever "
        "exceeds its median\n"
    )
    assert set(Path().iterdir()) == before


def test_peak_files_have_no_layers_and_no_filters(here, edit, line_of, refused) -> None:
    edit("extOrig h5", "extOrig h5\nIce9Input")
    for more in (("2",), ("--stack", "a.h5"), ("--dataset", "a"), ("--sigmas", "3")):
        assert refused(*PROCESS, *more) == (
            f"ps.txt:{line_of('Ice9Input')}: Ice9Input reads peak files: layers, filters, stacks "
            "and data sets are of images"
        )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ReducedFileName example\n", "", "ps.txt: missing key: ReducedFileName"),
        ("extOrig h5", "extOrig ge3", "ps.txt:4: extOrig ge3: images are written as tif, tiff, h5"),
        ("extOrig h5", "extOrig h5\nRawStartNr 5", "ps.txt:4: extOrig h5, one file for all"),
        ("FilesPerDistance 6", "FilesPerDistance 5", "ps.txt:7: NrFilesPerDistance 5: StartNr to"),
    ],
)
def test_images_that_cannot_be_written_are_refused_before_anything_is(
    here, edit, refused, old: str, new: str, said: str
) -> None:
    edit(old, new)
    assert refused(*SIMULATE).startswith(said)
