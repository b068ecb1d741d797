"""Pilatus-like frames whose panels are out of place, with known truth.

:func:`panel_scene` gives the scenes of the benchmark by number, :func:`scaling_scene` the same
picture cut into more and more panels. Panel errors are normal, 0.3 px in each direction, 0.1
degrees and 300 µm in distance, and in the gauge of :mod:`refimpl.forward.panel_gauge`, so that
the true distance, beam centre and tilts are the ones to be found. In two scenes of five one panel
is declared bad, wholly or all but a corner. Such a panel, and one that no ring falls on, is called
hidden; the others are in the gauge without it. Without tilts of their own the heights of panels
cannot make up for a tilt of the detector, so whether a panel belongs to the gauge is a statement
that a refinement may share or not: a draw with a panel of which this could be doubted is drawn
again (:data:`MOST_OF_WIDTH`, :data:`LEAST_ARC_RAD`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_grid import PanelGrid, named_grid
from refimpl.detector.tilted_flat import JACOBIAN_FIELDS, PANEL_FIELDS, ring_jacobian
from refimpl.errors import ConfigError
from refimpl.forward.arc_information import STEPS, _line_information, _ring_points
from refimpl.forward.panel_gauge import draw_panel_errors
from refimpl.forward.scenes import CALIBRANTS, Scene, is_determined
from refimpl.forward.simulated_frame import file_order
from refimpl.frames import F64, I64
from refimpl.units import DEG

__all__ = ["BENCHMARK", "MOST_OF_WIDTH", "SCALING", "TILT_RAD", "WIDTHS", "PanelScene"]
__all__ += ["panel_scene", "panel_scenes", "scaling_scene"]

BENCHMARK = 50
"""Scenes in the benchmark."""

WIDTHS = {"d_fast_px": 0.3, "d_slow_px": 0.3, "d_theta_rad": 0.1 * DEG, "d_lsd_mm": 0.3}
"""Standard deviation of the panel errors."""

TILT_RAD = 1e-3
"""Standard deviation of each of a panel's tilts, where panels are tilted."""

MOST_OF_WIDTH = 0.1
"""Greatest bound of a seen panel's shift away from the beam, over its width, with the detector
known. Towards the side no limit can be set: a panel that turns about the beam moves no ring."""

LEAST_ARC_RAD, HIDDEN_ARC_RAD = 30.0 * DEG, 3.0 * DEG
"""Azimuth of all rings together on a seen panel at least, and on a hidden one at most."""

MOST_HIDDEN = 0.2
"""A draw that hides more than this part of the panels, and more than one, is drawn again."""

LEAST_INTENSITY = 0.02
"""Of the strongest ring, for a ring to count as visible."""

SCALING = (6, 24, 96, 384)
"""Numbers of panels of :func:`scaling_scene`."""

_CYCLE = (
    "300k", "300k-half", "1m-half", "1m", "1m-half", "2m", "1m", "1m-half", "1m", "1m-half",
    "300k", "1m-half", "1m", "1m-half", "300k-half", "1m", "2m-half", "1m", "1m-half", "1m",
)  # fmt: skip
_CORNER_PX = 12
_PIXEL_MM = 0.172
_SEED = 20260915


@dataclass(frozen=True, eq=False)
class PanelScene(Scene):
    """A scene whose panels are to be found.

    Attributes
    ----------
    grid
        The panels; ``-half`` of a name means the two crystals of a CdTe module.
    widths
        Standard deviations that the panel errors were drawn with, by field.
    hidden
        Panels on which too little ring can be seen; the others are in the gauge without them.
    """

    grid: PanelGrid
    widths: dict[str, float] = field(default_factory=dict)
    hidden: tuple[int, ...] = ()

    @property
    def boxes(self) -> I64:
        """(p, 4) panels, model frame."""
        return self.grid.boxes()


def panel_scenes(n: int = BENCHMARK) -> Iterator[PanelScene]:
    """Yield the first n scenes of the benchmark."""
    return (panel_scene(i) for i in range(n))


