"""A calibrant frame whose truth is known, calibrated by each code: how near, and how fast.

The frames are scenes of the recovery benchmark (refimpl.forward.scenes), which are drawn from a
fixed seed and not chosen: the first of each noise level without and with gaps. Every code fits
distance, beam centre and two tilts. refimpl begins from nothing; the others are given the truth
with 0.3 % of distance, 2 px and 0.1 degrees added, near which they look for their peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from asking import Answer, Asker
from page import Table, seconds

from refimpl import data
from refimpl.crystal.calibrants import calibrant
from refimpl.crystal.rings import Rings, rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import RefimplError
from refimpl.forward.information import fisher_information
from refimpl.forward.scenes import scene
from refimpl.interop.midas import midas_from_tilted_flat, tilted_flat_from_midas
from refimpl.interop.pyfai import Poni, poni_from_tilted_flat, tilted_flat_from_poni
from refimpl.io.transforms import apply_transforms
from refimpl.powder.patches import score_maps

SCENES = (0, 3, 6, 9, 12, 15)
FARTHER, BESIDE_PX, TURNED_RAD = 1.003, 2.0, np.deg2rad(0.1)
PEERS = {"pyFAI": ("pyFAI",), "MIDAS": ("midas-calibrate", "midas-hkls")}
LIMIT_S = 900.0
PILATUS2M = "pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5"


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame, in the model frame, and what every code is told of it.

    Attributes
    ----------
    title
        Of its table.
    image, mask
        Counts, and True where there are none.
    start
        Geometry that the peers begin from.
    truth
        True geometry; None of a measured frame.
    lines
        Rings on the frame.
    calibrant, wavelength_angstrom, bound_mm
        What it is of; Cramér-Rao bound of the distance, NaN where unknown.
    polarisation
        Degree of linear polarisation, NaN where unknown: it moves the crests of wide rings.
    """

    title: str
    image: np.ndarray
    mask: np.ndarray
    start: TiltedFlat
    truth: TiltedFlat | None
    lines: Rings
    calibrant: str
    cell: tuple[float, ...]
    wavelength_angstrom: float
    bound_mm: float = float("nan")
    polarisation: float = float("nan")


def simulated(number: int) -> Frame:
    """Return a scene of the recovery benchmark."""
    made = scene(number)
    frame = made.simulate()
    model = made.model.replace(image_transform=(), panel_boxes=None)
    wavelength = float(made.arguments["wavelength_angstrom"])
    powder = calibrant(made.calibrant)
    lines = rings(powder, wavelength, _edge(model))
    peak, level = made.arguments["peak_counts"], made.arguments["background"]
    gaps = ", gaps" if made.model.panel_boxes is not None else ""
    rows, columns = frame.image.shape
    return Frame(
        f"{made.name.capitalize()}: {made.calibrant}, {columns} x {rows} px, crest of {peak:g} "
        f"counts on {level:g}{gaps}",
        *(apply_transforms(a, made.model.image_transform) for a in (frame.image, frame.mask)),
        near(model), model, lines, made.calibrant, tuple(powder.cell), wavelength,
        fisher_information(frame).bound()["lsd_mm"], made.arguments["polarisation"][0],
    )  # fmt: skip


def measured() -> Frame:
    """Return HEXRD's Pilatus 2M frame of ceria; its truth is unknown."""
    import h5py

    with h5py.File(data.path(PILATUS2M)) as file:
        image = file["imageseries/images"][0]
    model = TiltedFlat(image.shape, (0.172, 0.172), 741.975, (773.3, 809.6), image_transform=())
    image = apply_transforms(image, (2,))
    model = model.replace(beam_centre_px=(773.3, image.shape[0] - 809.6))
    powder, wavelength = calibrant("CeO2", 5.41153), 0.20215155543
    return Frame(
        f"Measured: ceria, Pilatus 2M, {image.shape[1]} x {image.shape[0]} px, 740 mm", image,
        image < 0, model, None, rings(powder, wavelength, _edge(model)), "CeO2",
        tuple(powder.cell), wavelength,
    )  # fmt: skip


def near(model: TiltedFlat) -> TiltedFlat:
    """Return a start near a geometry."""
    fast, slow = model.beam_centre_px
    _, ty, tz = model.tilts_rad
    return model.replace(
        lsd_mm=FARTHER * model.lsd_mm, beam_centre_px=(fast + BESIDE_PX, slow - BESIDE_PX),
        tilts_rad=(0.0, ty + TURNED_RAD, tz - TURNED_RAD),
    )  # fmt: skip


def _edge(model: TiltedFlat) -> float:
    """2-theta of the corner that is farthest from the beam."""
    return float(np.arctan(model.farthest_corner_mm() / model.lsd_mm))


