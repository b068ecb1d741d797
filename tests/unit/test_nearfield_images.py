"""Near-field images to lit pixels: the whole way, its files, and what is kept of a run."""

from __future__ import annotations

import tracemalloc
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from refimpl.forward.nearfield_stack import (
    ImageModel,
    SimulatedPixels,
    model_image,
    raw_image,
    stack_images,
)
from refimpl.frames import nearfield_from_raw
from refimpl.imaging.binarise import Filters
from refimpl.io.nearfield_params import NearfieldParams
from refimpl.io.nearfield_stack import write_published_tiffs, write_stack
from refimpl.io.spots_info import read_lit
from refimpl.nearfield import images as images_module
from refimpl.nearfield.images import filters_of, process_images
from refimpl.testing.nearfield_scan import (
    FRAMES,
    NY,
    NZ,
    lit_set,
    parameters,
    scan,
)


def test_lit_pixels_of_numbered_images(numbered: Path) -> None:
    seen: list[tuple[str, int, int, int]] = []
    found = process_images(parameters(numbered), progress=lambda *a: seen.append(a), threads=1)
    assert found.lit.shape == (2, FRAMES, NY, NZ)
    for d in range(2):
        assert lit_set(found.lit, d) == scan(d)[1]
        report = found.reports[d]
        assert (report.distance, report.kept, report.n_lit) == (d + 1, False, 100)
        assert report.empty_frames == (2,)  # said, not faked
    assert seen[0] == ("background", 1, NZ, NZ)
    assert seen[-1] == ("frames", 2, FRAMES, FRAMES)