def panel_scene(
    index: int, *, widths: Mapping[str, float] = WIDTHS, tilts: bool = False
) -> PanelScene:
    """Scene of the benchmark by number.

    Parameters
    ----------
    index
        From 0; any number gives a scene, :data:`BENCHMARK` of them are the benchmark.
    widths
        Standard deviation of the panel errors by field; the benchmark has :data:`WIDTHS`.
    tilts
        Whether panels are also tilted, by :data:`TILT_RAD`.

    Raises
    ------
    ConfigError
        `index` is negative.
    """
    if index < 0:
        raise ConfigError(f"panel_scene {index}: expected 0 or more", got=index)
    widths = dict(widths)
    if tilts:
        widths |= {"tilt_fast_rad": TILT_RAD, "tilt_slow_rad": TILT_RAD}
    name = CALIBRANTS[index % 3]
    grid = named_grid("pilatus" + _CYCLE[index % len(_CYCLE)])
    rng = np.random.Generator(np.random.PCG64([_SEED, index]))
    while True:
        drawn = _draw(rng, name, grid)
        boxes = drawn["model"].panel_boxes
        bound, arc = _visible(drawn, widths)
        seen = (bound < MOST_OF_WIDTH) & (arc > LEAST_ARC_RAD)
        clear = seen | (arc < HIDDEN_ARC_RAD)
        bad = int(rng.integers(len(boxes))) if index % 5 in (1, 3) else None
        if bad is not None:
            seen[bad], clear[bad] = False, True
        few = np.sum(~seen) <= max(MOST_HIDDEN * len(seen), 1.0)
        if few and np.all(clear) and is_determined(drawn):
            break
    moves = draw_panel_errors(boxes, widths, rng, seen)
    drawn["model"] = drawn["model"].replace(panel_corrections=moves)
    if bad is not None:
        left = _CORNER_PX if index % 5 == 3 else 0
        drawn["mask"] = _bad_panel(drawn["model"], boxes[bad], left)
    drawn["seed"] = index
    return PanelScene(
        f"panels {index}", name, None, drawn,
        grid=grid, widths=widths, hidden=tuple(int(i) for i in np.flatnonzero(~seen)),
    )  # fmt: skip


def _draw(rng: np.random.Generator, calibrant: str, grid: PanelGrid) -> dict[str, Any]:
    """One random scene with every panel in place."""
    boxes = grid.boxes()
    n_fast, n_slow = (int(v) for v in boxes[:, 2:].max(axis=0))
    wavelength = float(np.exp(rng.uniform(np.log(0.15), np.log(0.45))))
    off_centre = 0.15 if rng.random() < 0.7 else 0.35
    at = 0.5 + rng.uniform(-off_centre, off_centre, 2)
    centre = (float(at[0] * n_fast), float(at[1] * n_slow))
    tilt, direction = rng.uniform(0.0, 1.0) * DEG, rng.uniform(0.0, 2.0 * np.pi)
    wanted = int(rng.integers(9, 20))
    width_px, mixing = rng.uniform(2.0, 4.0), float(rng.uniform(0.2, 0.8))
    peak = float(np.exp(rng.uniform(np.log(3e3), np.log(5e4))))
    pattern = rings(calibrant, wavelength, 0.8)
    strong = pattern.select(pattern.intensity > 0.0)
    flat = TiltedFlat((n_slow, n_fast), (_PIXEL_MM, _PIXEL_MM), 1.0, centre, panel_boxes=boxes)
    edge = 1.02 * float(strong.two_theta_rad[min(wanted, len(strong)) - 1])
    lsd = float(flat.farthest_corner_mm() / np.tan(edge))
    tilts = (0.0, float(tilt * np.cos(direction)), float(tilt * np.sin(direction)))
    return {
        "model": flat.replace(lsd_mm=lsd, tilts_rad=tilts),
        "rings": rings(calibrant, wavelength, min(1.2 * edge, 1.5)),  # also the next ones' tails
        "wavelength_angstrom": wavelength,
        "fwhm_rad": float(width_px * _PIXEL_MM / lsd * np.cos(0.5 * edge) ** 2),
        "mixing": mixing,
        "peak_counts": peak,
        "background": peak * float(rng.uniform(0.005, 0.03)),
        "polarisation": (0.95, 0.5 * np.pi),
    }


