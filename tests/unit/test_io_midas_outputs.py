"""Files of the published calibration: read, and written byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refimpl.errors import FormatError
from refimpl.io.midas_outputs import (
    mean_values_text,
    read_corr,
    read_mean_values,
    read_panel_shifts,
    write_corr,
    write_panel_shifts,
)

RealData = Callable[[str], Path]


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.txt"
    path.write_text(text)
    return path


# --- panelshifts.txt ---------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["panels-it10", "panels-full-it10"])
def test_panel_shifts_byte_for_byte(tmp_path: Path, real_data: RealData, run: str) -> None:
    path = real_data(f"powder-golden/{run}/panelshifts.txt")
    shifts = read_panel_shifts(path)
    np.testing.assert_array_equal(shifts.panel_id, np.arange(48))
    assert shifts.d_y_px[20] == shifts.d_z_px[20] == 0
    write_panel_shifts(tmp_path / "p.txt", shifts)
    assert (tmp_path / "p.txt").read_bytes() == path.read_bytes()


def test_panel_shifts_of_three_columns(tmp_path: Path) -> None:
    shifts = read_panel_shifts(_file(tmp_path, "# ID dY dZ\n\n3 0.5 -0.25\n0 1 2 3 4 5 # note\n"))
    assert shifts.panel_id.tolist() == [3, 0]
    assert shifts.d_theta_deg.tolist() == [0.0, 3.0]
    assert shifts.d_lsd_um.tolist() == [0.0, 4.0]
    assert shifts.d_p2.tolist() == [0.0, 5.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n", r"file\.txt:1: a panel line needs 3 to 6 numbers .*, got 2"),
        ("0 1 2 3 4 5 6\n", "needs 3 to 6 numbers .*, got 7"),
        ("0 1 x\n", r"file\.txt:1: not numbers: '0 1 x'"),
        ("0.5 1 2\n", r"panel ID 0\.5 is no whole number from 0"),
        ("-1 1 2\n", r"panel ID -1 is no whole number from 0"),
        ("0 1 2\n1 nan 2\n", r"file\.txt:2: not finite numbers: '1 nan 2'"),
        ("inf 1 2\n", r"file\.txt:1: not finite numbers: 'inf 1 2'"),
        ("1 1 2\n1 1 2\n", r"file\.txt:2: panel ID 1 stands twice"),
        ("# ID dY dZ\n", "no panel found"),
    ],
)
def test_panel_shifts_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_panel_shifts(_file(tmp_path, text))


# --- corr.csv ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_points"),
    [
        ("single-eta1/CeO2_740mm_000005.raw.corr.csv", 2618),
        ("panels-full-it10/CeO2_740mm_000005.raw.corr.csv", 2395),
        ("autocal/CeO2_000005.ge5.corr.csv", 204),
    ],
)
def test_corr_byte_for_byte(tmp_path: Path, real_data: RealData, name: str, n_points: int) -> None:
    path = real_data(f"powder-golden/{name}")
    table = read_corr(path)
    assert len(table.ring) == n_points
    assert table.ring.min() == 1
    # The eleventh column is the ring: one ideal two-theta for each.
    for ring in np.unique(table.ring):
        assert len(np.unique(table.ideal_two_theta_deg[table.ring == ring])) == 1
    write_corr(tmp_path / "c.csv", table)
    assert (tmp_path / "c.csv").read_bytes() == path.read_bytes()


HEADER = "%Eta Strain RadFit EtaCalc DiffCalc RadCalc Ideal2Theta Outlier YRawCorr ZRawCorr"
ROW = "-177.5 0.0005 47994.9 -177.5 0.0005 47994.9 3.7 1 762.6 592.1 4\n"


def test_corr_of_a_later_version(tmp_path: Path) -> None:
    # Lines of geometry, a named ring column, more columns, and a point in no panel.
    names = HEADER.replace("Strain", "RingNr Strain") + " DeltaR"
    text = (
        f"Lsd, 740000\nBC, 775, 871\n{names}\n"
        "-10 3 0.001 48000 -10 0.001 48000 3.7 0 700 600 9\n"
        "5.7e13 3 -1 0 0 0 0 3.7 0 700 600 9\n"
    )
    table = read_corr(_file(tmp_path, text))
    assert table.ring.tolist() == [3]
    assert table.eta_deg.tolist() == [-10.0]
    assert table.z_px.tolist() == [600.0]


def test_corr_of_no_points(tmp_path: Path) -> None:
    assert len(read_corr(_file(tmp_path, HEADER + "\n")).ring) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n", r"no header line \(%Eta Strain RadFit \.\.\.\): not a corr\.csv"),
        ("%Eta Strain RadFit\n", r"file\.txt:1: the header lacks EtaCalc, DiffCalc, RadCalc"),
        (f"{HEADER}\n{ROW}1 2 3\n", r"file\.txt:3: 3 values, 11 columns expected"),
        (f"{HEADER}\n{ROW.replace('3.7', 'x')}", "a value is no number"),
    ],
)
def test_corr_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_corr(_file(tmp_path, text))


# --- the Mean Values block ---------------------------------------------------------------------


def test_mean_values_of_published_runs(real_data: RealData) -> None:
    single = real_data("powder-golden/single-eta1/out.txt")
    values = read_mean_values(single)
    assert values.lsd_um == 739846.448057507398
    assert values.bc_px == (774.785372055829, 870.914319892264)
    assert values.mean_strain == 0.000228069933
    assert values.std_strain == 0.000791037441
    assert "p4" not in values.p
    assert mean_values_text(values).encode() in single.read_bytes()
    panels = real_data("powder-golden/panels-full-it10/out.txt")
    values = read_mean_values(panels)
    assert values.p["p4"] == 0.000102463321
    assert mean_values_text(values).encode() in panels.read_bytes()
    driver = real_data("powder-golden/autocal/calibrant_screen_out.csv")
    assert read_mean_values(driver).mean_strain == 0.000126144531


BLOCK = (
    "*****Mean Values*****\nLsd 1.5\nBC 2 3\nty 0\ntz 0\np0 1\nMeanStrain {}\nStdStrain  {}\n"
    "*****Copy to par*****\nLsd 99\n"
)


def test_strain_or_microstrain(tmp_path: Path) -> None:
    strain = read_mean_values(_file(tmp_path, BLOCK.format("0.0000912", "0.00005")))
    assert (strain.mean_strain, strain.std_strain) == (0.0000912, 0.00005)
    assert strain.lsd_um == 1.5
    micro = read_mean_values(_file(tmp_path, BLOCK.format("91.2", "0.05")))
    assert micro.mean_strain == pytest.approx(91.2e-6, rel=1e-15)
    assert micro.std_strain == pytest.approx(0.05e-6, rel=1e-15)
    forced = read_mean_values(_file(tmp_path, BLOCK.format("0.05", "0.05")), in_microstrain=True)
    assert forced.mean_strain == pytest.approx(0.05e-6, rel=1e-15)


def test_last_block_counts(tmp_path: Path) -> None:
    two = BLOCK.format("1e-4", "1e-4") + BLOCK.format("2e-4", "1e-4")
    assert read_mean_values(_file(tmp_path, two)).mean_strain == 2e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\n", "no 'Mean Values' block: the calibration did not end"),
        (BLOCK.replace("BC 2 3\n", ""), "the 'Mean Values' block lacks BC"),
        (BLOCK.replace("BC 2 3", "BC 2"), "the 'Mean Values' block lacks BC"),
        (BLOCK.replace("Lsd 1.5", "Lsd far"), r"file\.txt:2: not numbers: 'far'"),
    ],
)
def test_mean_values_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_mean_values(_file(tmp_path, text.format("1e-4", "1e-4")))


@pytest.mark.parametrize("reader", [read_panel_shifts, read_corr, read_mean_values])
def test_missing_file(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    with pytest.raises(FormatError, match=r"no\.txt: cannot be read: No such file"):
        reader(tmp_path / "no.txt")
