"""Claims of files and tables that other programs wrote: read, computed and written anew."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from claims.midas_powder import _tables
from claims.tables import _rows

from refimpl import data
from refimpl.clustering.beam_shift import cluster
from refimpl.crystal.hkls_csv import format_hkls
from refimpl.detector.panel import Detector
from refimpl.epu.calibration import Calibration
from refimpl.epu.published import first_run, first_run_text
from refimpl.epu.session import read_session
from refimpl.forward.reciprocal import diffracted_beams, reciprocal_points
from refimpl.frames import midas_from_lab
from refimpl.interop.imaged11 import axis_of_par, panel_of_par
from refimpl.io.dials_files import read_expt, read_refl, write_expt, write_refl
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology import listing
from refimpl.metrology.indexing.assign import assign_global
from refimpl.metrology.outlier_jobs import reject_outliers
from refimpl.metrology.rmsd import RmsdTable, rmsd_by_panel, summarise
from refimpl.metrology.selection import accept, observation_weights, preset
from refimpl.testing.golden import golden
from refimpl.units import DEG

PIXEL_MM = 0.172


def _metrology(name: str) -> Path:
    return data.path(f"metrology/{name}")


def _npz(name: str) -> dict[str, Any]:
    with np.load(_metrology(f"{name}.npz")) as file:
        return {key: file[key] for key in file.files}


# --- tables of MIDAS and ImageD11 -----------------------------------------------------------------


def hkls_text() -> int:
    """Lines of hkls.csv that one of the two lacks; a minus before a zero is not told apart."""
    ours, _ = _tables("CeO2", limits=True)

    def lines(text: str) -> list[tuple[str, ...]]:
        words = [line.replace("-0.000000", "0.000000").split()[:10] for line in text.splitlines()]
        return sorted(map(tuple, words))

    one, two = lines(format_hkls(ours)), lines(golden("rings/hkls_CeO2").text())
    return sum(a != b for a, b in zip(one, two, strict=False)) + abs(len(one) - len(two))


def imaged11_pixels() -> list[float]:
    """Pixels; largest difference of 2 theta and eta [deg], and of the rotation axis."""
    rows, away = _rows("interop/imaged11_par"), np.zeros(2)
    for v in rows:
        detector = Detector((panel_of_par(v, (2048, 2048)),), (2048, 2048))
        here = np.array([v["fast"] + 0.5]), np.array([v["slow"] + 0.5])
        tth, eta = (float(angle[0]) / DEG for angle in detector.two_theta_eta(*here, 0))
        axis = midas_from_lab(axis_of_par(v)) - [v[f"axis_{c}"] for c in "xyz"]
        turn = (eta - v["eta_deg"] + 180.0) % 360.0 - 180.0
        away = np.maximum(away, [max(abs(tth - v["tth_deg"]), abs(turn)), np.abs(axis).max()])
    return [float(len(rows)), *map(float, away)]


# --- EPU ------------------------------------------------------------------------------------------


def _session() -> Any:
    return read_session(data.path("epu-afis/SHA256SUMS").parent)


def centres(method: str) -> float:
    """Largest difference of the 21 centres of the beam shifts [log units]."""
    stored = np.loadtxt(data.path("epu-afis/golden_centres21_sklearnorder.csv"), delimiter=",")
    found = cluster(_session().beam_shift, method, eps=0.04).centres
    apart = np.hypot(*(stored[:, None] - found).transpose(2, 0, 1))
    return float(max(apart.min(axis=0).max(), apart.min(axis=1).max()))


def distances() -> float:
    """Largest difference of the printed matrix of distances of the 21 centres, in its order."""
    stored = np.loadtxt(data.path("epu-afis/golden_centres21_sklearnorder.csv"), delimiter=",")
    matrix = np.loadtxt(data.path("epu-afis/golden_distmat21_sklearnorder.csv"), delimiter=",")
    found = first_run(_session(), 21).centres
    order = np.argmin(np.hypot(*(stored[:, None] - found).transpose(2, 0, 1)), axis=1)
    lines = [line for line in first_run_text(found[order]).split("\n") if line.startswith("[")]
    printed = np.array([re.findall(r"\d\.\d+", line) for line in lines], dtype=np.float64)
    return float(np.abs(printed - matrix).max())


def positions() -> float:
    """Largest difference of the 189 positions by the stored affine model [um]."""
    import pandas as pd

    content = json.loads(data.path("epu-afis/golden_affine.json").read_text())
    content = content[0] if isinstance(content, list) else content
    affine = Calibration("affine", np.array(content["M_row_um"]))
    table = pd.read_csv(data.path("epu-afis/golden_exposures_189.csv"))
    s = _session()
    ours = pd.DataFrame(
        affine.positions_um(s.stage_um, s.beam_shift), index=s.table["name"]
    ).loc[table["file"].str.removesuffix(".xml")]  # fmt: skip
    theirs = table[["pos_affine_x", "pos_affine_y"]].to_numpy()
    return float(np.abs(ours.to_numpy() - theirs).max())


def session_values() -> list[float]:
    """Exposures; largest difference of beam shift, stage [um] and diameter [um]; other numbers."""
    import pandas as pd

    s = _session()
    table = pd.read_csv(data.path("epu-afis/golden_exposures_189.csv"))
    table = table.set_index(table["file"].str.removesuffix(".xml")).loc[s.table["name"]]
    away = [
        np.abs(s.beam_shift - table[["bsx", "bsy"]].to_numpy()).max(),
        np.abs(s.stage_um - table[["stage_x_um", "stage_y_um"]].to_numpy()).max(),
        np.abs(s.table["beam_diameter_um"].to_numpy() - table["beam_dia_um"].to_numpy()).max(),
    ]
    other = (s.table[["hole", "area"]].to_numpy() != table[["foil", "data"]].to_numpy()).sum()
    return [float(len(s)), *map(float, away), float(other)]


# --- DIALS ----------------------------------------------------------------------------------------


def written_anew(kind: str) -> list[int]:
    """Files of a kind; those that are others after reading and writing."""
    paths = sorted(_metrology("SHA256SUMS").parent.rglob(f"*.{kind}"))
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            again = Path(folder, f"again.{kind}")
            if kind == "refl":
                write_refl(again, read_refl(path))
                wrong += again.read_bytes() != path.read_bytes()
            else:
                write_expt(again, read_expt(path))
                wrong += json.loads(again.read_text()) != json.loads(path.read_text())
    return [len(paths), wrong]


def millimetres() -> list[float]:
    """Spots; largest difference of their mm from pixels [mm], and of their angles [rad]."""
    (e,) = read_expt(_metrology("index/i04_60_imported.expt"))
    t = _npz("data/th82_60panel_indexed")
    px, mm = t["xyzobs.px.value"], t["xyzobs.mm.value"]
    x, y = e.detector.pixel_to_mm(t["panel"].astype(np.int64), px[:, 0], px[:, 1])
    away = np.abs(np.stack([x, y], -1) - mm[:, :2]).max()
    return [
        float(len(px)),
        float(away),
        float(np.abs(e.scan.phi_of_frame(px[:, 2]) - mm[:, 2]).max()),
    ]


def reciprocal() -> list[float]:
    """Spots; largest difference of diffracted beams and of reciprocal points [1/angstrom]."""
    (e,) = read_expt(_metrology("refine/th82_60panel_lev0_tukey_refined.expt"))
    z = _npz("fixtures/rlp_th82")
    xyz, gonio = z["xyzobs_mm_value"], e.goniometer
    s1 = diffracted_beams(z["panel"], xyz[:, :2], e.detector.d, e.beam.wavelength_angstrom)
    found = reciprocal_points(
        s1, e.beam.s0, xyz[:, 2], gonio.rotation_axis, gonio.setting, gonio.fixed
    )
    return [
        float(len(s1)),
        float(np.abs(s1 - z["s1"]).max()),
        float(np.abs(found - z["rlp"]).max()),
    ]


def indices() -> int:
    """Spots that the reference's model gives the stored indices."""
    (model,) = read_expt(_metrology("index/i04_60_fft3d_known.expt"))
    t = _npz("data/th82_60panel_indexed")
    ours, _ = assign_global(t["rlp"], t["xyzobs.mm.value"][:, 2], [model.crystal.A])
    return int((ours == t["miller_index"]).all(axis=1).sum())


