"""Where near-field images come from, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from refimpl.errors import ConfigError, FormatError
from refimpl.io.nearfield_frames import open_stack
from refimpl.nearfield.image_files import plan_of
from refimpl.nearfield.images import process_images
from refimpl.testing.nearfield_scan import (
    FRAMES,
    NY,
    NZ,
    Counts,
    lit_set,
    parameters,
    scan,
    write_hdf5,
)


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
        write_hdf5(path, whole, **more)
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
    write_hdf5(tmp_path / "au.h5", np.concatenate([np.zeros((3, NZ, NY), np.uint16), scan(0)[0]]))
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
    write_hdf5(path, scan(0)[0], chunks=(1, NZ, NY), compression="gzip")

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
