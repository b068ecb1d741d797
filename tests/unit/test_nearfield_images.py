"""Near-field images from files to lit pixels, and what is said of images that are wrong."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.forward.nearfield_stack import (
    ImageModel,
    SimulatedPixels,
    model_image,
    raw_image,
    stack_images,
)
from refimpl.frames import nearfield_from_raw
from refimpl.imaging.binarise import Filters
from refimpl.io.hexomap import read_ice9_stack, read_npz_stack, read_peak_file
from refimpl.io.lit_files import (
    FramePixels,
    append_frame_pixels,
    lit_of_frames,
    open_frame_pixels,
    read_frame_pixels,
    stream_spots_info,
    write_frame_pixels,
)
from refimpl.io.nearfield_frames import open_stack
from refimpl.io.nearfield_params import NearfieldParams, read_nearfield_params
from refimpl.io.nearfield_stack import write_published_tiffs, write_stack
from refimpl.io.spots_info import read_lit, write_spots_info
from refimpl.nearfield import images as images_module
from refimpl.nearfield.calibrate_hexomap import hexomap_setup
from refimpl.nearfield.image_files import plan_of
from refimpl.nearfield.images import filters_of, process_images
from refimpl.nearfield.peak_images import read_peak_images
from refimpl.objective.overlap import confidence
from refimpl.rotations import expmap, matrix_of_euler
from refimpl.units import DEG

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
    values: dict[str, Any] = {
        "DataDirectory": "raw", "OutputDirectory": "out", "OrigFileName": "au",
        "ReducedFileName": "red", "nDistances": 2, "StartNr": 0, "EndNr": FRAMES - 1,
        "RawStartNr": 3, "WFImages": 2, "NrPixelsY": NY, "NrPixelsZ": NZ,
        "BlanketSubtraction": 20.0, "DoLoGFilter": 0, "MedFiltRadius": 0, **changes,
    }  # fmt: skip
    values = {key: value for key, value in values.items() if value is not None}
    return NearfieldParams(values, folder / "ps.txt", {})


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """Numbered TIFFs of two distances, with two wide-field images after each."""
    (tmp_path / "raw").mkdir()
    for d in range(2):
        for f, frame in enumerate(scan(d)[0]):
            number = 3 + d * (FRAMES + 2) + f
            tifffile.imwrite(tmp_path / "raw" / f"au_{number:06d}.tif", frame)
        for w in range(2):
            number = 3 + d * (FRAMES + 2) + FRAMES + w
            tifffile.imwrite(tmp_path / "raw" / f"au_{number:06d}.tif", np.zeros((9, 9), np.uint16))
    return tmp_path


def lit_set(lit: Any, distance: int) -> set[tuple[int, int, int]]:
    return {(int(f), int(y), int(z)) for d, f, y, z in lit.pixels() if d == distance}


# --- the whole way


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


# --- resume


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


# --- where the frames come from


def _hdf5(path: Path, frames: Counts, **more: Any) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("exchange/data", data=frames, **more)


def _zarr(path: Path, frames: Counts) -> None:
    import zarr

    group = zarr.open_group(str(path), mode="w")
    group.create_array("exchange/data", data=frames, chunks=(1, NZ, NY))


@pytest.mark.parametrize(
    "kind", ["h5", "h5 chunks", "zarr", "npy", "tif", "tif deflate", "big-endian", "int32 npy"]
)
def test_stacks_in_one_file(tmp_path: Path, kind: str) -> None:
    """One file for all: the numbers of the images are places in it."""
    before = np.zeros((3, NZ, NY), dtype=np.uint16)
    gap = np.zeros((2, NZ, NY), dtype=np.uint16)
    whole = np.concatenate([before, scan(0)[0], gap, scan(1)[0], gap])
    path = tmp_path / f"all.{kind.split()[-1] if 'npy' in kind else kind.split()[0]}"
    if kind.startswith("h5"):
        more = {"chunks": (1, NZ, NY), "compression": "gzip"} if "chunks" in kind else {}
        _hdf5(path, whole, **more)
    elif kind == "zarr":
        _zarr(path, whole)
    elif "npy" in kind:
        np.save(path, whole.astype(np.int32) if "int32" in kind else whole)
    elif kind == "big-endian":
        path = tmp_path / "all.npy"
        np.save(path, whole.astype(">u2"))
    else:
        more = {"compression": "zlib"} if "deflate" in kind else {}
        tifffile.imwrite(path, whole, photometric="minisblack", **more)
    found = process_images(parameters(tmp_path, DataDirectory="."), stacks=[path])
    for d in range(2):
        assert lit_set(found.lit, d) == scan(d)[1]
    assert not list((tmp_path / "out").glob(".scratch*"))


def test_a_stack_for_each_distance_and_one_beside_the_numbers(tmp_path: Path) -> None:
    for d in range(2):
        np.save(tmp_path / f"d{d}.npy", scan(d)[0])
    paths = [tmp_path / "d0.npy", tmp_path / "d1.npy"]
    found = process_images(parameters(tmp_path, DataDirectory="."), stacks=paths)
    assert lit_set(found.lit, 1) == scan(1)[1]
    alone = parameters(tmp_path, DataDirectory=".", nDistances=1, OutputDirectory="one")
    assert lit_set(process_images(alone, stacks=paths[:1]).lit, 0) == scan(0)[1]
    _hdf5(tmp_path / "au.h5", np.concatenate([np.zeros((3, NZ, NY), np.uint16), scan(0)[0]]))
    auto = parameters(
        tmp_path, DataDirectory=".", nDistances=1, extOrig="h5", OutputDirectory="two"
    )
    assert lit_set(process_images(auto, dataset="exchange/data").lit, 0) == scan(0)[1]


@pytest.mark.parametrize("how", ["zlib", "uint8", "int32", "edf"])
def test_numbered_images_that_are_not_plain(tmp_path: Path, how: str) -> None:
    frames, truth = scan(0)
    if how == "uint8":
        frames = (frames // 4).astype(np.uint16)
    suffix = "edf" if how == "edf" else "tif"
    for f, frame in enumerate(frames):
        path = tmp_path / f"au_{f:06d}.{suffix}"
        if how == "edf":
            import fabio.edfimage

            fabio.edfimage.EdfImage(data=frame).write(str(path))
        else:
            kind: Any = {"uint8": np.uint8, "int32": np.int32}.get(how, np.uint16)
            tifffile.imwrite(
                path, frame.astype(kind), compression="zlib" if how == "zlib" else None
            )
    with open_stack(
        [tmp_path / f"au_{f:06d}.{suffix}" for f in range(FRAMES)], (NZ, NY), tmp_path / "scratch"
    ) as stack:
        assert (stack.rows(5, 17) == frames[:, 5:17]).all()
        assert (stack.frame(4) == frames[4]).all()
        assert stack.n_frames == FRAMES
    params = parameters(tmp_path, DataDirectory=".", RawStartNr=0, nDistances=1, extOrig=suffix)
    if how != "uint8":
        assert lit_set(process_images(params).lit, 0) == truth


def test_numbers_of_the_images(tmp_path: Path) -> None:
    """Spec 1.8: RawStartNr + (L - 1)(NrFilesPerDistance + WFImages) + j."""
    params = parameters(tmp_path, DataDirectory=".", NrFilesPerDistance=9)
    plan = plan_of(params, layer=2)
    assert list(plan.numbers(1)) == [3 + 2 * 11 + 11 + j for j in range(FRAMES)]
    assert plan.files(1)[0] == tmp_path / "au_000036.tif"
    assert plan.frames(1) is None
    assert plan.full_image(1, 4).name == "red_FullImage_000004.bin1"


# --- bad input


def test_short_missing_empty_and_wrong_images_are_named(numbered: Path) -> None:
    path = numbered / "raw" / f"au_{3 + 1:06d}.tif"
    good = path.read_bytes()

    def fails(message: str) -> None:
        with pytest.raises(FormatError, match=message) as caught:
            process_images(parameters(numbered))
        assert caught.value.path == path
        assert not list((numbered / "out").glob("*.h5"))

    path.write_bytes(good[:-100])
    fails("truncated: .* bytes, of .* or more")
    path.write_bytes(b"")
    fails("the image is empty: 0 bytes")
    path.write_bytes(b"not a TIFF at all")
    fails("not a readable TIFF")
    tifffile.imwrite(path, np.zeros((NY, NZ), np.uint16))
    fails(f"image of {NY} x {NZ} pixels .rows x columns.: NrPixelsZ x NrPixelsY is {NZ} x {NY}")
    tifffile.imwrite(path, np.zeros((2, NZ, NY), np.uint16), photometric="minisblack")
    fails("2 frames in a numbered image; one is expected")
    tifffile.imwrite(path, np.full((NZ, NY), -3, np.int32))
    fails("frame 0: counts from -3 to -3; 0 to 65535 are read")
    tifffile.imwrite(path, np.full((NZ, NY), 0.5, np.float32))
    fails("frame 0: counts that are not whole numbers")
    path.unlink()
    fails(f"no such image: {FRAMES} are needed")
    (path.parent / f"au_{3 + 4:06d}.tif").unlink()
    fails(f"no such image .and 1 more.: {FRAMES} are needed")


def test_a_missing_image_of_the_last_distance_is_found_first(numbered: Path) -> None:
    path = numbered / "raw" / f"au_{3 + FRAMES + 2 + 5:06d}.tif"
    path.unlink()
    with pytest.raises(FormatError, match=f"no such image: {FRAMES} are needed") as caught:
        process_images(parameters(numbered))
    assert caught.value.path == path
    assert not (numbered / "out").exists()


def test_images_that_are_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "dark.npy"
    np.save(path, np.zeros((FRAMES, NZ, NY), np.uint16))
    with pytest.raises(FormatError, match="all 6 images of distance 1 are the same or empty"):
        process_images(parameters(tmp_path, DataDirectory=".", nDistances=1), stacks=[path])


def test_stacks_that_are_too_short(tmp_path: Path) -> None:
    path = tmp_path / "s.npy"
    np.save(path, scan(0, 5)[0])
    one = parameters(tmp_path, DataDirectory=".", nDistances=1)
    with pytest.raises(FormatError, match="5 frames: number 5, counted from 0, is needed"):
        process_images(one, stacks=[path])
    np.save(path, np.zeros((FRAMES, NY, NZ), np.uint16))
    with pytest.raises(FormatError, match="NrPixelsZ x NrPixelsY is 40 x 50"):
        process_images(one, stacks=[path])
    with pytest.raises(ConfigError, match="3 stacks: expected 1 or nDistances, 2"):
        process_images(parameters(tmp_path, DataDirectory="."), stacks=[path] * 3)


def test_a_file_that_shrinks_while_it_is_read(numbered: Path) -> None:
    files = [numbered / "raw" / f"au_{3 + f:06d}.tif" for f in range(FRAMES)]
    with open_stack(files, (NZ, NY), numbered) as stack:
        files[2].write_bytes(files[2].read_bytes()[:600])
        with pytest.raises(FormatError, match=r"truncated: .* bytes where frame 2 has 4000"):
            stack.frame(2)
        files[3].unlink()
        with pytest.raises(FormatError, match="cannot be read: No such file"):
            stack.frame(3)


def test_no_room_for_the_scratch_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.h5"
    _hdf5(path, scan(0)[0], chunks=(1, NZ, NY), compression="gzip")

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("refimpl.io.nearfield_frames._counts", full)
    with pytest.raises(ConfigError, match=r"cannot unpack 6 frames of 4000 bytes .*No space left"):
        open_stack([path], (NZ, NY), tmp_path / "scratch", frames=range(FRAMES))
    assert not list((tmp_path / "scratch").iterdir())


def test_parameters_that_cannot_be(tmp_path: Path) -> None:
    for changes, message in (
        ({"NrFilesPerDistance": 5}, "NrFilesPerDistance 5: StartNr to EndNr are 6 frames"),
        ({"ReducedFileName": None}, "ReducedFileName"),
        ({"BlanketSubtraction": 1.5}, "BlanketSubtraction 1.5: expected whole counts"),
    ):
        with pytest.raises(ConfigError, match=message):
            process_images(parameters(tmp_path, **{"DataDirectory": ".", **changes}))
    with pytest.raises(ConfigError, match="layer 0: expected 1 or more"):
        process_images(parameters(tmp_path), 0)
    with pytest.raises(FormatError, match=r"no such folder of images .DataDirectory."):
        process_images(parameters(tmp_path))


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


# --- files of lit pixels


def small_pixels() -> FramePixels:
    y, z = np.array([1, 4, 0], np.uint16), np.array([2, 0, 5], np.uint16)
    return FramePixels((5, 6), y, z, np.array([0, 2, 2, 3]), "abc")


def test_lit_pixels_return_from_their_file(tmp_path: Path) -> None:
    one = small_pixels()
    path = write_frame_pixels(tmp_path / "l.h5", one)
    back = read_frame_pixels(path)
    for name in ("y", "z", "ptr"):
        assert (getattr(back, name) == getattr(one, name)).all()
    assert (back.shape_px, back.source, back.n_frames) == ((5, 6), "abc", 3)
    assert one.empty_frames.tolist() == [1]
    assert [frame.tolist() for frame in one.frames()] == [[1 * 6 + 2, 4 * 6], [], [5]]
    assert lit_of_frames([one, one]).pixels().tolist()[-1] == [1, 2, 0, 5]
    none = FramePixels((5, 6), one.y[:0], one.z[:0], np.array([0, 0]))
    assert read_frame_pixels(write_frame_pixels(path, none)).n_frames == 1


@given(ny=st.integers(1, 9), nz=st.integers(1, 9), n=st.integers(1, 5), seed=st.integers(0, 99))
def test_spots_info_is_streamed(ny: int, nz: int, n: int, seed: int) -> None:
    """Frames that begin within a byte too, against the writer that holds all pixels."""
    rng = np.random.default_rng(seed)
    lit = rng.random((2, n, ny, nz)) < rng.choice([0.0, 0.05, 0.6])
    distances = []
    for frames in lit:
        f, y, z = np.nonzero(frames)
        ptr = np.append(0, np.cumsum(np.bincount(f, minlength=n)))
        distances.append(FramePixels((ny, nz), y.astype(np.uint16), z.astype(np.uint16), ptr))
    with TemporaryDirectory() as name:
        one = stream_spots_info(Path(name) / "one.bin", distances).read_bytes()
        keys = np.flatnonzero(lit)
        assert one == write_spots_info(Path(name) / "two.bin", keys, lit.shape).read_bytes()


def test_long_frames_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refimpl.io.lit_files._HELD", 10)
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 9, (2, n)).astype(np.uint16) for n in (4, 7, 0, 30, 1)]
    with append_frame_pixels(tmp_path / "l.h5", (9, 9)) as append:
        for y, z in parts:
            append(y, z)
    back = read_frame_pixels(tmp_path / "l.h5")
    assert (back.y == np.concatenate(parts, axis=1)[0]).all()
    assert (back.z == np.concatenate(parts, axis=1)[1]).all()
    assert back.ptr.tolist() == [0, 4, 11, 11, 41, 42]


def test_files_of_lit_pixels_that_are_none(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "l.h5"
    with pytest.raises(FormatError, match="no such file"):
        read_frame_pixels(path)
    path.write_bytes(b"junk")
    with pytest.raises(FormatError, match="not a readable HDF5 file"):
        read_frame_pixels(path)
    _hdf5(path, scan(0)[0])
    with pytest.raises(FormatError, match="not a file of lit pixels"):
        read_frame_pixels(path)
    write_frame_pixels(path, small_pixels())
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 2
    with pytest.raises(FormatError, match=r"schema 2 is newer than this refimpl .1.; upgrade"):
        read_frame_pixels(path)
    one = small_pixels()
    with pytest.raises(FormatError, match="3 y, 3 z: the frames do not fit them"):
        FramePixels((5, 6), one.y, one.z, np.array([0, 2]))
    wide = FramePixels((5, 5), one.y, one.z, one.ptr)
    with pytest.raises(FormatError, match="y to 0, z to 5: outside the detector of 5 x 5 pixels"):
        list(wide.frames())
    many = np.random.default_rng(0).integers(0, 5, 9000).astype(np.uint16)
    write_frame_pixels(path, FramePixels((5, 5), many, many, np.array([0, 9000])))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    path.write_bytes(content)
    with pytest.raises(FormatError, match="truncated or corrupt: "):
        read_frame_pixels(path)
    with (
        pytest.raises(FormatError, match=r"truncated or corrupt: Can't read data"),
        open_frame_pixels(write_frame_pixels(path, one)),
    ):
        raise OSError("Can't read data")  # as HDF5 does, without a number
    path.unlink()
    with pytest.raises(PermissionError), open_frame_pixels(write_frame_pixels(path, one)):
        raise PermissionError(13, "of the one who reads")
    other = FramePixels((5, 6), one.y, one.z, np.array([0, 3]))
    with pytest.raises(FormatError, match=r"1 frames of .5, 6. pixels, the first distance has 3"):
        lit_of_frames([one, other])


# --- Ice9 and HEXOMAP


def peak_file(y: list[int], z: list[int], magic: int = 0xFEEDBEEF) -> bytes:
    """Peak file as HEXOMAP's reader states it; the name of a block may be of any length."""
    n, out = len(y), io.BytesIO()

    def block(name: bytes, content: bytes, children: int = 0) -> None:
        head = (magic, 1, 1, children, len(name), len(content) + len(name), 0, 0)
        out.write(struct.pack("<IHHHHIHH", *head) + name + content)

    out.write(struct.pack("<f", 1.0))
    out.write(struct.pack("<IHHHHIHH", magic, 1, 1, 4, 9, 99, 0, 0) + b"PeakFile\0")
    out.write(struct.pack("<5I", 4, 5, 6, 7, 1))
    block(b"PixelCoord0\0", np.array(y, "<u2").tobytes())
    block(b"PixelCoord1\0", np.array(z, "<u2").tobytes())
    block(b"Intensity\0", np.full(n, 2.5, "<f4").tobytes())
    block(b"PeakID\0", np.ones(n, "<u2").tobytes())
    return out.getvalue()