def _visible(arguments: dict[str, Any], widths: Mapping[str, float]) -> tuple[F64, F64]:
    """What the rings say of panels that are still in place, the detector being known.

    Returns
    -------
    bound
        (p,) of the shift away from the beam over its width; 0 where shifts have no width.
    arc_rad
        (p,) azimuth of all rings together, those below :data:`LEAST_INTENSITY` left out.
    """
    model, pattern = arguments["model"], arguments["rings"]
    names = [name for name in PANEL_FIELDS if widths.get(name, 0.0) > 0.0]
    columns = [JACOBIAN_FIELDS.index(name) for name in names]
    width = np.array([widths[name] for name in names])
    total = np.tile(
        np.eye(len(names)), (len(model.panel_boxes), 1, 1)
    )  # the prior, in units of the widths
    per_px = _line_information(
        pattern.intensity * arguments["peak_counts"],
        arguments["fwhm_rad"], arguments["mixing"], arguments["background"],
    )  # fmt: skip
    lsd, pixel_mm2 = model.lsd_mm, model.pixel_size_mm[0] * model.pixel_size_mm[1]
    arc = np.zeros(len(model.panel_boxes))
    for t, j, intensity in zip(pattern.two_theta_rad, per_px, pattern.intensity, strict=True):
        fast, slow, panel = _ring_points(model, float(t))
        on = panel >= 0
        if not on.any():
            continue
        fast, slow, panel = fast[on], slow[on], panel[on]
        if intensity > LEAST_INTENSITY:
            arc += np.bincount(panel, minlength=len(arc)) * (2.0 * np.pi / STEPS)
        radius, _, jacobian = ring_jacobian(fast, slow, panel, model.geometry, model.corrections)
        square = lsd * lsd + radius * radius
        by = jacobian[:, columns] * (width * lsd) / square[:, None]
        pixels = radius * square / lsd / pixel_mm2 * (2.0 * np.pi / STEPS)
        np.add.at(total, panel, (j * pixels)[:, None, None] * by[:, :, None] * by[:, None, :])
    arm = model.corrections[:, :2] - np.array(model.beam_centre_px)
    along = np.zeros((len(arm), len(names)))
    for k, name in enumerate(("d_fast_px", "d_slow_px")):
        if name in names:
            along[:, names.index(name)] = arm[:, k] / np.hypot(*arm.T)
    bound = np.sqrt(np.einsum("pi,pij,pj->p", along, np.linalg.inv(total), along))
    return np.asarray(bound), arc


def _bad_panel(model: TiltedFlat, box: I64, left: int) -> NDArray[np.bool_]:
    """Mask in the file's order of all of a panel but a square of so many pixels in its corner."""
    f0, s0, f1, s1 = box
    bad = np.zeros(model.shape, dtype=bool)
    bad[s0:s1, f0:f1] = True
    bad[s0 : s0 + left, f0 : f0 + left] = False
    return file_order(bad, model.image_transform)


def scaling_scene(panels: int, *, seed: int = 0) -> PanelScene:
    """Return the same picture on 2.2 megapixels, cut into 6, 24, 96 or 384 panels.

    Raises
    ------
    ConfigError
        Another number of panels.
    """
    if panels not in SCALING:
        raise ConfigError(f"scaling_scene: {panels!r} panels: expected one of {SCALING}")
    side = 2 ** SCALING.index(panels)
    n_fast, n_slow, gap = 2 * side, 3 * side, 4
    grid = PanelGrid(
        n_fast, n_slow, 1200 // n_fast - gap, 1800 // n_slow - gap,
        (gap,) * (n_fast - 1), (gap,) * (n_slow - 1),
    )  # fmt: skip
    boxes = grid.boxes()
    rng = np.random.Generator(np.random.PCG64([_SEED, panels, seed]))
    wavelength = 0.2
    model = TiltedFlat(
        (int(boxes[:, 3].max()), int(boxes[:, 2].max())), (_PIXEL_MM, _PIXEL_MM), 700.0,
        (610.0, 880.0), (0.0, 0.002, -0.003),
        panel_boxes=boxes, panel_corrections=draw_panel_errors(boxes, WIDTHS, rng),
    )  # fmt: skip
    arguments = {
        "model": model,
        "rings": rings("CeO2", wavelength, 0.32),
        "wavelength_angstrom": wavelength,
        "fwhm_rad": 7e-4,
        "mixing": 0.4,
        "peak_counts": 20000.0,
        "background": 200.0,
        "polarisation": (0.95, 0.5 * np.pi),
        "seed": seed,
    }
    return PanelScene(f"{panels} panels", "CeO2", None, arguments, grid=grid, widths=dict(WIDTHS))
