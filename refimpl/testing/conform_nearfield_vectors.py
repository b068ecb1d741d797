"""Quantities of the kit about the near field: spots, their pixels, and the overlap."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.crystal.cell import b_matrix
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_projection import projected
from refimpl.forward.nearfield_setup import NearfieldDetector
from refimpl.forward.nearfield_spots import theory_spots
from refimpl.frames import F64
from refimpl.objective.overlap_counts import count_overlap
from refimpl.objective.overlap_scene import single_pixel
from refimpl.rotations import matrix_of_quaternion
from refimpl.testing.conform_crystal_vectors import CELL, random_quaternions
from refimpl.testing.conform_records import Array, Inputs, Output, Quantity, quantity, rng_of

__all__: list[str] = []

_ORIENTATION = Array("orientation", "1", "n,3,3", "U, crystal to sample")
_HKL = Array("hkl", "1", "h,3", "indices", "i8")
_WAVELENGTH = Array("wavelength_angstrom", "angstrom", "", "wavelength")
_RANGES = Array("ranges_rad", "rad", "k,2", "omega that counts, limits excluded")
_BOXES = Array("boxes_mm", "mm", "k,4", "ylo, yhi, zlo, zhi that count, box i with range i")
_POLE = Array(
    "exclude_pole_rad", "rad", "", "spots nearer to the rotation axis in eta are left out"
)
_WEDGE = Array(
    "wedge_rad", "rad", "", "the axis leans by this towards the beam: R_y(-W) R_z(omega)"
)
_TILTS = Array(
    "tilts_rad", "rad", "3", "tx, ty, tz: the detector is turned by Rz(tz) Ry(ty) Rx(tx)"
)
_PIXEL = Array("pixel_size_mm", "mm", "", "pixel size")
_CUBIC = np.array([4.08, 4.08, 4.08, 90.0, 90.0, 90.0])
_ALL = np.array([[1, 1, 1], [2, 0, 0], [2, 2, 0], [3, 1, 1], [-1, 1, 3], [0, -2, 4], [1, -3, 3]])


def _reciprocal(given: Inputs) -> tuple[F64, F64]:
    g = given["hkl"] @ b_matrix(given["cell"].tolist()).T
    length = np.sqrt((g * g).sum(axis=1))
    return g, np.arcsin(0.5 * float(given["wavelength_angstrom"]) * length)


def _spots(**given: Any) -> Inputs:
    g, theta = _reciprocal(given)
    yl, zl, omega, key, row = theory_spots(
        given["orientation"], g, theta, given["ranges_rad"], given["boxes_mm"],
        float(given["exclude_pole_rad"]), float(given["wedge_rad"]), False, float(given["lsd_mm"]),
    )  # fmt: skip
    owner = np.repeat(np.arange(len(key)), key[:, 0])
    order = np.lexsort((omega, row, owner))
    return {
        "orientation_row": owner[order], "hkl_row": row[order], "y_mm": yl[order],
        "z_mm": zl[order], "omega_rad": omega[order],
    }  # fmt: skip


def _rotations(rng: np.random.Generator, n: int) -> F64:
    return matrix_of_quaternion(random_quaternions(rng, n))


def _scan(rng: np.random.Generator) -> Inputs:
    return {
        "orientation": _rotations(rng, 3), "hkl": _ALL, "cell": _CUBIC,
        "wavelength_angstrom": np.float64(rng.uniform(0.17, 0.3)),
        "ranges_rad": np.array([[-3.2, 3.2]]), "boxes_mm": np.array([[-50.0, 50.0, -50.0, 50.0]]),
        "exclude_pole_rad": np.float64(0.0), "wedge_rad": np.float64(0.0),
        "lsd_mm": np.float64(rng.uniform(5.0, 12.0)),
    }  # fmt: skip


def _spot_cases() -> Iterator[tuple[str, Inputs]]:
    name = "nearfield_spots"
    yield "ordinary-0", _scan(rng_of(name, 1000))
    odd = {"cell": np.array([3.9, 4.6, 5.3, 84.0, 97.0, 103.0])}
    yield "ordinary-triclinic", _scan(rng_of(name, 1001)) | odd
    yield "ordinary-wedge", _scan(rng_of(name, 1002)) | {"wedge_rad": np.float64(0.02)}
    limits = {
        "ranges_rad": np.array([[-1.5, 0.1], [0.3, 1.7]]),
        "boxes_mm": np.array([[-2.0, 1.5, 0.05, 2.4], [-1.7, 1.8, -2.6, 2.5]]),
    }
    rng = rng_of(name, 1003)
    yield "ordinary-ranges-and-boxes", _scan(rng) | limits | {"orientation": _rotations(rng, 12)}
    pole = {"exclude_pole_rad": np.float64(0.4), "orientation": _rotations(rng, 24)}
    yield "edge-pole", _scan(rng) | pole
    # along the axis: a reflection that never meets the sphere, and two that graze it
    upright = {"orientation": np.eye(3)[None], "hkl": np.array([[0, 0, 2], [0, 2, 2], [2, 0, 1]])}
    yield "edge-on-axis", _scan(rng_of(name, 1005)) | upright
    nothing = {"ranges_rad": np.zeros((0, 2)), "boxes_mm": np.zeros((0, 4))}
    yield "edge-no-range", _scan(rng_of(name, 1006)) | nothing
    for k in range(4):
        rng = rng_of(name, k)
        yield f"random-{k:03d}", _scan(rng) | {"wedge_rad": np.float64(rng.uniform(-0.02, 0.02))}


_WHY = "double precision; a crossing is a square root of a difference"

quantity(Quantity(
    "nearfield_spots", "spots of orientations on the untilted near-field detector",
    "refimpl.forward.nearfield_spots.theory_spots",
    (_ORIENTATION, _HKL, CELL, _WAVELENGTH, _RANGES, _BOXES, _POLE, _WEDGE,
     Array("lsd_mm", "mm", "", "distance")),
    (Output("orientation_row", "1", "s", "row of the orientation", "i8", compare="exact"),
     Output("hkl_row", "1", "s", "row of the reflection", "i8", compare="exact"),
     Output("y_mm", "mm", "s", "place: MIDAS near-field frame, x along the beam, z up", atol=1e-8,
            why=_WHY),
     Output("z_mm", "mm", "s", "place", atol=1e-8, why=_WHY),
     Output("omega_rad", "rad", "s", "rotation angle, -pi to pi", atol=1e-9, why=_WHY,
            compare="angle")),
    _spots, _spot_cases,
    "Sorted by orientation, reflection, omega. B has x along a*, z along c; (R_z(omega) g)_x = "
    "-|g| sin theta without a wedge.",
))  # fmt: skip


# --- projection -----------------------------------------------------------------------------------


def _detector(given: Inputs, shape: tuple[int, int] = (2048, 2048)) -> NearfieldDetector:
    return NearfieldDetector(
        np.atleast_1d(given["lsd_mm"]), np.atleast_2d(given["beam_centre_px"]), given["tilts_rad"],
        float(given["pixel_size_mm"]), shape,
    )  # fmt: skip


def _project(**given: Any) -> Inputs:
    camera = _detector(given)
    c, s, lean = np.cos(given["omega_rad"]), np.sin(given["omega_rad"]), float(given["wedge_rad"])
    a, b = given["place_mm"].T
    along, across = a * c - b * s, a * s + b * c
    xyz = np.stack([np.cos(lean) * along, across, np.sin(lean) * along], axis=-1)
    y, z = projected(
        given["y_mm"], given["z_mm"], xyz, camera.rotation, float(given["lsd_mm"]),
        camera.beam_centre_px[0], 1.0 / camera.pixel_size_mm,
    )  # fmt: skip
    return {"y_px": y, "z_px": z}


def _camera(rng: np.random.Generator) -> Inputs:
    return {
        "lsd_mm": np.float64(rng.uniform(5.0, 10.0)), "tilts_rad": rng.uniform(-0.03, 0.03, 3),
        "beam_centre_px": np.array([rng.uniform(900.0, 1100.0), rng.uniform(3.0, 30.0)]),
        "pixel_size_mm": np.float64(0.00148),
    }  # fmt: skip


def _project_cases() -> Iterator[tuple[str, Inputs]]:
    name = "nearfield_projection"

    def one(rng: np.random.Generator, n: int = 16) -> Inputs:
        return _camera(rng) | {
            "place_mm": rng.uniform(-0.5, 0.5, (n, 2)), "y_mm": rng.uniform(-1.2, 1.2, n),
            "z_mm": rng.uniform(0.1, 1.5, n), "omega_rad": rng.uniform(-3.1, 3.1, n),
            "wedge_rad": np.float64(0.0),
        }  # fmt: skip

    yield "ordinary-untilted", one(rng_of(name, 1000)) | {"tilts_rad": np.zeros(3)}
    for j, axis in enumerate("xyz"):
        tilts = 0.04 * np.eye(3)[j]
        yield f"ordinary-tilt-{axis}", one(rng_of(name, 1001 + j)) | {"tilts_rad": tilts}
    yield "ordinary-wedge", one(rng_of(name, 1004)) | {"wedge_rad": np.float64(0.03)}
    yield "edge-on-axis", one(rng_of(name, 1005)) | {"place_mm": np.zeros((16, 2))}
    for k in range(4):
        yield f"random-{k:03d}", one(rng_of(name, k)) | {"wedge_rad": np.float64(0.01 * k)}


quantity(Quantity(
    "nearfield_projection", "pixel of a spot, seen from a place of the sample",
    "refimpl.forward.nearfield_projection.projected",
    (Array("place_mm", "mm", "n,2", "place in the sample at omega = 0"),
     Array("y_mm", "mm", "n", "spot of the origin on the untilted detector"),
     Array("z_mm", "mm", "n", "spot of the origin on the untilted detector"),
     Array("omega_rad", "rad", "n", "rotation angle of the spot"), _WEDGE,
     Array("lsd_mm", "mm", "", "distance"), _TILTS,
     Array("beam_centre_px", "px", "2", "Y, Z"), _PIXEL),
    (Output("y_px", "px", "n", "pixel Y", atol=1e-8, why="double precision at 2000 px"),
     Output("z_px", "px", "n", "pixel Z", atol=1e-8, why="double precision at 2000 px")),
    _project, _project_cases,
    "With the place turned to (x, y, z): t = 1 - x / L, (y', z') = (y + y_mm t, z + z_mm t), q = "
    "R (0, y', z') - P0, P0 = R (-L, 0, 0); Y = (P0y - qy P0x / qx) / px + BCy, Z likewise.",
))  # fmt: skip


# --- overlap --------------------------------------------------------------------------------------

_SHAPE = (101, 83)


def _overlap(**given: Any) -> Inputs:
    g, theta = _reciprocal(given)
    shape = tuple(int(v) for v in given["shape_px"])
    camera = _detector(given, (shape[0], shape[1]))
    start, step, frames = given["scan"].tolist()
    lit = LitPixels.from_hits(given["lit"], (camera.n_distances, int(frames), *camera.shape_px))
    row = [*camera.rotation.ravel(), camera.pixel_size_mm, *camera.shape_px,
           float(given["wedge_rad"]), 0.0, float(given["exclude_pole_rad"])]  # fmt: skip
    ratio = camera.lsd_mm / camera.lsd_mm[0]
    counts = count_overlap(
        given["corners_mm"], given["orientation"],
        single_pixel(given["corners_mm"], camera.pixel_size_mm), g, theta, given["ranges_rad"],
        given["boxes_mm"], np.array(row),
        np.column_stack([camera.lsd_mm, camera.beam_centre_px, ratio]),
        np.array([start, step, frames]), lit.coarse, lit.rank, lit.tiles, False,
    )  # fmt: skip
    total, overlap = counts[:, 0], counts[:, 1]
    with np.errstate(invalid="ignore"):
        confidence = np.where(total > 0, overlap / np.maximum(total, 1), 0.0)
    return {"total": total, "overlap": overlap, "confidence": confidence}


def _scene(rng: np.random.Generator, distances: int, corners: str, n: int = 4) -> Inputs:
    lsd = np.sort(rng.uniform(5.0, 9.0, distances))
    centre = np.column_stack([rng.uniform(40.0, 60.0, distances), rng.uniform(3.0, 9.0, distances)])
    middle = rng.uniform(-0.1, 0.1, (n, 1, 2))
    unit = {
        "triangle": [[-0.5, -0.289], [0.5, -0.289], [0.0, 0.577]],
        "square": [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], "point": [[0.0, 0.0]],
    }[corners]  # fmt: skip
    frames = 180
    stray = rng.integers(0, [distances, frames, *_SHAPE], (40, 4))
    return {
        "corners_mm": middle + rng.uniform(0.05, 0.2) * np.array(unit),
        "orientation": _rotations(rng, n), "hkl": _ALL, "cell": _CUBIC,
        "wavelength_angstrom": np.float64(0.181), "ranges_rad": np.array([[-3.1, 3.1]]),
        "boxes_mm": np.array([[-1.9, 1.9, -0.3, 2.5]]), "exclude_pole_rad": np.float64(0.0),
        "wedge_rad": np.float64(0.0), "lsd_mm": lsd, "beam_centre_px": centre,
        "tilts_rad": rng.uniform(-0.02, 0.02, 3), "pixel_size_mm": np.float64(0.0314),
        "shape_px": np.array(_SHAPE), "scan": np.array([3.1, -6.2 / frames, float(frames)]),
        "lit": stray,
    }  # fmt: skip


def _overlap_cases() -> Iterator[tuple[str, Inputs]]:
    name = "nearfield_overlap"
    for j, corners in enumerate(("triangle", "square", "point")):
        yield f"ordinary-{corners}", _lit_up(_scene(rng_of(name, 1000 + j), 2, corners), 0.6)
    yield "edge-nearly-all-lit", _lit_up(_scene(rng_of(name, 1003), 1, "triangle"), 1.0)
    lean = _scene(rng_of(name, 1006), 2, "triangle") | {"wedge_rad": np.float64(0.03)}
    yield "ordinary-wedge", _lit_up(lean, 0.6)
    parts = {
        "ranges_rad": np.array([[-2.0, -0.4], [0.2, 2.6]]), "exclude_pole_rad": np.float64(0.3),
        "boxes_mm": np.array([[-1.6, 1.2, -0.3, 1.9], [-1.5, 1.8, -0.2, 1.6]]),
    }  # fmt: skip
    yield "ordinary-ranges", _lit_up(_scene(rng_of(name, 1007), 1, "point", 20) | parts, 0.6)
    tight = {"boxes_mm": np.array([[-0.9, 0.8, 0.35, 0.95]])}  # 5 % of any edge changes a total
    yield "edge-boxes", _lit_up(_scene(rng_of(name, 1010), 1, "point", 60) | tight, 0.6)
    yield "edge-dark", _scene(rng_of(name, 1004), 1, "triangle") | {"lit": np.zeros((0, 4), int)}
    narrow = _scene(rng_of(name, 1005), 2, "triangle") | {"shape_px": np.array([48, 20])}
    yield "edge-narrow-detector", _lit_up(narrow, 0.8)
    for k in range(2):
        yield f"random-{k:03d}", _lit_up(_scene(rng_of(name, k), 3, "triangle"), 0.5)


def _lit_up(scene: Inputs, share: float) -> Inputs:
    """Scene in which a share of the pixels that its voxels show is lit."""
    lsd, centre = scene["lsd_mm"], scene["beam_centre_px"]
    spots = _spots(**{**scene, "lsd_mm": lsd[0]})
    start, step, frames = scene["scan"].tolist()
    frame = np.floor((spots["omega_rad"] - start) / step)
    seen = scene | spots | {"lsd_mm": lsd[0], "beam_centre_px": centre[0]}
    seen["place_mm"] = scene["corners_mm"].mean(axis=1)[spots["orientation_row"]]
    at = _project(**seen)
    first = np.column_stack([at["y_px"], at["z_px"]]) - centre[0]
    parts = [scene["lit"]]
    for d, (dy, dz) in itertools.product(range(len(lsd)), np.ndindex(5, 5)):
        pixel = np.floor(first * (lsd[d] / lsd[0]) + centre[d]) + np.array([dy - 2, dz - 2])
        parts.append(np.column_stack([np.full(len(frame), d), frame, pixel]).astype(np.int64))
    lit = np.unique(np.concatenate(parts), axis=0)
    limit = np.array([len(lsd), frames, *scene["shape_px"]])
    lit = lit[((lit >= 0) & (lit < limit)).all(axis=1)]
    return scene | {"lit": lit[np.random.default_rng(len(lit)).random(len(lit)) < share]}


quantity(Quantity(
    "nearfield_overlap", "how much of what voxels should show is lit",
    "refimpl.objective.overlap_counts.count_overlap",
    (Array("corners_mm", "mm", "n,c,2", "corners of each voxel in the sample, 1 to 8"),
     _ORIENTATION, _HKL, CELL, _WAVELENGTH, _RANGES, _BOXES, _POLE, _WEDGE,
     Array("lsd_mm", "mm", "d", "distances, the nearest first"),
     Array("beam_centre_px", "px", "d,2", "Y, Z at each distance"), _TILTS, _PIXEL,
     Array("shape_px", "px", "2", "NY, NZ of the detector", "i8"),
     Array("scan", "rad, rad, 1", "3", "start and step of omega, number of frames"),
     Array("lit", "1", "m,4", "lit pixels: distance, frame, Y, Z", "i8")),
    (Output("total", "1", "n", "footprint pixels that every distance sees", "i8", compare="exact"),
     Output("overlap", "1", "n", "of them, those lit at every distance", "i8", compare="exact"),
     Output("confidence", "1", "n", "overlap / total, 0 if total is 0", atol=1e-12,
            why="a quotient of two counts")),
    _overlap, _overlap_cases,
    "A spot counts if all corners project onto the detector of the first distance. Its footprint "
    "is found there: corners less the projected origin, rounded (halves away from zero), a pixel "
    "belongs if inside or 0.99 px from a side. The origin is scaled to distance d about the beam "
    "centre by L_d / L_0 and floored; a pixel counts if every distance sees it. A voxel no longer "
    "than a pixel touches the one at its corners' mean. Frame: floor((omega - start) / step).",
))  # fmt: skip