def request(frame: Frame) -> dict[str, Any]:
    """Return what every code is given."""
    poni, midas = poni_from_tilted_flat(frame.start), midas_from_tilted_flat(frame.start)
    size = frame.start.pixel_size_mm[0]
    reach = frame.start.farthest_corner_mm()
    number = gemmi.SpaceGroup(str(calibrant(frame.calibrant).space_group)).number
    return {
        "image": frame.image, "mask": frame.mask, "pixel_mm": size, "cell": frame.cell,
        "calibrant": frame.calibrant, "wavelength_angstrom": frame.wavelength_angstrom,
        "d_angstrom": frame.lines.d_angstrom, "space_group": number,
        "poni": [poni.dist_m, poni.poni1_m, poni.poni2_m, poni.rot1_rad, poni.rot2_rad,
                 poni.rot3_rad],
        "orientation": poni.orientation, "lsd_um": midas["Lsd"], "bc": midas["BC"],
        "tilts_deg": [midas[f"t{axis}"] for axis in "xyz"], "reach_px": reach / size,
        "rho_um": 1e3 * reach, "polarisation": frame.polarisation,
    }  # fmt: skip


def model_of(answer: Answer, frame: Frame) -> TiltedFlat:
    """Return the geometry that a code found, in our terms."""
    found, shape = answer.arrays, frame.image.shape
    if "poni" in found:
        size = 1e-3 * frame.start.pixel_size_mm[0]
        orientation = poni_from_tilted_flat(frame.start).orientation
        poni = Poni(*found["poni"].tolist(), size, size, orientation=orientation)
        seen = tilted_flat_from_poni(poni, shape)
        return seen.replace(image_transform=())
    if "Lsd" in found:
        values = {k: v.tolist() for k, v in found.items()}
        size_um = 1e3 * frame.start.pixel_size_mm[0]
        return tilted_flat_from_midas(values | {"px": size_um, "ImTransOpt": (0,)}, shape)
    return frame.start.replace(
        lsd_mm=float(found["lsd_mm"]), beam_centre_px=tuple(found["beam_px"].tolist()),
        tilts_rad=tuple(found["tilts_rad"].tolist()),
    )  # fmt: skip


def powder_tables(asker: Asker, size: float) -> list[Table]:
    """One table a frame."""
    numbers = SCENES if size >= 1.0 else SCENES[1:2]
    frames = [simulated(number) for number in numbers]
    tables = [_table(asker, frame) for frame in frames]
    if data.is_here(PILATUS2M) and size >= 1.0:
        tables.append(_table(asker, measured()))
    return tables


def _table(asker: Asker, frame: Frame) -> Table:
    known = frame.truth is not None
    columns = (
        ("distance off [ppm]", "beam centre off [px]", "tilts off [mrad]", "2-theta off, rms [px]")
        if known else ("distance [mm]", "beam centre [px]", "tilts [mrad]")
    )  # fmt: skip
    table = Table(
        frame.title, "code", "threads", *columns, "mean strain, same patches [µε]",
        "mean strain, its own points [µε]", "points", "wall", "times ours",
    )  # fmt: skip
    given, ours = request(frame), None
    if frame.truth is not None:
        blanks = [""] * (len(table.columns) - 7)
        table.add("the truth", "", *_figures(frame.truth, frame), *blanks)
    for code, packages in {"refimpl": (), **PEERS}.items():
        got = asker.ask(
            code, "calibrate", given, packages=packages, warm_up=False, window_s=0.0,
            once=code == "MIDAS", seconds=LIMIT_S,
        )  # fmt: skip
        ours = ours or got
        if got.timing is None or ours.timing is None:
            table.add(got.code, "", got.error, *[""] * (len(table.columns) - 3))
            continue
        quiet = got.timing.quotable
        both = quiet and ours.timing.quotable and got is not ours
        table.add(
            got.code, asker.threads, *_figures(model_of(got, frame), frame),
            f"{float(got.arrays['own']):.1f}", int(got.arrays["points"]),
            seconds(got.timing.median_s) if quiet else "–",
            f"{got.timing.median_s / ours.timing.median_s:.2g}" if both else
            "" if got is ours else "–",
        )  # fmt: skip
    if frame.truth is not None:
        bound = 1e6 * frame.bound_mm / frame.truth.lsd_mm
        table.note(f"Cramér-Rao bound of the distance: {bound:.2g} ppm.")
    return table


def _figures(model: TiltedFlat, frame: Frame) -> list[str]:
    """Columns of a geometry."""
    maps = model.maps()
    try:
        score = score_maps(frame.image.astype(float), ~frame.mask, *maps, frame.lines)
        patches = f"{1e6 * score.mean_abs:.1f}"
    except RefimplError as exc:
        patches = f"{exc}"[:60]
    beam = model.beam_centre_px
    if frame.truth is None:
        return [
            f"{model.lsd_mm:.3f}", f"{beam[0]:.2f} {beam[1]:.2f}",
            f"{1e3 * model.tilts_rad[1]:.3f} {1e3 * model.tilts_rad[2]:.3f}", patches,
        ]  # fmt: skip
    true = frame.truth
    off = np.subtract(beam, true.beam_centre_px)
    turn = 1e3 * np.subtract(model.tilts_rad[1:], true.tilts_rad[1:])
    wanted = true.maps()[0]
    scale = true.lsd_mm / true.pixel_size_mm[0] / np.cos(wanted) ** 2
    away = ((maps[0] - wanted) * scale)[~frame.mask]
    return [
        f"{1e6 * (model.lsd_mm / true.lsd_mm - 1.0):+.1f}", f"{off[0]:+.3f} {off[1]:+.3f}",
        f"{turn[0]:+.3f} {turn[1]:+.3f}", f"{np.sqrt(np.mean(away**2)):.4f}", patches,
    ]  # fmt: skip