def test_published_files(numbered: Path) -> None:
    found = process_images(parameters(numbered, WriteFinImage=1))
    out = numbered / "out"
    for d in range(2):
        frames = scan(d)[0]
        median = np.sort(frames, axis=0)[(FRAMES - 1) // 2]
        for kind, expected in (
            ("Median_Background", median),
            ("MaximumIntensity", frames.max(axis=0)),
            ("MaximumIntensityMedianCorrected", frames.max(axis=0) - median),
        ):
            raw = np.fromfile(out / f"red_{kind}_Distance_{d}.bin", "<u2").reshape(NZ, NY)
            assert (raw == expected).all()
        image = np.fromfile(out / f"red_FullImage_000001.bin{d}", "<u2").reshape(NZ, NY)
        above = np.maximum(frames[1].astype(int) - median - 20, 0)
        assert (image == above).all()
    assert found.spots_info == out / "SpotsInfo.bin"
    shape = (2, FRAMES, NY, NZ)
    bits = read_lit(out / "SpotsInfo.bin", shape).pixels().tolist()
    assert {tuple(pixel) for pixel in bits} == {(d, *p) for d in range(2) for p in scan(d)[1]}
    assert not list(out.glob(".*"))  # no scratch, no half files


def test_pixels_are_flipped_as_images_are() -> None:
    row, column = np.array([0, NZ - 1]), np.array([0, 7])
    y, z = nearfield_from_raw(row, column, (NY, NZ))
    assert y.tolist() == [NY - 1, NY - 8]
    assert z.tolist() == [NZ - 1, 0]
    raw = np.zeros((NZ, NY))
    raw[row, column] = 1.0, 2.0
    assert model_image(raw)[y, z].tolist() == [1.0, 2.0]
    assert (raw_image(model_image(raw)) == raw).all()


@pytest.mark.parametrize("suffix", ["tif", "h5", "zarr"])
def test_simulated_images_return(tmp_path: Path, suffix: str) -> None:
    """Lit pixels -> images as they are simulated -> lit pixels, none more and none less."""
    shape = (2, FRAMES, NY, NZ)
    key = np.unique(np.random.default_rng(3).integers(0, 2 * FRAMES * NY * NZ, 900))
    pixels = SimulatedPixels(shape, key, np.ones(len(key), np.int32))
    model = ImageModel(counts=400.0, blur_px=0.0)
    images = [stack_images(pixels, model, distance=d) for d in range(2)]
    changes: dict[str, Any] = {"DataDirectory": ".", "RawStartNr": 2, "WFImages": 1}
    if suffix == "tif":
        for d in range(2):
            write_published_tiffs(
                tmp_path, "au", images[d], d, start=2, files_per_distance=FRAMES, wf_images=1
            )
    else:
        changes |= {"RawStartNr": 0, "WFImages": 0, "extOrig": suffix}
        write_stack(tmp_path / f"au.{suffix}", chain(*images), 2 * FRAMES, (NZ, NY))
    found = process_images(parameters(tmp_path, BlanketSubtraction=50.0, **changes))
    rows = found.lit.pixels()
    assert (np.sort(np.ravel_multi_index(tuple(rows.T), shape)) == key).all()


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_and_memory_do_not_change_a_bit(numbered: Path, threads: int) -> None:
    settings = Filters(log_sigma=2.0, log_radius=5, blanket=20, median_radius=0)
    names = ("SpotsInfo.bin", "lit_pixels_distance_1.h5", "red_Median_Background_Distance_0.bin")
    one = process_images(parameters(numbered, OutputDirectory="a"), filters=settings, threads=1)
    process_images(
        parameters(numbered, OutputDirectory="b"), filters=settings, threads=threads,
        memory_mb=1e-3, again=True,
    )  # fmt: skip
    assert one.lit.n_lit > 100
    for name in names:
        assert (numbered / "a" / name).read_bytes() == (numbered / "b" / name).read_bytes()


def test_memory_does_not_grow_with_the_scan(tmp_path: Path) -> None:
    """NumPy tells tracemalloc what it holds."""
    peaks = []
    for n in (60, 240):
        base, _ = scan(0)
        frames = np.tile(base, (n // FRAMES, 3, 4))
        path = tmp_path / f"s{n}.npy"
        np.save(path, frames)
        size, largest = frames.nbytes, frames[0].size
        params = parameters(
            tmp_path, DataDirectory=".", nDistances=1, EndNr=n - 1, NrPixelsY=4 * NY,
            NrPixelsZ=3 * NZ,
        )  # fmt: skip
        del frames
        tracemalloc.start()
        found = process_images(params, stacks=[path], memory_mb=0.5, threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1] - found.lit.nbytes)
        tracemalloc.stop()
    assert size == 2 * 240 * largest
    assert peaks[1] < 1.3 * peaks[0] + 3e5  # tiles of the result are held twice while joined
    assert peaks[1] < 0.3 * size


def test_a_fake_pixel_on_request(numbered: Path) -> None:
    """Published: frame without spots lights pixel 2045 of the raw image; beyond 40 x 50 px."""
    one = Filters(blanket=20, log=False, fake_pixel=True)
    assert process_images(parameters(numbered), filters=one).reports[0].empty_frames == (2,)
    frames = np.tile(scan(0)[0], (1, 2, 1))
    np.save(numbered / "high.npy", frames)
    params = parameters(numbered, nDistances=1, NrPixelsZ=2 * NZ, OutputDirectory="high")
    found = process_images(params, filters=one, stacks=[numbered / "high.npy"])
    assert found.reports[0].empty_frames == ()
    row, column = divmod(2045, NY)
    pixels = {tuple(p[2:]) for p in found.lit.pixels().tolist() if p[1] == 2}
    assert pixels == {(NY - 1 - column, 2 * NZ - 1 - row)}


def test_the_definitions_find_the_same(numbered: Path) -> None:
    from refimpl.dispatch import use_backend

    settings = Filters(log_sigma=2.0, log_radius=5, blanket=20)
    process_images(parameters(numbered, OutputDirectory="a"), filters=settings)
    with use_backend("python"):
        process_images(parameters(numbered, OutputDirectory="b"), filters=settings, threads=2)
    one, other = ((numbered / f / "SpotsInfo.bin").read_bytes() for f in "ab")
    assert one == other


def test_distances_that_are_done_are_kept(numbered: Path) -> None:
    first = process_images(parameters(numbered))
    again = process_images(parameters(numbered))
    assert [r.kept for r in again.reports] == [True, True]
    assert (again.lit.pixels() == first.lit.pixels()).all()
    changed = process_images(parameters(numbered, BlanketSubtraction=30.0))
    assert [r.kept for r in changed.reports] == [False, False]
    frame = scan(1)[0][0]
    tifffile.imwrite(numbered / "raw" / f"au_{3 + FRAMES + 2:06d}.tif", frame + 1)
    touched = process_images(parameters(numbered, BlanketSubtraction=30.0))
    assert [r.kept for r in touched.reports] == [True, False]
    (numbered / "out" / "red_MaximumIntensity_Distance_0.bin").unlink()
    (numbered / "out" / "lit_pixels_distance_1.h5").write_bytes(b"cut")
    whole = process_images(parameters(numbered, BlanketSubtraction=30.0))
    assert [r.kept for r in whole.reports] == [False, False]


def test_a_run_that_is_stopped_goes_on(numbered: Path) -> None:
    def stop(what: str, distance: int, done: int, of: int) -> None:
        if (what, distance, done) == ("frames", 2, 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process_images(parameters(numbered), progress=stop, threads=2)
    out = numbered / "out"
    assert not (out / "lit_pixels_distance_1.h5").exists()
    assert not list(out.glob(".*"))
    found = process_images(parameters(numbered))
    assert [r.kept for r in found.reports] == [True, False]
    assert lit_set(found.lit, 1) == scan(1)[1]


def test_names_of_the_files_kept(numbered: Path) -> None:
    """What decides that a distance is done is what is written."""
    process_images(parameters(numbered), spots_info=False)
    names = {path.name for path in (numbered / "out").iterdir()}
    kinds = images_module._PUBLISHED
    expected = {f"red_{k}_Distance_{d}.bin" for k in kinds for d in range(2)}
    assert names == expected | {f"lit_pixels_distance_{d}.h5" for d in range(2)}


def test_filters_of_a_parameter_file(tmp_path: Path) -> None:
    params = parameters(
        tmp_path, MedFiltRadius=5, DoLoGFilter=1, GaussFiltRadius=4.0, LoGMaskRadius=10
    )
    found = filters_of(params, fake_pixel=True)
    assert found == Filters(
        blanket=20, median_radius=0, log=True, log_sigma=4.0, log_radius=10, fake_pixel=True
    )
    assert filters_of(parameters(tmp_path, MedFiltRadius=2)).median_radius == 2


def test_filters_of_a_file_that_says_nothing_are_the_published_ones() -> None:
    """What ProcessImagesCombined.c begins with (MIDAS, August 2026), not what its manual says."""
    assert filters_of(NearfieldParams({}, None, {})) == Filters(
        blanket=0, median_radius=1, log=True, log_sigma=1.0, log_radius=4
    )
    assert Filters() == filters_of(NearfieldParams({}, None, {}))