def panel_rmsds() -> list[float]:
    """Panels; largest difference of an RMSD of a panel [px, images] from the run's."""
    t, name = _npz("data/th82_60panel_indexed"), "refine/th82_60panel_lev1_tukey"
    kept = np.sort(_npz(f"{name}_matches")["iobs"].astype(int))
    residuals = (_npz(f"{name}_indexed_out")["xyzcal.mm"] - t["xyzobs.mm.value"])[kept]
    found = rmsd_by_panel(residuals, t["panel"][kept], np.full((60, 2), PIXEL_MM), 0.15 * DEG)
    stored = json.loads(_metrology(f"{name}.json").read_text())["panel_rmsd_mm_mm_rad"]
    units = np.array([PIXEL_MM, PIXEL_MM, 0.15 * DEG])
    theirs = np.array([stored[str(panel)][1:] for panel in found.labels]) / units
    return [float(len(stored)), float(np.abs(found.values - theirs).max())]


def crystal_texts() -> int:
    """Of the crystal before and after: texts that are not in the log."""
    name = "refine/th82_60panel_lev1_tukey"
    history = json.loads(_metrology(f"{name}.json").read_text())
    log = _metrology(f"{name}.log").read_text()
    missing = 0
    for file, sigma in (
        ("refine/th82_60panel_lev0_tukey_refined", None),
        (f"{name}_refined", history["cell_sd"][0]),
    ):
        (e,) = read_expt(_metrology(f"{file}.expt"))
        c = e.crystal
        text = listing.crystal_model(c.cell, "P 4", c.U, c.B, cell_sigma=sigma, digits=6)
        missing += text not in log
    return missing


