"""Lit pixels that other programs found: peak files of Ice9, stacks of HEXOMAP."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.io.hexomap import read_ice9_stack, read_npz_stack, read_peak_file
from refimpl.io.lit_files import (
    lit_of_frames,
    read_frame_pixels,
)
from refimpl.io.nearfield_params import read_nearfield_params
from refimpl.nearfield.calibrate_hexomap import hexomap_setup
from refimpl.nearfield.images import process_images
from refimpl.nearfield.peak_images import read_peak_images
from refimpl.objective.overlap import confidence
from refimpl.rotations import expmap, matrix_of_euler
from refimpl.testing.nearfield_scan import (
    NY,
    NZ,
)
from refimpl.units import DEG


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
        ({"shape": np.array([5, 4])}, "pixels of columns 1 to 2, rows 0 to 5: outside 4 x 5"),
        ({"x": np.array([-1, 2, 2], np.int16)}, "pixels of columns -1 to 2, rows 0 to 5: outside"),
        ({"shape": np.array([0, 4])}, "a detector of 0 x 4 pixels: expected 1 to 65536 each"),
        ({"shape": np.array([6, 65537])}, "a detector of 6 x 65537 pixels"),
        ({"shape": np.array([6, 4, 1])}, "not a readable npz stack: shape is not two whole numb"),
        ({"intensity": np.ones((3, 0), int)}, "npz stack: intensity is not a row of whole numbers"),
        ({"ptr": np.array([0.0, 2.0, 3.0])}, "npz stack: ptr is not a row of whole numbers"),
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
