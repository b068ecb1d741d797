"""Published maps: what is read is written back; a row for every voxel; faults left behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refimpl.errors import FormatError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.io.mic import (
    MicTable,
    format_mic,
    header_lines,
    parse_mic,
    read_mic,
    write_mic,
    write_mic_binary,
)
from refimpl.io.mic_matches import (
    AllMatches,
    format_all_matches,
    read_all_matches,
    write_all_matches,
    write_all_matches_text,
)

HEADER = "%TriEdgeSize 1.000000\n%NumPhases 2\n%GlobalPosition 3.500000\n%Names\n"
ROW = "7.0\t2.0\t0.5\t-28.75\t-50.5\t1.0\t-1.0\t2.4\t0.9\t4.2\t0.25\t2\n"


def _voxels(n: int = 3) -> Voxels:
    xy = np.arange(2.0 * n).reshape(n, 2) * 1e-3
    return Voxels(xy, np.full(n, 0.0025), np.arange(n) % 2 == 0)


def _table() -> MicTable:
    euler = np.array([[np.nan] * 3, [1.0, 2.0, 3.0], [0.1, 0.2, 0.3]])
    confidence = np.array([np.nan, 0.5, 1.0])
    return MicTable.of(
        _voxels(), euler, confidence, seed_row=np.array([0, 4, 5]), n_kept=np.array([0, 2, 9])
    )


@pytest.mark.parametrize("name", ["Au_txt", "au_c_reconstructed", "in_e1", "in_e5", "in_e5w"])
def test_published_text_maps_are_written_back(
    real_data: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    path = real_data(f"nearfield-golden/{name}.mic")
    table = read_mic(path)
    write_mic(tmp_path / "a.mic", table)
    assert (tmp_path / "a.mic").read_bytes() == path.read_bytes()
    np.testing.assert_allclose(table.xy_mm[0], [-0.02875, -0.050518149], rtol=1e-15)
    assert not table.up[0]


def test_published_binary_maps_are_written_back(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    columns = np.load(real_data("nearfield-golden/au_fit_c.npz"))["mic"]
    (tmp_path / "c.mic").write_bytes(columns.astype("<f8").tobytes())
    table = read_mic(tmp_path / "c.mic")
    np.testing.assert_array_equal(table.columns, columns)
    write_mic_binary(tmp_path / "b.mic", table)
    assert (tmp_path / "b.mic").read_bytes() == (tmp_path / "c.mic").read_bytes()
    assert int(table.hole.sum()) == int((table.columns[:, 5] == 0.0).sum())
    published = format_mic(table, published_rows=True).splitlines()[4:]
    text = real_data("nearfield-golden/au_c_reconstructed.mic").read_text().splitlines()[4:]
    assert len(published) == len(text) == 3433


def test_columns_have_names_and_units() -> None:
    table = parse_mic(HEADER + ROW)
    assert (table.n_phases, table.global_position_um, table.tri_edge_um) == (2, 3.5, 1.0)
    assert (table.seed_row[0], table.n_kept[0], table.seconds[0]) == (7, 2, 0.5)
    np.testing.assert_allclose(table.xy_mm, [[-0.02875, -0.0505]], rtol=1e-15)
    assert table.edge_mm[0] == 0.001
    assert table.euler_rad.tolist() == [[2.4, 0.9, 4.2]]
    assert (table.confidence[0], table.phase[0], bool(table.up[0])) == (0.25, 2, False)
    voxels = table.voxels("square")
    assert voxels.shape == "square"
    assert len(voxels) == 1


def test_a_row_without_a_phase_is_of_phase_1() -> None:
    assert parse_mic(ROW.rsplit("\t", 1)[0] + "\n").phase.tolist() == [1]
    assert len(parse_mic(HEADER)) == 0


def test_fault_01_every_voxel_has_a_row() -> None:
    """Published: voxels without an orientation are left out of the text, and lost after that."""
    table = _table()
    back = parse_mic(format_mic(table))
    np.testing.assert_allclose(back.xy_mm, _voxels().xy_mm, atol=1e-9)  # 6 decimals of um
    assert back.confidence.tolist() == [0.0, 0.5, 1.0]
    assert back.euler_rad[0].tolist() == [0.0, 0.0, 0.0]
    assert len(parse_mic(format_mic(table, published_rows=True))) == 2


def test_fault_05_the_header_has_the_edge_of_a_row_that_has_one() -> None:
    """Published: of row 0, which is 0 where that is a hole."""
    assert header_lines(_table())[0] == "%TriEdgeSize 2.500000"


def test_fault_05_in_a_published_binary_with_a_hole_in_row_0(tmp_path: Path) -> None:
    columns = _table().columns.copy()
    columns[0] = 0.0
    (tmp_path / "h.mic").write_bytes(columns.astype("<f8").tobytes())
    table = read_mic(tmp_path / "h.mic")
    assert table.tri_edge_um == 2.5
    assert table.hole.tolist() == [True, False, False]
    assert table.rows(~table.hole).tri_edge_um == 2.5


def test_fault_04_matches_of_an_older_run_do_not_survive(tmp_path: Path) -> None:
    """Published: .AllMatches is written into, and is empty for one saved solution."""
    path = tmp_path / "m.AllMatches"
    many = AllMatches(np.ones((5, 7)), np.full((5, 3, 4), 0.5))
    write_all_matches(path, many)
    assert path.stat().st_size == 5 * 19 * 8
    few = AllMatches(np.ones((2, 7)), np.full((2, 1, 4), 0.25))
    write_all_matches(path, few)
    back = read_all_matches(path, 1)
    np.testing.assert_array_equal(back.solutions, few.solutions)
    np.testing.assert_array_equal(back.head, few.head)


def test_matches_as_text(tmp_path: Path) -> None:
    table = AllMatches(np.ones((1, 7)), np.full((1, 2, 4), 0.5))
    lines = format_all_matches(table, header_lines(_table())).splitlines()
    assert lines[0] == "%TriEdgeSize 2.500000"
    assert len(lines[3].split()) == len(lines[4].split()) == 15
    write_all_matches_text(tmp_path / "m.txt", table, header_lines(_table()))
    assert (tmp_path / "m.txt").read_text().splitlines() == lines


def test_matches_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"expected \(v, 7\), \(v, n, 4\)"):
        AllMatches(np.ones((1, 6)), np.ones((1, 2, 4)))
    (tmp_path / "m").write_bytes(b"\x00" * 100)
    with pytest.raises(FormatError, match="100 bytes: with SaveNSolutions 3 a row has 152 bytes"):
        read_all_matches(tmp_path / "m", 3)
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_all_matches(tmp_path / "no", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "1 2 3\n", "a.mic:5: 3 numbers: a row of a .mic file has 11 or 12"),
        (HEADER + ROW + "1 " * 10 + "x\n", "a.mic:6: '1 1 1 1 1 1 1 1 1 1 x': expected numbers"),
        ("%TriEdgeSize one\n" + ROW, "a.mic:1: '%TriEdgeSize one': expected numbers"),
        ("", "a.mic: an empty file: a map (.mic) is needed"),
    ],
)
def test_texts_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.mic").write_text(text)
    with pytest.raises(FormatError, match=re.escape(message)):
        read_mic(tmp_path / "a.mic")


def test_binaries_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "b.mic"
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_mic(path)
    path.write_bytes(np.ones(12).tobytes())
    with pytest.raises(FormatError, match="96 bytes: a binary map has rows of 88 bytes"):
        read_mic(path)
    path.write_bytes(np.full(11, 2.0).tobytes())
    with pytest.raises(FormatError, match=r"column 7 is not \+1 or -1: not a binary map"):
        read_mic(path)


def test_tables_that_are_none() -> None:
    with pytest.raises(FormatError, match=r"a map of shape \(2, 10\): expected \(n, 11\)"):
        MicTable(np.zeros((2, 10)), np.zeros(2, dtype=np.int64))
    with pytest.raises(FormatError, match=r"\(3,\) phases for 2 rows of a map"):
        MicTable(np.zeros((2, 11)), np.zeros(3, dtype=np.int64))
