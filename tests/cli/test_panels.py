"""``refimpl powder panels``: the published call, on simulated panels."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.crystal.rings import rings
from refimpl.detector.corrections import fixed_panel, remove_modes, same_gauge
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_grid import PanelGrid
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.forward.powder_image import simulate
from refimpl.io.midas_outputs import read_corr, read_mean_values
from refimpl.io.midas_params import read_params
from refimpl.io.panel_files import read_corrections, read_panel_tif
from refimpl.io.transforms import undo_transforms

GRID = PanelGrid(2, 2, 126, 112, (8,), (16,))
MOVES = np.zeros((4, len(PANEL_FIELDS)))
MOVES[:, :2] = [[0.3, -0.1], [0.2, -0.4], [-0.35, 0.25], [0.3, 0.4]]
MOVES = remove_modes(GRID.boxes(), MOVES)  # our gauge: what is left is what a fit can find
TRUTH = TiltedFlat(
    (240, 260), (0.3, 0.3), 250.0, (128.3, 117.6), (0.0, 0.01, -0.015), rho_d_mm=60.0,
    panel_boxes=GRID.boxes(), panel_corrections=MOVES, image_transform=(2,),
)  # fmt: skip
TEXT = """FileStem ceo2
Ext .raw
StartNr 1
EndNr 1
DataType 4
HeadSize 0
NrPixelsY 260
NrPixelsZ 240
px 300
Lsd 250100
BC 128 117
ty 0.5
tz -0.8
ImTransOpt 2
SpaceGroup 225
LatticeConstant 5.411651 5.411651 5.411651 90 90 90
Wavelength 0.25
RhoD 60000
MaskFile mask.npy
tolTilts 1
tolBC 3
tolLsd 2000
tolP 0
tolP3 0
Width 1200
EtaBinSize 6
MultFactor 2.5
OutlierIterations 3
nIterations 12
NPanelsY 2
NPanelsZ 2
PanelSizeY 126
PanelSizeZ 112
PanelGapsY 8
PanelGapsZ 16
PanelShiftsFile panelshifts.txt
FixPanelID 2
tolShifts 1
"""
PUBLISHED = TEXT.replace("nIterations 12", "nIterations 2")


@pytest.fixture(scope="module")
def frames():
    """Two frames of the same detector, as stored, and their mask."""
    found = [
        simulate(
            TRUTH, rings("CeO2", 0.25, 0.25), wavelength_angstrom=0.25, fwhm_rad=4e-3,
            peak_counts=6000.0, background=20.0, seed=seed,
        )
        for seed in (1, 2)
    ]  # fmt: skip
    mask = np.ones(TRUTH.shape, dtype=bool)
    for f0, s0, f1, s1 in GRID.boxes():
        mask[s0:s1, f0:f1] = False
    stored = [np.ascontiguousarray(f.image) for f in found]  # simulate gives the file's order
    return stored, undo_transforms(mask, (2,))


@pytest.fixture
def here(tmp_path, frames, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(frames)
    return tmp_path


def put(frames):
    """Write frames, mask and parameter file."""
    for number, image in enumerate(frames[0], start=1):
        image.astype("<u4").tofile(f"ceo2_{number:06d}.raw")
    np.save("mask.npy", frames[1].astype(np.uint8))
    Path("ps.txt").write_text(TEXT)


def ran(capsys, *arguments, code=0):
    """What a run printed."""
    assert main(["powder", "panels", *arguments]) == code
    return capsys.readouterr().out


def compared(found):
    """Shifts found and true, in one gauge."""
    mine, truth = same_gauge(found, MOVES, GRID.boxes())
    return np.abs(mine[:, :2] - truth[:, :2]).max()


@pytest.fixture(scope="module")
def published_call(tmp_path_factory, frames):
    """What ``refimpl powder panels ps.txt 2`` printed, and where what it wrote is."""
    folder = tmp_path_factory.mktemp("call")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        patch.chdir(folder)
        put(frames)
        assert main(["powder", "panels", "ps.txt", "2"]) == 0
    return out.getvalue(), folder


MADE = ["ceo2_000001.raw.corr.csv", "panelshifts.txt", "panelshifts.txt.shifts.tif",
        "panelshifts.txt.strain.tif"]  # fmt: skip


def test_the_published_call(here, published_call, monkeypatch):
    before = {p.name for p in here.iterdir()}
    text, folder = published_call
    monkeypatch.chdir(folder)
    assert sorted({p.name for p in folder.iterdir()} - before) == MADE
    for part in [
        "Generated 4 panels.", "CalibrantPanelShiftsOMP — Parameter Summary",
        "║    FixPanelID:     2 ", "converged after",
        "Reading calibrant file: ceo2_000001.raw",
        "Anchored Panel ID: 2", "*** Deviation per ring ***", "*** Per-Panel Strain x10000",
        "Outlier Rejection (Factor 2.50, iter 3/3)", "Mean Values", "Saved panel shifts to panel",
        "*** Panel Shift Statistics (3 optimized panels, excluding fixPanel=2) ***",
        "Saved shift map to panelshifts.txt.shifts.tif (260 x 240, float32)",
    ]:  # fmt: skip
        assert part in text, part
    assert text.index("Mean Values") > text.index("Per-Panel Strain")
    Path("out.txt").write_text(text)
    mean = read_mean_values("out.txt")
    # told from panel 2, which is not where the others think
    truth = fixed_panel(TRUTH, 2)
    assert mean.lsd_um == pytest.approx(250_000.0, abs=60.0)
    assert mean.bc_px == pytest.approx([v - 0.5 for v in truth.beam_centre_px], abs=0.15)
    moves = read_corrections("panelshifts.txt", 4)
    assert not moves[2].any()
    assert compared(moves) < 0.05  # px; points scatter by 0.02 px, 30 to 60 a panel
    shifts = read_panel_tif("panelshifts.txt.shifts.tif", (240, 260))
    assert shifts[0, 0] == pytest.approx(np.hypot(*moves[0, :2]), rel=1e-5)
    assert shifts[0, 126] == shifts[112, 0] == -1.0
    strain = read_panel_tif("panelshifts.txt.strain.tif", (240, 260))
    table = read_corr("ceo2_000001.raw.corr.csv")
    lowest = (table.y_px < 127) & (table.z_px < 112) & ~table.outlier  # panel 0
    assert strain[0, 0] == pytest.approx(table.strain[lowest].mean() * 1e4, rel=1e-3)
    assert np.median(table.strain) < 0.5 * np.median(table.strain_calc)


def test_the_help_names_every_option(capsys):
    text = ran(capsys, "--help")
    for part in ("PARAMFILE", "NCPUS", "--published", "--published-chords", "--published-quirks",
                 "--allow-masked-panels", "--no-report", "--out", "Exit: 0"):  # fmt: skip
        assert part in text, part


def test_the_published_engine(here, capsys):
    Path("ps.txt").write_text(PUBLISHED)
    text = ran(capsys, "ps.txt", "--published")
    for part in [
        "TransformationOptions: 2 Flip Top Bottom.", "Thetas: ", "makeMap: 3",
        "Number of planes being considered", "Number of eta bins: 60.", "Iteration 2 / 2",
        "Number of calls to profiler function: ", "Number of function calls: ", "Deviation per",
    ]:  # fmt: skip
        assert part in text, part
    assert text.count("Indices per Panel") == 2
    assert "beyond the search width" not in text
    moves = read_corrections("panelshifts.txt", 4)
    assert not moves[2].any()
    assert compared(moves) < 0.15  # px; the simplex stops at 1e-5 of everything


def test_the_published_quirks(here, frames, capsys):
    Path("ps.txt").write_text(PUBLISHED)
    line = said(["ps.txt", "--published", "--published-quirks"], capsys)
    assert line.startswith(
        "ps.txt:14: ImTransOpt 2 turns the padding of the published square frame"
    )
    # turned the other way, along the longer side, the padding stays where no panel is
    frames[0][0][::-1, ::-1].astype("<u4").tofile("ceo2_000001.raw")
    np.save("mask.npy", frames[1][::-1, ::-1].astype(np.uint8))
    text = PUBLISHED.replace("ImTransOpt 2", "ImTransOpt 1\nDark missing.raw")
    text = text.replace("Lsd 250100", "Lsd 251500")  # not where the answer is
    Path("ps.txt").write_text(text)
    assert "Dark missing.raw: no such file" in said(["ps.txt", "--published"], capsys)
    quirks = ["--published", "--published-quirks", "--published-chords"]
    Path("out.txt").write_text(ran(capsys, "ps.txt", "1", *quirks))
    # straight chords add 100 um; without a gauge the shifts take more than that for themselves
    assert read_mean_values("out.txt").lsd_um == pytest.approx(250_000.0, abs=600.0)
    assert compared(read_corrections("panelshifts.txt", 4)) < 0.2


@pytest.mark.parametrize("engine", [[], ["--published"]])
def test_a_second_run_goes_on_from_the_shifts_file(engine, here, capsys):
    Path("ps.txt").write_text(PUBLISHED.replace("nIterations 2", "nIterations 20"
                                                if not engine else "nIterations 1"))  # fmt: skip
    first = ran(capsys, "ps.txt", *engine)
    assert "Panel shifts read from" not in first
    moves, table = read_corrections("panelshifts.txt", 4), read_corr(MADE[0])
    second = ran(capsys, "ps.txt", *engine)
    assert "Panel shifts read from panelshifts.txt." in second
    start = read_corr(MADE[0])
    # the start of the second is the start of the first but for the shifts
    assert np.median(start.strain_calc) < 0.95 * np.median(table.strain_calc)
    assert compared(read_corrections("panelshifts.txt", 4)) < compared(moves) + 0.02


def test_rings_beyond_the_search_width_are_said(here, capsys):
    assert "beyond the search width" not in ran(capsys, "ps.txt")
    Path("panelshifts.txt").unlink()
    Path("ps.txt").write_text(TEXT.replace("Width 1200", "Width 60"))
    found = re.search(r"note: (\d+) of (\d+) ring points lie more than 120 um from where the start "
                      "puts them, beyond the search width", ran(capsys, "ps.txt"))  # fmt: skip
    table = read_corr(MADE[0])
    ideal = 250_100.0 * np.tan(np.radians(table.ideal_two_theta_deg))
    assert int(found[1]) == np.sum(np.abs(table.rad_calc_um - ideal) > 120.0) > 0
    assert int(found[2]) == len(table.ring)


def test_threads_do_not_matter(here, capsys, published_call):
    ran(capsys, "ps.txt", "1")
    for name in MADE:
        assert Path(name).read_bytes() == (published_call[1] / name).read_bytes(), name


@pytest.mark.parametrize("engine", [[], ["--published"]])
def test_each_file_is_fitted_alone_and_the_mean_is_of_all(engine, here, capsys):
    text = PUBLISHED if engine else TEXT
    alone = []
    for number in ("1", "2"):
        one = re.sub(r"StartNr 1\nEndNr 1", f"StartNr {number}\nEndNr {number}", text)
        Path("ps.txt").write_text(one)
        Path("out.txt").write_text(ran(capsys, "ps.txt", *engine))
        moves = read_corrections("panelshifts.txt", 4)
        alone.append((read_mean_values("out.txt"), moves))
        Path("panelshifts.txt").unlink()
    tables = [read_corr(f"ceo2_00000{n}.raw.corr.csv") for n in (1, 2)]
    Path("ps.txt").write_text(text.replace("EndNr 1", "EndNr 2"))
    Path("out.txt").write_text(ran(capsys, "ps.txt", *engine))
    both = read_mean_values("out.txt")
    assert both.lsd_um == pytest.approx(np.mean([a[0].lsd_um for a in alone]), abs=1e-8)
    assert both.std_strain == pytest.approx(np.mean([a[0].std_strain for a in alone]), abs=1e-11)
    np.testing.assert_allclose(
        read_corrections("panelshifts.txt", 4), np.mean([a[1] for a in alone], axis=0), atol=2e-10
    )
    for number, table in enumerate(tables, start=1):
        again = read_corr(f"ceo2_00000{number}.raw.corr.csv")
        np.testing.assert_array_equal(again.strain, table.strain)


def test_results_go_where_they_are_wanted(here, capsys):
    (here / "data").mkdir()
    (here / "ceo2_000001.raw").rename("data/ceo2_000001.raw")
    Path("ps.txt").write_text(TEXT + "Folder data\n")
    ran(capsys, "ps.txt", "-o", "new/out", "--no-report")
    assert not Path("data/ceo2_000001.raw.corr.csv").exists()
    names = {p.name for p in Path("new/out").iterdir()}
    assert {"ceo2_000001.raw.corr.csv", "refined_MIDAS_params.txt", "result.json"} <= names
    refined = read_params("new/out/refined_MIDAS_params.txt")
    assert refined["Lsd"] == pytest.approx(250_000.0, abs=60.0)
    Path("panelshifts.txt").unlink()
    ran(capsys, "ps.txt", "--published")
    assert Path("data/ceo2_000001.raw.corr.csv").exists()


def test_a_single_surface_is_taken_too(here, capsys):
    keys = ("NPanels", "PanelSize", "PanelGaps", "PanelShifts", "FixPanel", "tolShifts")
    bare = "".join(f"{line}\n" for line in TEXT.splitlines() if not line.startswith(keys))
    Path("ps.txt").write_text(bare)
    for engine in ([], ["--published"]):
        text = ran(capsys, "ps.txt", *engine)
        assert "Generated" not in text
        assert "Indices per Panel" not in text
        assert "Mean Values" in text
    assert not Path("panelshifts.txt").exists()
    without = TEXT.replace("PanelShiftsFile panelshifts.txt\n", "")
    Path("ps.txt").write_text(without)
    assert "note: no PanelShiftsFile: the corrections are printed" in ran(capsys, "ps.txt")
    assert not Path("panelshifts.txt").exists()


def test_too_few_passes_are_said(here, capsys):
    Path("ps.txt").write_text(TEXT.replace("nIterations 12", "nIterations 1"))
    assert main(["powder", "panels", "ps.txt"]) == 4
    printed = capsys.readouterr()
    assert printed.err == "refimpl: not converged: ceo2_000001.raw; what there is is written\n"
    assert Path("panelshifts.txt").exists()


def said(arguments, capsys):
    """The one line of a refused run, which leaves nothing behind."""
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    assert main(["powder", "panels", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("refimpl: ")
    assert printed.err.count("\n") == 1
    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*") if p != Path()} == before
    return printed.err[len("refimpl: ") : -1]


REFUSED = [
    (["ps.txt", "0"], "", "NCPUS 0: expected 1 or more"),
    (["none.txt"], "", "none.txt: cannot be read: No such file or directory"),
    (["ps.txt", "--published-quirks"], "", "--published-quirks needs --published"),
    (["ps.txt", "--published-chords"], "", "--published-chords needs --published"),
    (["ps.txt"], "Nonsense 1", "ps.txt:39: unknown key 'Nonsense'; did you mean"),
    (["ps.txt"], "tolP4 1", "ps.txt:39: tolP4 1.0 with DistortionOrder 4, which has no p4"),
    (["ps.txt"], "Dark no.tif", "ps.txt:39: Dark no.tif: no such file; write 'none' for no dark"),
    (["ps.txt"], "FitOrWeightedMean 1", "ps.txt:39: FitOrWeightedMean 1: peaks are always fitted"),
    (["ps.txt", "--published"], "tolP5 1", "ps.txt:39: tolP5 1.0: the published program of this"),
    (["ps.txt"], "Folder elsewhere", "ps.txt:1: no file elsewhere/ceo2_000001.raw: it is Folder/"),
    (["ps.txt", "-o", "mask.npy/x"], "", "mask.npy"),
]


@pytest.mark.parametrize(("arguments", "line", "text"), REFUSED, ids=[r[2][:30] for r in REFUSED])
def test_bad_input_is_one_line_and_writes_nothing(arguments, line, text, here, capsys):
    Path("ps.txt").write_text(TEXT + line + "\n")
    assert text in said(arguments, capsys)


def test_a_place_that_cannot_be_written_to_is_found_before_the_work(here, capsys):
    Path("ps.txt").write_text(TEXT.replace("panelshifts.txt", "nowhere/panelshifts.txt"))
    assert "nowhere/panelshifts.txt: cannot write: the folder nowhere does not exist" in said(
        ["ps.txt"], capsys
    )
    Path("ps.txt").write_text(TEXT)
    Path("ceo2_000001.raw.corr.csv").mkdir()
    assert "a file name is needed; -o DIR puts it elsewhere" in said(["ps.txt"], capsys)


def test_shifts_of_another_detector_are_refused(here, capsys):
    Path("panelshifts.txt").write_text("# ID dY dZ dTheta dLsd dP2\n0 0 0 0 0 0\n")
    line = said(["ps.txt"], capsys)
    assert line.startswith("panelshifts.txt: panel corrections of another detector: 1 panels")


def test_a_panel_wholly_masked_is_refused_or_held(here, capsys):
    mask = np.load("mask.npy")
    mask[:112, :126] = 1  # the upper left panel as stored: panel 1
    np.save("mask.npy", mask)
    assert said(["ps.txt"], capsys).startswith(
        "panel 1 is masked from end to end (fast 0 to 126, slow 128 to 240): unmask it"
    )
    text = ran(capsys, "ps.txt", "--allow-masked-panels")
    assert "panel 1: 0 ring points" in text
    assert "  1: ---  |" in text
    assert "(2 optimized panels, excluding fixPanel=2)" in text
    Path("ps.txt").write_text(PUBLISHED)
    text = ran(capsys, "ps.txt", "--published")
    assert "  1: ---  |" in text
    assert not read_corrections("panelshifts.txt", 4)[1].any()


def test_a_grid_that_does_not_fit_is_refused(here, capsys):
    Path("ps.txt").write_text(TEXT.replace("PanelSizeY 126", "PanelSizeY 120"))
    for engine in ([], ["--published"]):
        line = said(["ps.txt", *engine], capsys)
        assert line.startswith("ps.txt:32: the grid of 2 x 2 panels of 120 x 112 px")
        assert line.endswith("PanelSizeY 126 and PanelSizeZ 112 would fit these gaps")


def test_an_image_without_rings_is_refused_before_anything_is_printed(here, capsys):
    np.zeros((240, 260), "<u4").tofile("ceo2_000001.raw")
    assert "all dark" in said(["ps.txt"], capsys)