@pytest.mark.parametrize("magic", [0xFEEDBEEF, 1])
def test_ice9_files_turn_z(tmp_path: Path, magic: int) -> None:
    """Z -> NrPixelsZ - Z on reading (spec 1.8), which puts Z = 0 off the detector."""
    files = [tmp_path / f"a_{f:06d}.bin0" for f in range(2)]
    files[0].write_bytes(peak_file([3, 3, 49], [7, 0, 39], magic))
    files[1].write_bytes(peak_file([], [], magic))
    assert read_peak_file(files[0]).intensity.tolist() == [2.5] * 3
    found, outside = read_ice9_stack(files, (NY, NZ), ice9=True)
    assert list(zip(found.y.tolist(), found.z.tolist(), strict=True)) == [(3, 33), (49, 1)]
    assert outside == 1
    assert found.ptr.tolist() == [0, 2, 2]
    plain, outside = read_ice9_stack(files, (NY, NZ), ice9=False)
    assert list(zip(plain.y.tolist(), plain.z.tolist(), strict=True)) == [(3, 0), (3, 7), (49, 39)]
    assert outside == 0


@pytest.mark.parametrize("line", ["Ice9Input", "Ice9Input ", "Ice9Input 1"])
def test_ice9input_in_a_parameter_file(tmp_path: Path, line: str) -> None:
    """The published programs know the key with a blank behind it only, the manual without one."""
    text = f"ReducedFileName red\nnDistances 1\nStartNr 4\nEndNr 5\nNrPixelsY {NY}\nNrPixelsZ {NZ}"
    (tmp_path / "ps.txt").write_text(f"{text}\n{line}\n")
    params = read_nearfield_params(tmp_path / "ps.txt")
    (tmp_path / "red_000004.bin0").write_bytes(peak_file([3], [7]))
    with pytest.raises(FormatError, match=r"no such peak file .1 of 2 are missing") as caught:
        process_images(params)
    assert caught.value.path == tmp_path / "red_000005.bin0"
    (tmp_path / "red_000005.bin0").write_bytes(peak_file([9, 9], [8, 0]))
    found = process_images(params)
    assert found.lit.pixels().tolist() == [[0, 0, 3, NZ - 7], [0, 1, 9, NZ - 8]]
    assert found.reports[0].outside == 1
    assert read_frame_pixels(found.reports[0].path).n_frames == 2
    as_they_are = read_peak_images(params, ice9=False)
    assert as_they_are.lit.pixels().tolist() == [[0, 0, 3, 7], [0, 1, 9, 0], [0, 1, 9, 8]]


