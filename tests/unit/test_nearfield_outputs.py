"""Files of near-field maps: one row a voxel, right headers, no rows of earlier runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refimpl.errors import FormatError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.io.mic import read_mic
from refimpl.io.mic_matches import read_all_matches
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.outputs import read_map, save


def a_map(n: int = 6, solutions: int = 2) -> NearfieldMap:
    """Voxels of which the first has no solution."""
    rng = np.random.default_rng(4)
    voxels = Voxels(rng.uniform(-0.01, 0.01, (n, 2)), np.full(n, 0.0025), np.arange(n) % 2 == 0)
    euler = rng.uniform(0.1, 3.0, (n, 3))
    euler[0] = np.nan
    confidence = rng.uniform(0.5, 1.0, n)
    several = np.stack([euler] * solutions, axis=1)
    return NearfieldMap.of(
        voxels, euler, confidence, 225, seed=np.arange(n) - 1, n_kept=np.arange(n),
        solutions_euler_rad=several,
        solutions_confidence=np.stack([np.nan_to_num(confidence)] * solutions, axis=1),
        position_um=3.0,
    )  # fmt: skip


def test_fault_05_the_header_states_the_edge_though_row_0_is_a_hole(tmp_path: Path) -> None:
    written = save(a_map(), tmp_path / "new" / "folder")
    lines = written.text.read_text().splitlines()
    assert lines[0] == "%TriEdgeSize 2.500000"
    assert lines[2] == "%GlobalPosition 3.000000"
    assert read_mic(written.binary).tri_edge_um == 2.5
    matches = written.text.with_name("map.mic.AllMatches").read_text().splitlines()
    assert matches[0] == "%TriEdgeSize 2.500000"


def test_every_voxel_has_a_row_in_every_file(tmp_path: Path) -> None:
    m = a_map()
    written = save(m, tmp_path)
    text, binary = read_mic(written.text), read_mic(written.binary)
    assert len(text) == len(binary) == 6
    np.testing.assert_allclose(text.xy_mm, m.voxels.xy_mm, atol=1e-9)  # 6 decimals of a um
    assert text.confidence[0] == 0.0
    np.testing.assert_array_equal(binary.euler_rad[1:], m.euler_rad[1:])
    assert len(read_all_matches(written.binary.with_name("map.mic.bin.AllMatches"), 2).head) == 6
    published = save(m, tmp_path / "p", published_rows=True)
    assert len(read_mic(published.text)) == 5
    assert len(read_mic(published.binary)) == 6
    rows = published.text.with_name("map.mic.AllMatches").read_text().splitlines()
    assert len(rows) == 4 + 5
    assert all(p.is_file() for p in written)
    numbers = json.loads(written.numbers.read_text())
    assert (numbers["voxels"], numbers["solved"]) == (6, 5)


def test_fault_04_a_second_run_leaves_no_rows_of_the_first(tmp_path: Path) -> None:
    save(a_map(6), tmp_path)
    second = a_map(3, solutions=1)
    written = save(second, tmp_path)
    assert len(read_mic(written.binary)) == 3
    matches = read_all_matches(written.binary.with_name("map.mic.bin.AllMatches"), 1)
    assert len(matches.head) == 3
    # filled for one solution, too
    np.testing.assert_array_equal(matches.solutions[1:, 0, :3], second.euler_rad[1:])


def test_maps_are_read_back(tmp_path: Path) -> None:
    m = a_map()
    written = save(m, tmp_path, text="sub/Au.mic", binary="Au.bin")
    assert written.hdf5.name == "Au.mic.h5"
    ours = read_map(written.hdf5)
    np.testing.assert_array_equal(ours.euler_rad, m.euler_rad)
    assert ours.space_group == 225
    assert read_map(written.hdf5, space_group=194).space_group == 194
    binary = read_map(written.binary, space_group=225)
    np.testing.assert_array_equal(binary.euler_rad, m.euler_rad)
    np.testing.assert_array_equal(binary.solved, m.solved)
    np.testing.assert_array_equal(binary.seed, m.seed)
    text = read_map(written.text, space_group=225)
    np.testing.assert_allclose(text.euler_rad, m.euler_rad, atol=1e-6)  # 6 decimals
    assert text.position_um == 3.0


def test_grains_may_be_told_by_another_symmetry(tmp_path: Path) -> None:
    m = a_map()
    turned = m.euler_rad.copy()
    turned[1:] = turned[1]
    turned[3:, 2] += np.pi / 3.0  # none in 6/mmm
    m = m.changed(euler_rad=turned)
    wide = {"grain_angle_rad": 0.1, "pixel_um": 0.5}
    cubic = save(m, tmp_path / "cubic", **wide).pixels[2]
    hexagonal = save(m, tmp_path / "hexagonal", grain_space_group=194, **wide).pixels[2]
    assert np.fromfile(hexagonal)[4:].max() < np.fromfile(cubic)[4:].max()


def test_holes_of_a_published_binary_map_are_left_out(tmp_path: Path) -> None:
    rows = np.zeros((3, 11))
    rows[1] = [5, 2, 0.1, 1.0, 2.0, 2.5, -1, 0.1, 0.2, 0.3, 0.9]
    (tmp_path / "m.bin").write_bytes(rows.tobytes())
    m = read_map(tmp_path / "m.bin", space_group=225)
    assert len(m) == 1
    assert m.seed.tolist() == [5]
    assert not m.voxels.up[0]


def test_what_is_no_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.mic: cannot be read: No such file"):
        read_map(tmp_path / "none.mic")
    written = save(a_map(), tmp_path)
    with pytest.raises(FormatError, match=r"does not say its space group: give it, or the param"):
        read_map(written.text)
    (tmp_path / "empty.bin").write_bytes(np.zeros((2, 11)).tobytes())
    with pytest.raises(FormatError, match=r"empty\.bin: a map without a row"):
        read_map(tmp_path / "empty.bin", space_group=225)
    bad = written.text.read_text().replace("2.500000\t", "-2.500000\t")
    (tmp_path / "bad.mic").write_text(bad)
    with pytest.raises(FormatError, match=r"bad\.mic: not a map: Voxels: edge_mm"):
        read_map(tmp_path / "bad.mic", space_group=225)
