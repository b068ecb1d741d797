"""Published files of panel corrections: text with its tilts beside it, and maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from refimpl.detector.corrections import shift_map
from refimpl.detector.panel_grid import PanelGrid
from refimpl.errors import ConfigError, FormatError
from refimpl.io.midas_outputs import read_panel_shifts
from refimpl.io.panel_files import (
    corrections_from_shifts,
    read_corrections,
    read_panel_tif,
    shifts_from_corrections,
    tilts_path,
    write_corrections,
    write_shifts_tif,
    write_strain_tif,
)
from refimpl.units import DEG, UM

GRID = PanelGrid(2, 3, 20, 30, (5,), (1, 4))


def corrections(tilts: bool = True) -> np.ndarray:
    scale = np.array([1.0, 1.0, 0.5 * DEG, 0.3, 1e-4, 0.3 * DEG, 0.3 * DEG])
    table = np.random.default_rng(3).uniform(-1.0, 1.0, (6, 7)) * scale
    if not tilts:
        table[:, 5:] = 0.0
    return table


# half of the last digit written (1e-10 px, deg, um, 1), in our units
ROUNDING = 0.51e-10 * np.array([1.0, 1.0, DEG, UM, 1.0, DEG, DEG])


def test_units_and_signs(tmp_path: Path) -> None:
    path = tmp_path / "panelshifts.txt"
    path.write_text("# ID dY dZ dTheta dLsd dP2\n1 0.25 -0.5 2 100 3e-5\n0 1 2 3 4 5\n")
    table = corrections_from_shifts(read_panel_shifts(path), 2)
    np.testing.assert_allclose(
        table[1], [0.25, -0.5, 2 * np.pi / 180, 0.1, 3e-5, 0.0, 0.0], rtol=1e-15
    )
    assert table[0, 0] == 1.0  # by number, not by line


def test_there_and_back(tmp_path: Path) -> None:
    path, table = tmp_path / "panelshifts.txt", corrections()
    written = write_corrections(path, table)
    assert written == (path, tmp_path / "panelshifts.txt.tilts.txt")
    assert written[1].read_text().splitlines()[0] == "# ID tiltFast tiltSlow"
    assert np.all(np.abs(read_corrections(path, 6) - table) <= ROUNDING)
    # what is written again is the same text
    first = [file.read_bytes() for file in written]
    write_corrections(path, read_corrections(path, 6))
    assert [file.read_bytes() for file in written] == first


def test_without_tilts_the_published_file_stands_alone(tmp_path: Path) -> None:
    path, table = tmp_path / "panelshifts.txt", corrections(tilts=False)
    assert write_corrections(path, table) == (path,)
    assert not tilts_path(path).exists()
    assert not np.any(read_corrections(path, 6)[:, 5:])


def test_old_tilts_do_not_survive_a_new_table(tmp_path: Path) -> None:
    path = tmp_path / "panelshifts.txt"
    write_corrections(path, corrections())
    write_corrections(path, corrections(tilts=False))
    assert not np.any(read_corrections(path, 6)[:, 5:])


def test_three_columns(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("0 1 2\n1 3 4\n")
    assert read_corrections(path, 2).tolist() == [[1, 2, 0, 0, 0, 0, 0], [3, 4, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("panels", "count", "message"),
    [
        ([0, 1], 4, r"2 panels \(2, 3 missing\), this one has 4, 0 to 3"),
        ([0, 1, 2], 2, r"3 panels \(2 unknown\), this one has 2, 0 to 1"),
        ([0, 9], 2, r"2 panels \(1 missing; 9 unknown\), this one has 2"),
        (list(range(8)), 1, r"8 panels \(1, 2, 3, 4, 5, \.\.\. unknown\), this one has 1"),
    ],
)
def test_files_of_another_detector(
    tmp_path: Path, panels: list[int], count: int, message: str
) -> None:
    path = tmp_path / "p.txt"
    path.write_text("".join(f"{n} 0 0\n" for n in panels))
    with pytest.raises(
        FormatError, match=rf"p\.txt: panel corrections of another detector: {message}"
    ):
        read_corrections(path, count)


def test_broken_tilts_are_named(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    write_corrections(path, corrections())
    head = "".join(tilts_path(path).read_text().splitlines(keepends=True)[:2])
    tilts_path(path).write_text(head + "0 1 2\n")
    with pytest.raises(FormatError, match=r"p\.txt\.tilts\.txt: panel corrections of another"):
        read_corrections(path, 6)
    tilts_path(path).write_text(head + "0 x 2\n")
    with pytest.raises(FormatError, match=r"p\.txt\.tilts\.txt:3: not numbers"):
        read_corrections(path, 6)


def test_tilts_of_other_shifts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    write_corrections(path, corrections())
    path.write_text(path.read_text().replace(".", ".1", 1))  # another code writes it anew
    with pytest.raises(
        FormatError, match=r"p\.txt\.tilts\.txt: these tilts do not belong to p\.txt as it is now"
    ):
        read_corrections(path, 6)


@given(st.permutations(range(6)))
def test_the_order_of_lines_does_not_matter(order: list[int]) -> None:
    shifts = shifts_from_corrections(corrections(tilts=False))
    mixed = type(shifts)(*(getattr(shifts, name)[order] for name in shifts.__dataclass_fields__))
    np.testing.assert_array_equal(
        corrections_from_shifts(mixed, 6), corrections_from_shifts(shifts, 6)
    )


# --- maps ----------------------------------------------------------------------------------------


def test_shifts_tif(tmp_path: Path) -> None:
    path = tmp_path / "p.txt.shifts.tif"
    table = corrections()
    assert write_shifts_tif(path, GRID.boxes(), table, GRID.shape) == path
    expected = shift_map(GRID.boxes(), table, GRID.shape)
    np.testing.assert_array_equal(read_panel_tif(path, GRID.shape), expected)
    assert path.read_bytes()[:4] == b"II*\x00"  # little-endian
    with tifffile.TiffFile(path) as file:
        (page,) = file.pages
        assert page.dtype == np.float32
        assert page.compression == 1
        assert len(page.dataoffsets) == 1  # one strip
        assert page.databytecounts == (4 * 95 * 45,)
        # row 0 is the lowest Z: the bytes as they lie in the file
        raw = path.read_bytes()[page.dataoffsets[0] :][: 4 * 95 * 45]
    assert raw == expected.astype("<f4").tobytes()


def test_strain_tif(tmp_path: Path) -> None:
    strain = np.array([1e-4, 2e-4, np.nan, 4e-4, 5e-4, 6e-4])
    for scale, first in ((1e4, 1.0), (1e6, 100.0)):
        write_strain_tif(tmp_path / "s.tif", GRID.boxes(), strain, GRID.shape, scale=scale)
        image = read_panel_tif(tmp_path / "s.tif")
        assert image[0, 0] == np.float32(first)
        assert image[-1, 0] == -1.0  # a panel without points
        assert image[30, 0] == -1.0  # a gap
        assert image[0, -1] == np.float32(4 * first)
    write_strain_tif(tmp_path / "s.tif", GRID.boxes(), strain, GRID.shape)
    assert read_panel_tif(tmp_path / "s.tif")[0, 0] == 1.0


def test_maps_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    with pytest.raises(FormatError, match=r"m\.tif: cannot be read"):
        read_panel_tif(path)
    path.write_text("no picture")
    with pytest.raises(FormatError, match=r"m\.tif: not a TIFF: "):
        read_panel_tif(path)
    tifffile.imwrite(path, np.zeros((4, 5), np.uint16))
    with pytest.raises(FormatError, match=r"is one float32 image, got uint16 of \(4, 5\)"):
        read_panel_tif(path)
    tifffile.imwrite(path, np.zeros((4, 5), np.float32))
    with pytest.raises(FormatError, match="this map has 5 x 4 px, the image 6 x 4"):
        read_panel_tif(path, (4, 6))


def test_maps_into_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write: the folder .* does not exist"):
        write_shifts_tif(tmp_path / "no" / "m.tif", GRID.boxes(), corrections(), GRID.shape)