def test_peak_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.bin0"
    good = peak_file([1, 2], [3, 4])
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_peak_file(path)
    wrong = bytearray(good)
    wrong[good.index(b"PixelCoord1") - 8 : good.index(b"PixelCoord1") - 4] = struct.pack("<I", 14)
    for content, message in (
        (b"", "the peak file is empty: 0 bytes"),
        (good[:10], "truncated: 10 bytes, of 24 or more"),
        (good[:-1], "truncated: .* bytes, of .* or more"),
        (b"x" * 200, "not a binary peak file: no block at byte 4"),
        (bytes(wrong), "1 values in a block, 2 in the first"),
    ):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=message):
            read_peak_file(path)
    with pytest.raises(ConfigError, match="a stack of no frames"):
        read_ice9_stack([], (NY, NZ), ice9=True)


def npz(path: Path, **changes: Any) -> Path:
    values = {
        "x": np.array([1, 2, 2], np.uint16), "y": np.array([0, 5, 4], np.uint16),
        "intensity": np.array([9, 1, 5], np.uint16), "ptr": np.array([0, 1, 3]),
        "shape": np.array([6, 4]), **changes,
    }  # fmt: skip
    np.savez(path, **{k: v for k, v in values.items() if v is not None})
    return path


def test_npz_stacks_turn_the_other_way(tmp_path: Path) -> None:
    """File j is frame N - 1 - j; Y = x, Z = rows - 1 - y."""
    path = npz(tmp_path / "a.npz")
    found = read_npz_stack(path)
    assert found.shape_px == (4, 6)
    assert found.ptr.tolist() == [0, 2, 3]
    assert list(zip(found.y.tolist(), found.z.tolist(), strict=True)) == [(2, 0), (2, 1), (1, 5)]
    assert read_npz_stack(path, least=5).ptr.tolist() == [0, 1, 2]


