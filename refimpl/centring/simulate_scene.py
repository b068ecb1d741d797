"""One simulated sample under a camera: its photographs, and the reflection counts at every point.

A :class:`Scene` stands in micrometres, so one crystal can be seen at any zoom and rotation; all of
it follows from one seed. The pictures hold what misleads a net that looks for the wrong thing:
glare on the loop as on the crystal, dust, bubbles, uneven light, empty loops, crystals at the rim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import ArrayLike, NDArray

from refimpl.centring.simulate_crystal import (
    BACKGROUND,
    BEAM_FWHM_UM,
    Crystal,
    random_crystal,
    rc_field,
)
from refimpl.centring.simulate_light import Light, add_spots, field_of, noisy, random_light
from refimpl.centring.simulate_mount import Mount, Specks, random_mount, random_specks
from refimpl.centring.simulate_paint import Look, transmission
from refimpl.centring.simulate_view import SHAPE, View, triple
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["Scene", "scene"]

ORIGIN = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Scene:
    """A mounted crystal, or an empty loop, under one camera.

    Attributes
    ----------
    seed
        All of the scene and of its pictures follow from it.
    side
        Side that the pin enters from: left, top, right or bottom.
    mount, crystals, looks
        What is seen; no crystals: an empty loop.
    dust, bubbles, glare
        What misleads.
    light
        Illumination and camera.
    beam_fwhm_um
        Width of the X-ray beam.
    """

    seed: int
    side: str
    mount: Mount
    crystals: tuple[Crystal, ...]
    looks: tuple[Look, ...]
    dust: Specks
    bubbles: Specks
    glare: Specks
    light: Light
    beam_fwhm_um: float = BEAM_FWHM_UM

    @property
    def is_empty(self) -> bool:
        """Whether there is no crystal."""
        return not self.crystals

    def view(self, zoom: float, omega_rad: float, at_um: Sequence[float] = ORIGIN) -> View:
        """Look at the scene: places in the picture from places in the sample and back."""
        return View(float(zoom), float(omega_rad), triple(at_um), self.side, SHAPE)

    def picture(
        self, zoom: float, omega_rad: float, *, at_um: Sequence[float] = ORIGIN, frame: int = 0
    ) -> NDArray[np.uint8]:
        """(480, 600) photograph.

        Parameters
        ----------
        zoom
            Zoom of the camera (``simulate_view.px_per_um``).
        omega_rad
            Rotation of the spindle; the loop is seen face on at 0.
        at_um
            Point of the sample (x, y, z) in the middle of the picture, where the beam is.
        frame
            Number of the exposure: same view and number, same noise.

        Raises
        ------
        ConfigError
            A zoom that the camera does not have, or a number that is none.
        """
        view = self.view(zoom, omega_rad, at_um)
        rng = self._exposure(view, frame)
        blur = math.hypot(self.light.blur_px, self.light.defocus_um * view.scale)
        through = transmission(
            view, self.mount, self.crystals, self.looks, self.dust, self.bubbles, blur
        )
        image = through * field_of(self.light, view.shape) * np.float32(rng.uniform(0.93, 1.07))
        add_spots(
            image,
            view.project(self.glare.place_um),
            np.hypot(self.glare.radius_um * view.scale, 0.7),
            self.glare.strength * _flash(view.omega_rad - self.glare.phase_rad),
        )
        return noisy(image, self.light, rng)

    def rc_map(
        self, zoom: float, omega_rad: float, *, at_um: Sequence[float] = ORIGIN
    ) -> F64:  # fmt: skip
        """(480, 600) expected count with the beam at the centre of each pixel of the picture."""
        view = self.view(zoom, omega_rad, at_um)
        return self.rc_um(view.pixel_centres_um(), omega_rad)

    def rc_px(
        self, xy_px: ArrayLike, zoom: float, omega_rad: float, *, at_um: Sequence[float] = ORIGIN
    ) -> F64:
        """(...) expected count at places (..., 2) x, y of the picture [px]."""
        return self.rc_um(self.view(zoom, omega_rad, at_um).to_um(xy_px), omega_rad)

    def rc_um(self, st_um: ArrayLike, omega_rad: float) -> F64:
        """(...) expected count at points (..., 2) (s, t) of a view [um]."""
        points = np.asarray(st_um, dtype=np.float64)
        total = np.full(points.shape[:-1], BACKGROUND)
        for crystal in self.crystals:
            total += rc_field(crystal, omega_rad, self.beam_fwhm_um).at(points)
        return total

    def crystal_mask(
        self, zoom: float, omega_rad: float, *, at_um: Sequence[float] = ORIGIN
    ) -> NDArray[np.bool_]:
        """(480, 600) whether the centre of a pixel lies on a crystal."""
        return self.crystal_depth_um(zoom, omega_rad, at_um=at_um) > 0.0

    def crystal_depth_um(
        self, zoom: float, omega_rad: float, *, at_um: Sequence[float] = ORIGIN
    ) -> F64:
        """(480, 600) distance into a crystal's outline [um], negative outside of all.

        Outside it is the distance to the nearest edge's line, not more than that to the outline.
        """
        points = self.view(zoom, omega_rad, at_um).pixel_centres_um()
        depth = np.full(points.shape[:-1], -np.inf)
        for crystal in self.crystals:
            np.maximum(depth, crystal.inside_um(points, omega_rad), out=depth)
        return depth

    def _exposure(self, view: View, frame: int) -> Generator:
        """Random numbers of one exposure: by what is looked at, and its number."""
        numbers = np.array([view.zoom, view.omega_rad, *view.at_um]) + 0.0  # -0.0 is 0.0
        words = [int(w) for w in numbers.view(np.uint64)]
        return Generator(PCG64(SeedSequence([1, self.seed, frame, *words])))


def _flash(away_rad: F64) -> F64:
    """Strength of glare at a rotation away from its brightest: a broad and a narrow part."""
    facing = np.maximum(np.cos(away_rad), 0.0)
    return np.asarray(0.35 + 0.3 * facing + 0.35 * facing**8)


def scene(
    seed: int, *, crystals: int = 1, mount: str | None = None, side: str | None = None
) -> Scene:
    """Make a scene.

    Parameters
    ----------
    seed
        0 or more; same seed, same scene, to the bit.
    crystals
        How many; 0 is an empty loop.
    mount
        One of ``simulate_mount.MOUNTS``; None: drawn.
    side
        Side of the pin; None: left.

    Raises
    ------
    ConfigError
        A seed or number below 0, an unknown mount or side.
    """
    if seed < 0 or crystals < 0:
        raise ConfigError(f"seed {seed}, {crystals} crystals: expected 0 or more", key="seed")
    parts = [Generator(PCG64(s)) for s in SeedSequence([0, seed]).spawn(5)]
    held = random_mount(parts[0], mount)
    made = [
        _shifted(random_crystal(parts[1], held.half_um, parts[1].random() < 0.06), held.offset_um)
        for _ in range(crystals)
    ]
    glare = [
        random_specks(parts[3], held, 2.0, (3.0, 14.0), (30.0, 200.0), "rim"),
        random_specks(parts[3], held, 0.7, (3.0, 12.0), (30.0, 160.0), "on"),
        *(_crystal_glare(parts[3], crystal) for crystal in made),
    ]
    checked = View(1.0, 0.0, side=side or "left")
    return Scene(
        seed=seed,
        side=checked.side,
        mount=held,
        crystals=tuple(made),
        looks=tuple(_look(parts[2]) for _ in made),
        dust=_joined([
            random_specks(parts[4], held, 3.0, (1.0, 5.0), (0.2, 0.8), "on"),
            random_specks(parts[4], held, 4.0, (1.0, 7.0), (0.1, 0.8), "around"),
        ]),
        bubbles=random_specks(parts[4], held, 0.5, (6.0, 20.0), (0.5, 0.85), "on"),
        glare=_joined(glare),
        light=random_light(parts[2]),
    )  # fmt: skip


def _shifted(crystal: Crystal, offset_um: F64) -> Crystal:
    return Crystal(
        crystal.centre_um + offset_um, crystal.girdle_um, crystal.face_scale,
        crystal.thickness_um, crystal.quality,
    )  # fmt: skip


def _look(rng: Generator) -> Look:
    body = rng.uniform(0.86, 0.99)
    return Look(
        body=float(body),
        edge=float(body * rng.uniform(0.35, 0.75)),
        edge_um=float(rng.uniform(1.5, 4.0)),
        relief=float(rng.uniform(0.05, 0.35)),
        light_rad=float(rng.uniform(0.0, 2.0 * math.pi)),
    )


def _crystal_glare(rng: Generator, crystal: Crystal) -> Specks:
    """Glare on a part of the crystals, somewhere on their faces."""
    n = int(rng.poisson(0.9))
    corner = crystal.girdle_um[rng.integers(0, len(crystal.girdle_um), n)]
    inward = rng.uniform(0.0, 0.9, (n, 1))
    place = np.column_stack([inward * corner, np.zeros(n)]) + crystal.centre_um
    return Specks(
        place, rng.uniform(3.0, 14.0, n), rng.uniform(30.0, 180.0, n),
        rng.uniform(0.0, 2.0 * math.pi, n),
    )  # fmt: skip


def _joined(parts: Sequence[Specks]) -> Specks:
    return Specks(
        np.concatenate([p.place_um for p in parts]),
        np.concatenate([p.radius_um for p in parts]),
        np.concatenate([p.strength for p in parts]),
        np.concatenate([p.phase_rad for p in parts]),
    )
