"""Claims of the near field: MIDAS's example of gold, its manual, and HEXOMAP's gold crystal."""

from __future__ import annotations

import gzip
from functools import cache
from typing import Any

import gold as page
import numpy as np

from refimpl import data
from refimpl.crystal.hkls_csv import read_hkls_csv
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import laue_operators, operators
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_pixels import pixels_of_setup
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.forward.nearfield_stack import simulate_stack
from refimpl.io.nearfield_params import read_nearfield_params
from refimpl.nearfield.calibrate_hexomap import hexomap_geometry, hexomap_setup
from refimpl.nearfield.calibrate_model import Crystal, Geometry
from refimpl.nearfield.config import setup_of
from refimpl.objective.overlap import confidence, screen
from refimpl.rotations import matrix_of_euler, matrix_of_quaternion
from refimpl.testing.golden import golden
from refimpl.units import DEG, UM

SET = "nearfield-golden"


def _file(name: str) -> Any:
    return data.path(f"{SET}/{name}")


@cache
def _setup() -> Setup:
    return setup_of(read_nearfield_params(_file("ps_au.txt")), read_hkls_csv(_file("au_hkls.csv")))


def _voxels(mic: Any) -> Voxels:
    return Voxels(mic[:, 3:5] * UM, mic[:, 5] * UM, mic[:, 6] > 0.0)


@cache
def _truth() -> Any:
    mic = np.loadtxt(_file("Au_txt.mic"), comments="%")
    return mic[mic[:, 10] >= 0.7]


@cache
def _lit() -> LitPixels:
    z = np.load(_file("au_spotsinfo_sparse.npz"))
    hits = np.stack([z[name] for name in ("layer", "frame", "y", "z")], axis=-1)
    return LitPixels.from_hits(hits, (2, 1440, 2048, 2048))


def counts() -> list[int]:
    """Reflections, voxels of the grid, voxels of the map."""
    grid = np.loadtxt(_file("au_grid.txt"), skiprows=1)
    return [len(_setup().reflections.hkl), len(grid), len(_truth())]


def spots() -> list[float]:
    """Spots of four seeds; those whose key differs; largest difference [um, deg]."""
    z = np.load(_file("au_makediffrspots4.npz"))
    ours = spots_of_setup(_setup(), z["orientmat"])
    at = np.stack([ours.yl_mm / UM, ours.zl_mm / UM, ours.omega_rad / DEG], axis=-1)
    wrong = int((ours.key != z["key"]).sum())
    return [len(at), wrong, float(np.abs(at - z["spots"]).max())]


def hits(case: str, wedge_deg: float = 0.0, published: bool = True) -> list[int]:
    """Hits of 20 voxels as the simulator wrote them; those that one of the two lacks."""
    mic = np.loadtxt(_file(f"in_{case}.mic"), comments="%")
    with gzip.open(_file(f"simspots_{case}.csv.gz")) as file:
        theirs = np.loadtxt(file, skiprows=1)[:, :5].astype(np.int32)
    setup = _setup()
    if wedge_deg:
        setup = setup.changed(wedge_rad=wedge_deg * DEG, published_wedge=published)
    found = spots_of_setup(setup, matrix_of_euler(mic[:, 7:10]))
    ours = pixels_of_setup(setup, _voxels(mic), found, published_footprint=published)
    one, two = (set(map(tuple, x.tolist())) for x in (ours, theirs))
    return [len(theirs), len(one ^ two)]


def lit_pixels() -> list[int]:
    """Lit pixels of the map; those that one of the two lacks."""
    stack = simulate_stack(_setup(), _voxels(_truth()), matrix_of_euler(_truth()[:, 7:10]))
    z = np.load(_file("au_spotsinfo_sparse.npz"))
    rows = np.stack([z[k] for k in ("layer", "frame", "y", "z")], axis=-1).astype(np.int64)
    theirs = np.ravel_multi_index(rows.T, stack.shape)
    return [len(theirs), len(np.setxor1d(stack.key, theirs))]


def truth() -> float:
    """Smallest confidence of the true orientations."""
    mic = _truth()
    u = matrix_of_euler(mic[:, 7:10])
    found = confidence(_voxels(mic).vertices(), u, _setup(), _lit())
    return float(found.confidence.min())


def fit_of_c() -> list[float]:
    """Largest difference of confidence at the orientations that the C program found."""
    fit = np.load(_file("au_fit_c.npz"))["mic"]
    fit = fit[fit[:, 10] > 0.0]
    found = confidence(
        _voxels(fit).vertices(), matrix_of_euler(fit[:, 7:10]), _setup(), _lit(), published=True
    )
    return [len(fit), float(np.abs(found.confidence - fit[:, 10]).max())]