def test_npz_stacks_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for changes, message in (
        ({"ptr": np.array([0, 1, 2])}, "3 x, 3 y, 3 intensities: ptr does not part them"),
        ({"y": np.array([0, 5], np.uint16)}, "3 x, 2 y, 3 intensities"),
        ({"shape": np.array([5, 4])}, "pixels to column 2, row 5: outside 4 x 5"),
        ({"intensity": None}, "not a readable npz stack"),
    ):
        with pytest.raises(FormatError, match=message):
            read_npz_stack(npz(path, **changes))
    path.write_bytes(b"junk")
    with pytest.raises(FormatError, match="not a readable npz stack"):
        read_npz_stack(path)


def test_the_gold_crystal_is_where_it_was_published(real_data: Any) -> None:
    """Axes, order of the frames and flip of the stacks, by an orientation that was published.

    Any other reading of the files gives what random orientations give.
    """
    stacks = [read_npz_stack(real_data(f"nf-gold-hexomap/au_1deg_det{d}.npz")) for d in range(2)]
    assert [one.n_lit for one in stacks] == [987828, 793388]
    assert [one.n_frames for one in stacks] == [180, 180]
    record = json.loads(real_data("nf-gold-hexomap/geometry.json").read_text())
    setup, lit = hexomap_setup(record, 7.0), lit_of_frames(stacks)
    corners = Voxels(np.zeros((1, 2)), np.array([1e-3]), np.array([True])).vertices()[0]
    gold = matrix_of_euler(np.array([41.06, 38.37, 349.20]) * DEG)
    rng = np.random.default_rng(0)
    others = [expmap(v) for v in rng.normal(0.0, 2.0, (300, 3))]
    found = confidence(corners, np.stack([gold, *others]), setup, lit).confidence
    assert found[0] > 0.95  # at both distances, no tolerance; two reflections near the poles miss
    assert found[1:].mean() < 0.005


def test_names_of_the_files_kept(numbered: Path) -> None:
    """What decides that a distance is done is what is written."""
    process_images(parameters(numbered), spots_info=False)
    names = {path.name for path in (numbered / "out").iterdir()}
    kinds = images_module._PUBLISHED
    expected = {f"red_{k}_Distance_{d}.bin" for k in kinds for d in range(2)}
    assert names == expected | {f"lit_pixels_distance_{d}.h5" for d in range(2)}
