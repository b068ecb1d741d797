"""Small inputs of every command, made by simulation: ``python inputs.py FOLDER GROUP ...``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from refimpl.cli.main import main
from refimpl.detector.model import TiltedFlat

POWDER = ("--wavelength-angstrom", "0.25", "--pixel-size-um", "300")
PANELS = """FileStem ceo2
Folder powder
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
ImTransOpt 2
SpaceGroup 225
LatticeConstant 5.411651 5.411651 5.411651 90 90 90
Wavelength 0.25
RhoD 60000
MaskFile powder/mask.npy
tolTilts 1
tolBC 3
tolLsd 2000
tolP 0
tolP3 0
Width 1200
EtaBinSize 6
MultFactor 2.5
OutlierIterations 3
nIterations 2
NPanelsY 2
NPanelsZ 2
PanelSizeY 126
PanelSizeZ 112
PanelGapsY 8
PanelGapsZ 16
PanelShiftsFile powder/panelshifts.txt
FixPanelID 2
tolShifts 1
"""
PUBLISHED = "SpaceGroup 225\nLatticeParameter 5.4116 5.4116 5.4116 90 90 90\nWavelength 0.25\n"
PUBLISHED += "px 300\ntx 0\nSkipFrame 0\n"
HEADER = (
    "# Detector: PILATUS3 100K-A, S/N 1-0001\n# Pixel_size 172e-6 m x 172e-6 m\n"
    "# Silicon sensor, thickness 0.000320 m\n# Count_cutoff 1048500 counts\n"
    "# Wavelength 0.97625 A\n# Detector_distance 0.18000 m\n# Beam_xy (240.00, 100.00) pixels\n"
    "# Start_angle {start:.4f} deg.\n# Angle_increment 0.5000 deg.\n"
)


def run(*words: object) -> None:
    """Run a command that must end well."""
    if main([str(word) for word in words]) != 0:
        raise SystemExit(f"cannot make the inputs: {' '.join(map(str, words))}")


def powder() -> None:
    """Frames of ceria, a calibration, what the published programs take."""
    import tifffile

    from refimpl.crystal.rings import rings
    from refimpl.detector.panel_grid import PanelGrid
    from refimpl.forward.powder_image import simulate
    from refimpl.io.transforms import undo_transforms

    def frame(lsd_mm: float, seed: int) -> np.ndarray:
        tilts = (0.0, 0.01, -0.015)
        model = TiltedFlat((240, 260), (0.3, 0.3), lsd_mm, (128.3, 117.6), tilts,
                           image_transform=(2,))  # fmt: skip
        made = simulate(model, rings("CeO2", 0.25, 0.3), wavelength_angstrom=0.25,
                        fwhm_rad=0.75 / lsd_mm, peak_counts=3000.0, seed=seed)  # fmt: skip
        return made.image

    Path("frames").mkdir()
    for name in ("a", "b", "c"):
        tifffile.imwrite(f"frames/{name}.tif", frame(250.0, ord(name)))
    shutil.copy("frames/a.tif", "ceria.tif")
    for name, lsd in (("near", 250.0), ("far", 400.0)):
        tifffile.imwrite(f"{name}.tif", frame(lsd, 5))
        travel = lsd - 250.0
        text = f"image = {json.dumps(str(Path(f'{name}.tif').absolute()))}\ntravel_mm = {travel}\n"
        Path(f"{name}.toml").write_text(text + "wavelength_angstrom = 0.25\n")
    run("powder", "calibrate", "ceria.tif", *POWDER, "--no-report", "-o", "calibrated")
    Path("published.txt").write_text(PUBLISHED)
    Path("panels.txt").write_text(PANELS)
    frame(250.0, 5).astype("<u4").tofile("ceo2_000001.raw")
    mask = np.ones((240, 260), dtype=np.uint8)
    for f0, s0, f1, s1 in PanelGrid(2, 2, 126, 112, (8,), (16,)).boxes():
        mask[s0:s1, f0:f1] = 0
    np.save("mask.npy", undo_transforms(mask, (2,)))


def metrology() -> None:
    """A scan with spots, nine panels that are off, a scan of one crystal."""
    from refimpl.crystal.reduction import basis_of_cell
    from refimpl.io.cbf import write_cbf
    from refimpl.io.dials_files import write_expt, write_refl
    from refimpl.io.reflection_table import USED_IN_REFINEMENT
    from refimpl.rotations import expmap
    from refimpl.testing.lattice_spots import lattice_spots, small_experiment
    from refimpl.testing.rotation_case import rotation_case

    rng = np.random.default_rng(3)
    centres = rng.uniform([15, 15, 0], [180, 470, 9], (60, 3))
    s, f = np.mgrid[:195, :487]
    for k in range(9):
        bright = np.zeros((195, 487))
        for slow, fast, z in centres:
            away = ((s - slow) ** 2 + (f - fast) ** 2) / 2.0 + (k + 0.5 - z) ** 2
            bright += 200.0 * np.exp(-0.5 * away)
        image = rng.poisson(1.0 + bright).astype(np.int32)
        write_cbf(Path(f"x_{k + 1:04d}.cbf"), image, HEADER.format(start=10.0 + 0.5 * k))
    run("metrology", "import", str(Path("x_####.cbf").absolute()), "-o", "imported.expt")
    case = rotation_case(seed=11, n=1800, turn_mrad=3.0, shift_mm=0.2)
    write_expt("start.expt", case.start)
    write_expt("refined.expt", case.truth)
    flags = case.table["flags"] | np.array(USED_IN_REFINEMENT, dtype=case.table["flags"].dtype)
    write_refl("refined.refl", case.table.with_columns(flags=flags))
    write_refl("spots.refl", case.table)
    basis = basis_of_cell((38.0, 47.0, 61.0, 82.0, 95.0, 104.0))
    basis = basis @ expmap(np.array([0.4, -1.1, 0.7]))
    experiment = small_experiment()
    write_expt("lattice.expt", [replace(experiment, identifier="a")])
    write_refl("lattice.refl", lattice_spots(basis, most=300, seed=0, experiment=experiment).table)


def nearfield() -> None:
    """Three grains with images and a map; the same from coarse to fine; a wrong geometry."""
    from refimpl.nearfield.example import SMALL, write_example

    write_example(Path("nf"), n_grains=3, seed=3, **SMALL)
    run("nearfield", "simulate", "nf/ps.txt", "nf/truth.mic")
    run("nearfield", "process-images", "nf/ps.txt")
    run("nearfield", "seeds", "nf/ps.txt", "--from", "grains", "-o", "nf/seeds.txt")
    loops = {
        "GridRefactor": (24.0, 2.0, 2), "GridMask": (-35.0, 35.0, -35.0, 35.0),
        "SeedOrientations": "seeds.txt", "SeedOrientationsAll": "seeds_all.txt",
        "MicFileText": "MyMic", "MicFileBinary": "MyMic.bin",
    }  # fmt: skip
    write_example(Path("loops"), n_grains=3, seed=3, **(SMALL | loops))
    shutil.copy("nf/example.h5", "loops/example.h5")
    lines = Path("nf/seeds.txt").read_text().splitlines(keepends=True)
    Path("loops/seeds_all.txt").write_text("".join(lines))
    Path("loops/seeds.txt").write_text("".join(lines[:2]))
    wide = {"MaxRingRad": 1000.0, "BoxSize": ((-500.0, 500.0, 20.0, 980.0),), "OnlySpotsInfo": 1}
    made = write_example(Path("off"), n_grains=2, **(SMALL | wide))
    run("nearfield", "simulate", made.parameters, made.truth)
    rows = [row for row in made.truth.read_text().splitlines() if not row.startswith("%")]
    text = made.parameters.read_text().replace("Lsd 3000.0", "Lsd 3030.0")
    text += "".join(f"GridPoints {' '.join(row.split())}\n" for row in rows)
    Path("off/ps.txt").write_text(text)


def epu() -> None:
    """A session of EPU with pictures."""
    from epu_folder import small_session

    small_session(Path("session"), images=True)
    run("epu", "calibrate", "session", "-o", "titan.json")
    run("epu", "groups", "session", "--prefix", "Movies", "-o", "movies.star")


def centring() -> None:
    """Loops with logs and counts, a net, a classifier, a net of masks."""
    run("centring", "simulate", "--crystals", 3, "--seconds", 2, "--scans", "helical,mesh",
        "-o", "loops_seen")  # fmt: skip
    view = next(p for p in sorted(Path("loops_seen").rglob("*.jpg")))
    shutil.copy(view, "view.jpg")
    short = ("--size", 16, "--epochs", 1)
    run("centring", "train", "simulated:6", *short, "-o", "net")
    run("centring", "train-segment", "--crystals", 5, "--views", 1, "--crops", 2, "--size", 16,
        "--epochs", 1, "-o", "masks")  # fmt: skip


GROUPS: dict[str, Callable[[], None]] = {
    "powder": powder, "metrology": metrology, "nearfield": nearfield, "epu": epu,
    "centring": centring,
}  # fmt: skip


if __name__ == "__main__":
    base = Path(sys.argv[1]).absolute()
    for group in sys.argv[2:]:
        (base / group).mkdir(parents=True)
        os.chdir(base / group)
        GROUPS[group]()