def quality_of_c() -> list[float]:
    """Of the C program's fit: mean confidence; within 0.25 deg, within 0.05 deg [%]; median."""
    fit, mic = np.load(_file("au_fit_c.npz"))["mic"], _truth()
    at = {(round(x, 4), round(y, 4)): k for k, (x, y) in enumerate(fit[:, 3:5])}
    row = [at[round(x, 4), round(y, 4)] for x, y in mic[:, 3:5]]
    ours = fit[row]
    from refimpl.rotations import quaternion_of_euler

    q = [quaternion_of_euler(v[:, 7:10]) for v in (ours, mic)]
    away = misorientation(q[0], q[1], operators(225)) / DEG
    return [
        float(ours[:, 10].mean()), 100.0 * float((away < 0.25).mean()),
        100.0 * float((away < 0.05).mean()), float(np.median(away)),
    ]  # fmt: skip


def winners() -> list[float]:
    """Pairs of 40 voxels and 49,543 seeds above the limit; wrong ones; largest difference."""
    grid = np.loadtxt(_file("au_grid.txt"), skiprows=1)
    grid = grid[np.loadtxt(_file("screen49543_voxel_idx.txt"), dtype=int)]
    voxels = Voxels(grid[:, 2:4] * UM, 2.0 * grid[:, 4] * UM, grid[:, 0] < grid[:, 1])
    seeds = matrix_of_quaternion(np.load(_file("screen_seeds_49543.npz"))["wxyz"])
    table = np.loadtxt(_file("screen49543_c.csv"), delimiter=",", skiprows=1)
    found = screen(voxels.vertices(), seeds, _setup(), _lit(), least=0.04)
    owner = np.repeat(np.arange(len(grid)), np.diff(found.start))
    order = np.lexsort((found.orientation, owner))
    ours = np.stack([owner, found.orientation], axis=-1)[order]
    if ours.shape != table[:, :2].shape:
        return [len(ours), float("nan"), float("nan")]
    away = np.abs(found.confidence[order] - table[:, 2]).max()
    return [len(ours), float((ours != table[:, :2]).any(axis=1).sum()), float(away)]


def misorientations(column: str) -> float:
    """Largest difference of 720 pairs in 12 space groups [deg]."""
    t = np.loadtxt(_file("misorientation_c_vs_exact.csv"), delimiter=",")
    angle = np.empty(len(t))
    for number in np.unique(t[:, 0]):
        rows = t[:, 0] == number
        angle[rows] = misorientation(t[rows, 2:6], t[rows, 6:10], operators(int(number))) / DEG
    away = np.abs(angle - t[:, {"c": 10, "exact": 12}[column]])
    return float(np.sort(away)[-2]) if column == "exact" else float(away.max())


def orix(name: str) -> float:
    """Largest difference of 10,000 pairs from orix [deg]."""
    import runpy

    case = golden("misorientation/orix")
    q1, q2 = runpy.run_path(str(case.path("make.py")))["pairs"]()
    theirs = np.array([float(v) for v in case.text(f"{name}.txt.gz").split()])
    ours = misorientation(q1, q2, laue_operators(name.replace("_", "/"))) / DEG
    return float(np.abs(ours - theirs).max())


def grid_size(start: float, factor: float, loops: int) -> list[float]:
    """Grid sizes of loops of a multi-resolution run [um]."""
    return [start / factor**k for k in range(loops + 1)]


def seeds_of_operators(number: int) -> int:
    """Rotations of a space group's Laue class."""
    return len(operators(number))


def reflections(q: float, euler_deg: list[float], frames: int) -> list[int]:
    """Lit reflections of HEXOMAP's crystal at its published geometry, and all."""
    *_, sharp, wide = page.stack()
    crystal = Crystal(matrix_of_euler(np.radians(euler_deg)), np.zeros(2))
    geometry, setup = hexomap_geometry(page.record()), hexomap_setup(page.record(), q)
    return list(page.hits(geometry, setup, crystal, wide if frames else sharp))


def random_hits(q: float) -> float:
    """Part of the reflections of 1000 random orientations that are lit."""
    *_, wide = page.stack()
    geometry, setup = hexomap_geometry(page.record()), hexomap_setup(page.record(), q)
    rng, n = np.random.default_rng(int(q)), np.zeros(2)
    raw = rng.normal(size=(1000, 4))
    for u in matrix_of_quaternion(raw / np.linalg.norm(raw, axis=1, keepdims=True)):
        n += page.hits(geometry, setup, Crystal(u, np.zeros(2)), wide)
    return float(n[0] / n[1])


def calibrated(what: str) -> Any:
    """Of our calibration: first distance, step [mm]; largest difference of the tilts [deg]."""
    if what == "tilts":
        g: Geometry = page.calibrated(9.0, tilts="each").geometry
        return float(np.degrees(np.abs(np.diff(g.tilts_rad, axis=0)).max()))
    g = page.calibrated(9.0).geometry
    lsd = [float(v) for v in g.lsd_mm]
    return lsd[1] - lsd[0] if what == "step" else lsd[0]