def stills_kept() -> list[int]:
    """Of 300 stills: reflections kept; those that one of the two rejects alone."""
    t = ReflectionTable(_npz("data/cspad_benchmark_level2d"))
    kept = _npz("refine/cspad_level2_tukey_sparse_matches")["iobs"].astype(int)
    report = reject_outliers(
        t["xyzcal.mm"] - t["xyzobs.mm.value"], t["id"], t["panel"], np.zeros(len(t)),
        preset("tutorial", separate_experiments=False), still=True,
    )  # fmt: skip
    ours = np.flatnonzero(~report.rejected)
    return [len(ours), len(np.setxor1d(ours, kept))]


def short_scan(seed: int) -> int:
    """Of nine images: reflections kept by the default rejection."""
    t = ReflectionTable(_npz("data/centroid_indexed"))
    experiments, settings = read_expt(_metrology("data/centroid_indexed.expt")), preset("current")
    part = t.select(np.flatnonzero(accept(t, experiments, settings).accepted))
    place = part["xyzobs.mm.value"]
    report = reject_outliers(
        part["xyzcal.mm"] - place, part["id"], part["panel"], place[:, 2],
        preset("current", seed=seed),
    )  # fmt: skip
    return int((~report.rejected).sum())


def _before(case: str, level: int) -> tuple[Any, Any, Any]:
    """Accepted reflections of a reference run, their first residuals, and who is rejected."""
    start = "index/i04_60_fft3d_known" if case == "th82_60panel" else "data/i23_dials423"
    t = ReflectionTable(_npz("data/" + {"i23": "i23_dials423"}.get(case, f"{case}_indexed")))
    calculated = t["xyzcal.mm"]
    if level == 1:
        start = f"refine/{case}_lev0_tukey_refined"
        calculated = _npz(f"refine/{case}_lev0_tukey_indexed_out")["xyzcal.mm"]
    by_panel = (case, level) != ("i23", 0)
    settings = preset("tutorial", separate_panels=by_panel)
    rows = np.flatnonzero(accept(t, read_expt(_metrology(f"{start}.expt")), settings).accepted)
    part = t.select(rows)
    place = part["xyzobs.mm.value"]
    residuals = calculated[rows] - place
    residuals[:, 2] = (residuals[:, 2] + np.pi) % (2 * np.pi) - np.pi
    report = reject_outliers(residuals, part["id"], part["panel"], place[:, 2], settings)
    return part, residuals, report


def barrel() -> list[float]:
    """Five numbers of the residuals in x of the barrel detector before rejection [mm]."""
    part, residuals, _ = _before("i23", 0)
    found = summarise(residuals, observation_weights(part)).residuals[:, 0]
    return [float(f"{value:.4g}") for value in found]


def log_texts(level: int) -> int:
    """Of seven parts of a run's log, from the first statistics to the panels: those it lacks."""
    part, residuals, report = _before("th82_60panel", level)
    name, weights = f"refine/th82_60panel_lev{level}_tukey", observation_weights(part)
    history, kept = json.loads(_metrology(f"{name}.json").read_text()), ~report.rejected
    rmsds, units = np.array(history["rmsd"]), np.array([PIXEL_MM, PIXEL_MM, 0.15 * DEG])
    panels = history["panel_rmsd_mm_mm_rad"]
    whole = RmsdTable(np.zeros(1, int), np.array([history["n_used"]]), rmsds[-1:] / units)
    by_panel = RmsdTable(
        np.array([int(p) for p in panels]), np.array([row[0] for row in panels.values()]),
        np.array([row[1:] for row in panels.values()]) / units,
    )  # fmt: skip
    texts = [
        listing.residual_summary(summarise(residuals, weights), "current"),
        listing.residual_summary(summarise(residuals[kept], weights[kept]), "current"),
        listing.outlier_jobs(report),
        listing.parameter_names(history["parameter_names"]),
        listing.refinement_steps(history["num_reflections"], rmsds, "current"),
        listing.rmsds_by_experiment(whole, "current"),
        listing.rmsds_by_panel(by_panel, "current"),
    ]
    log = _metrology(f"{name}.log").read_text()
    return sum(text not in log for text in texts)
