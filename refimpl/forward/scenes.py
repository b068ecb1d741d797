"""Named scenes: calibrant frames with known truth, for the demo and the recovery benchmark.

:func:`scene` gives the scenes of the benchmark by number. They run through every combination of
three calibrants, three noise levels and with or without gaps; sizes, pixels, wavelengths, tilts,
widths and the place of the beam are drawn from a fixed seed. A draw that does not determine the
geometry is drawn again: the limits are :data:`LIMITS`, by the Cramér-Rao bound, so no scene is
impossible and none is chosen for being easy. :func:`pilatus2m` is modelled on a real frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from refimpl.crystal.calibrants import calibrant
from refimpl.crystal.rings import Rings, rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.forward.arc_information import arc_bound, visible_arcs
from refimpl.forward.powder_image import simulate
from refimpl.forward.simulated_frame import SimulatedFrame
from refimpl.frames import F64, I64
from refimpl.units import DEG, kev_to_angstrom

__all__ = ["BENCHMARK", "LIMITS", "NOISE_LEVELS", "Scene", "is_determined", "panel_grid"]
__all__ += ["pilatus2m", "scene", "scenes"]

BENCHMARK = 100
"""Scenes in the benchmark."""

NOISE_LEVELS = ((30.0, 3.0), (1000.0, 20.0), (30000.0, 200.0))
"""(counts on the strongest crest, background counts)."""

LIMITS = {
    "lsd_mm": 1e-3,  # of the distance
    "beam_fast_px": 0.5,
    "beam_slow_px": 0.5,
    "ty_rad": 0.3 * DEG,
    "tz_rad": 0.3 * DEG,
}
"""Greatest Cramér-Rao bound of each parameter that a scene may have."""

LEAST_RINGS, LEAST_ARC_RAD = 3, 0.5
"""A scene shows at least so many rings over at least this much azimuth each."""

CALIBRANTS = ("CeO2", "LaB6", "Si")
PIXEL_SIZES_MM = (0.055, 0.075, 0.1, 0.172, 0.2)
_SEED = 20260801


@dataclass(frozen=True, eq=False)
class Scene:
    """Arguments of a simulation, by a name.

    Attributes
    ----------
    name
        What it is called in reports.
    calibrant
        Name of the calibrant.
    lattice_parameter_angstrom
        Its lattice parameter; None for the calibrant's own.
    arguments
        Of :func:`refimpl.forward.powder_image.simulate`.
    """

    name: str
    calibrant: str
    lattice_parameter_angstrom: float | None
    arguments: dict[str, Any]

    @property
    def model(self) -> TiltedFlat:
        """The true detector."""
        model: TiltedFlat = self.arguments["model"]
        return model

    def simulate(self, **changes: Any) -> SimulatedFrame:
        """Render the scene, with other arguments where given."""
        return simulate(**{**self.arguments, **changes})


def scenes(n: int = BENCHMARK) -> Iterator[Scene]:
    """Yield the first n scenes of the benchmark."""
    return (scene(i) for i in range(n))


def scene(index: int, *, factors: bool = True) -> Scene:
    """Scene of the benchmark by number.

    Parameters
    ----------
    index
        From 0; any number gives a scene, :data:`BENCHMARK` of them are the benchmark.
    factors
        Whether solid angle and polarisation shape the intensities.

    Raises
    ------
    ConfigError
        `index` is negative.
    """
    if index < 0:
        raise ConfigError(f"scene {index}: expected 0 or more", got=index)
    name = CALIBRANTS[index % 3]
    peak, background = NOISE_LEVELS[index // 3 % 3]
    gaps = index // 9 % 2 == 1
    rng = np.random.Generator(np.random.PCG64([_SEED, index]))
    while True:
        drawn = _draw(rng, name, peak, background, gaps)
        if drawn is not None and is_determined(drawn):
            break
    drawn["solid_angle"] = factors
    drawn["polarisation"] = (0.95, 0.5 * np.pi) if factors and index % 4 == 3 else None
    drawn["seed"] = index
    return Scene(f"scene {index}", name, None, drawn)


def _draw(
    rng: np.random.Generator, name: str, peak: float, background: float, gaps: bool
) -> dict[str, Any] | None:
    """One random scene; None if the calibrant has too few rings in its range."""
    wavelength = float(np.exp(rng.uniform(np.log(0.15), np.log(1.0))))
    long_side = int(np.exp(rng.uniform(np.log(256), np.log(1500))))
    short_side = max(256, int(long_side * rng.uniform(0.6, 1.0)))
    n_fast, n_slow = (long_side, short_side) if rng.random() < 0.5 else (short_side, long_side)
    centre = _centre(rng, n_fast, n_slow)
    pixel = float(rng.choice(PIXEL_SIZES_MM))
    tilt, direction = rng.uniform(0.0, 3.0) * DEG, rng.uniform(0.0, 2.0 * np.pi)
    wanted = int(rng.integers(5, 18))
    width_px, mixing = rng.uniform(2.0, 4.0), float(rng.uniform(0.2, 0.8))
    pattern = rings(name, wavelength, 0.8)
    strong = pattern.select(pattern.intensity > 0.0)
    if len(strong) < wanted:
        return None
    flat = TiltedFlat((n_slow, n_fast), (pixel, pixel), 1.0, centre)
    edge = 1.02 * float(strong.two_theta_rad[wanted - 1])
    lsd = flat.farthest_corner_mm() / np.tan(edge)
    model = TiltedFlat(
        (n_slow, n_fast),
        (pixel, pixel),
        float(lsd),
        centre,
        (0.0, float(tilt * np.cos(direction)), float(tilt * np.sin(direction))),
        panel_boxes=panel_grid(*_modules(n_fast, n_slow)) if gaps else None,
    )
    fwhm = width_px * pixel / lsd * np.cos(0.5 * edge) ** 2
    return {
        "model": model,
        "rings": rings(name, wavelength, min(1.2 * edge, 1.5)),  # also the tails of the next ones
        "wavelength_angstrom": wavelength,
        "fwhm_rad": float(fwhm),
        "mixing": mixing,
        "peak_counts": peak,
        "background": background,
    }


def _centre(rng: np.random.Generator, n_fast: int, n_slow: int) -> tuple[float, float]:
    """Beam centre: near the middle, off-centre, or at an edge and beyond (partial rings)."""
    kind = rng.random()
    if kind < 0.4:
        fast, slow = 0.5 + rng.uniform(-0.1, 0.1, 2)
    elif kind < 0.7:
        fast, slow = 0.5 + rng.uniform(-0.4, 0.4, 2)
    else:
        fast, slow = rng.uniform(-0.25, 0.1), rng.uniform(0.2, 0.8)
        fast, slow = (fast, slow) if rng.random() < 0.5 else (slow, fast)
        if rng.random() < 0.5:
            fast, slow = 1.0 - fast, 1.0 - slow
    return float(fast * n_fast), float(slow * n_slow)


def _modules(n_fast: int, n_slow: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Cut an image into 2 or 3 modules a side with gaps as wide as real ones."""
    sizes, gaps = [], []
    for n, gap in ((n_fast, 7), (n_slow, 17)):
        count = 2 if n < 700 else 3
        pixels = n - gap * (count - 1)
        side = [pixels // count] * (count - 1)
        sizes.append([*side, pixels - sum(side)])
        gaps.append([gap] * (count - 1))
    return sizes[0], gaps[0], sizes[1], gaps[1]


def panel_grid(
    fast_sizes: list[int], fast_gaps: list[int], slow_sizes: list[int], slow_gaps: list[int]
) -> I64:
    """(p, 4) fast0, slow0, fast1, slow1 of a grid of panels; slow runs first, as in MIDAS."""

    def spans(sizes: list[int], gaps: list[int]) -> list[tuple[int, int]]:
        starts = np.concatenate([[0], np.cumsum(np.add(sizes[:-1], gaps))]).astype(int)
        return [(int(a), int(a) + n) for a, n in zip(starts, sizes, strict=True)]

    return np.array(
        [
            (f0, s0, f1, s1)
            for f0, f1 in spans(fast_sizes, fast_gaps)
            for s0, s1 in spans(slow_sizes, slow_gaps)
        ],
        dtype=np.int64,
    )


def is_determined(arguments: dict[str, Any]) -> bool:
    """Whether a scene holds enough ring to determine its geometry, by :data:`LIMITS`."""
    model: TiltedFlat = arguments["model"]
    pattern: Rings = arguments["rings"]
    lines = (pattern.two_theta_rad, pattern.intensity * arguments["peak_counts"])
    arcs = visible_arcs(model, lines[0])
    seen = (arcs > LEAST_ARC_RAD) & (pattern.intensity > 0.01)
    if int(seen.sum()) < LEAST_RINGS:
        return False
    bound = arc_bound(
        model, *lines, arguments["fwhm_rad"], arguments["mixing"], arguments["background"]
    )
    scale = {"lsd_mm": model.lsd_mm}
    return all(bound[name] < limit * scale.get(name, 1.0) for name, limit in LIMITS.items())


def _falling(two_theta_rad: F64, level: float, extra: float, width_rad: float) -> F64:
    """Background of air scatter: a constant and an exponential tail."""
    return np.asarray(level + extra * np.exp(-two_theta_rad / width_rad))


def pilatus2m(seed: int = 0, *, panel_errors: bool = True) -> Scene:
    """Ceria on a Pilatus 2M CdTe of 48 half-modules, as in HEXRD's published example.

    Parameters
    ----------
    seed
        Of the noise and of the panel errors.
    panel_errors
        Whether the half-modules are displaced, by 0.3 px rms. What a displacement has in common
        with beam centre, turn about the beam and distance is taken out, so these stay true.

    Notes
    -----
    Geometry: 61.3323 keV, a = 5.41153 Å, 1475 x 1679 px of 172 µm, distance 739.78 mm, published
    beam centre 774.8, 870.9 from pixel centres.
    """
    boxes = panel_grid([243] * 6, [1, 7, 1, 7, 1], [195] * 8, [17] * 7)
    centre = (774.8 + 0.5, 870.9 + 0.5)
    model = TiltedFlat(
        (1679, 1475),
        (0.172, 0.172),
        739.78,
        centre,
        (0.0, -0.0372 * DEG, 0.0655 * DEG),
        panel_boxes=boxes,
        panel_corrections=_panel_errors(boxes, centre, seed) if panel_errors else None,
    )
    wavelength, a = kev_to_angstrom(61.3323), 5.41153
    arguments = {
        "model": model,
        "rings": rings(calibrant("CeO2", a), wavelength, 0.3),
        "wavelength_angstrom": wavelength,
        "fwhm_rad": 6.0e-4,
        "mixing": 0.4,
        "peak_counts": 20000.0,
        "background": partial(_falling, level=150.0, extra=600.0, width_rad=0.08),
        "polarisation": (0.95, 0.5 * np.pi),
        "seed": seed,
    }
    return Scene("Pilatus 2M ceria", "CeO2", a, arguments)


def _panel_errors(boxes: I64, centre: tuple[float, float], seed: int) -> F64:
    """(p, 5) in-plane displacements of 0.3 px rms without their common modes, and small turns."""
    rng = np.random.Generator(np.random.PCG64([_SEED, seed, 2]))
    n = len(boxes)
    moves = rng.normal(0.0, 0.3 / np.sqrt(2.0), (n, 2))
    arm = 0.5 * (boxes[:, :2] + boxes[:, 2:]) - np.array(centre)
    one, none = np.ones(n), np.zeros(n)
    modes = np.stack(
        [
            np.concatenate([one, none]),
            np.concatenate([none, one]),
            np.concatenate([arm[:, 0], arm[:, 1]]),
            np.concatenate([-arm[:, 1], arm[:, 0]]),
        ],
        axis=1,
    )
    flat = moves.T.ravel()
    flat = flat - modes @ np.linalg.lstsq(modes, flat)[0]
    out = np.zeros((n, 5))
    out[:, :2] = flat.reshape(2, n).T
    out[:, 2] = rng.normal(0.0, 0.02 * DEG, n)
    return out
