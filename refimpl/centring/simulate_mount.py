"""The holder of a simulated crystal: a loop on a stem, the film in it, what lies on the film."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["MOUNTS", "Mount", "Specks", "random_mount", "random_specks"]

MOUNTS = ("loop", "teardrop", "mesh")
"""Kinds of mounts: oval nylon loop, pointed loop, flat frame with a grid of fine bars."""

_CORNERS = 96


@dataclass(frozen=True, eq=False)
class Mount:
    """A mount in the plane z = 0 of its own frame, the sample frame less ``offset_um``.

    Attributes
    ----------
    kind
        One of ``MOUNTS``.
    offset_um
        (3,) middle of the loop in the sample frame.
    half_um
        Half axes along and across the spindle.
    fibre_um
        Width of the fibre.
    stem_um
        Half width of the stem far from the loop, and the length over which it gets there.
    pin_um
        Distance of the pin's end from the middle of the loop, and half width of the pin.
    bulge_um
        Half thickness of the film or drop in its middle.
    clear
        Transmission of the fibre, of the film, and of the meniscus at the fibre.
    meniscus
        Width of the meniscus in parts of the half axes.
    pitch_um
        Pitch of the bars of a mesh.
    """

    kind: str
    offset_um: F64
    half_um: tuple[float, float]
    fibre_um: float
    stem_um: tuple[float, float]
    pin_um: tuple[float, float]
    bulge_um: float
    clear: tuple[float, float, float]
    meniscus: float
    pitch_um: float

    def rim_um(self, scale: float = 1.0) -> F64:
        """(n, 2) corners x, y of the rim, scaled about the middle; the first is at the stem."""
        a, b = (scale * v for v in self.half_um)
        angle = math.pi + np.arange(_CORNERS) * 2.0 * math.pi / _CORNERS
        c, s = np.cos(angle), np.sin(angle)
        if self.kind == "teardrop":
            return np.column_stack([a * c, b * s * (0.5 * (1.0 + c)) ** 0.45 * 1.15])
        if self.kind == "mesh":
            round_off = (np.abs(c) ** 4 + np.abs(s) ** 4) ** -0.25
            return np.column_stack([a * c, b * s]) * round_off[:, None]
        return np.column_stack([a * c, b * s])

    def flattened(self, omega_rad: float, thick: bool = False) -> float:
        """Factor on y in a view: ``cos(omega)``, or that of the film with its bulge (positive)."""
        c, s = math.cos(omega_rad), math.sin(omega_rad)
        return math.hypot(c, self.bulge_um / self.half_um[1] * s) if thick else c

    def bars_um(self) -> list[F64]:
        """Bars of a mesh, (2, 2) ends x, y each; none for loops."""
        if self.kind != "mesh":
            return []
        a, b = self.half_um
        bars = []
        for x in np.arange(-a + self.pitch_um, a, self.pitch_um):
            y = b * (1.0 - (abs(x) / a) ** 4) ** 0.25
            bars.append(np.array([[x, -y], [x, y]]))
        for y in np.arange(-b + self.pitch_um, b, self.pitch_um):
            x = a * (1.0 - (abs(y) / b) ** 4) ** 0.25
            bars.append(np.array([[-x, y], [x, y]]))
        return bars

    def stem_outline_um(self) -> F64:
        """(n, 2) corners (s, t) of stem and pin about the loop's middle; round: no omega in it."""
        neck = -self.half_um[0]
        wide, length = self.stem_um
        end, pin = self.pin_um
        taper = np.linspace(0.0, 1.0, 12)
        x = neck - taper * length
        half = 0.6 * self.fibre_um + (wide - 0.6 * self.fibre_um) * np.sin(taper * math.pi / 2) ** 2
        x = np.concatenate([x, [end, end, end - 5000.0]])
        half = np.concatenate([half, [wide, pin, pin]])
        return np.column_stack([np.r_[x, x[::-1]], np.r_[half, -half[::-1]]])


@dataclass(frozen=True, eq=False)
class Specks:
    """Round things, row by row: dust, bubbles or glare.

    Attributes
    ----------
    place_um
        (n, 3) in the sample frame.
    radius_um
        (n,) half width.
    strength
        (n,) transmission of dust, grey levels of glare.
    phase_rad
        (n,) rotation at which glare is brightest.
    """

    place_um: F64
    radius_um: F64
    strength: F64
    phase_rad: F64


def random_mount(rng: Generator, kind: str | None = None) -> Mount:
    """Make a mount.

    Raises
    ------
    ConfigError
        A kind that does not exist.
    """
    drawn = MOUNTS[int(rng.choice(3, p=[0.6, 0.25, 0.15]))]
    if kind is not None and kind not in MOUNTS:
        raise ConfigError(f"mount {kind!r}: expected one of {', '.join(MOUNTS)}", key="mount")
    a = rng.uniform(90.0, 240.0)
    b = a * rng.uniform(0.5, 0.9)
    fibre = rng.uniform(9.0, 20.0)
    film = rng.uniform(0.88, 0.99)
    return Mount(
        kind=kind or drawn,
        offset_um=np.concatenate([rng.normal(0.0, 20.0, 1), rng.normal(0.0, 12.0, 2)]),
        half_um=(float(a), float(b)),
        fibre_um=float(fibre),
        stem_um=(float(rng.uniform(25.0, 70.0)), float(rng.uniform(250.0, 600.0))),
        pin_um=(float(-a - rng.uniform(700.0, 2500.0)), float(rng.uniform(250.0, 350.0))),
        bulge_um=float(rng.uniform(10.0, 45.0)),
        clear=(float(rng.uniform(0.1, 0.5)), float(film), float(film * rng.uniform(0.7, 1.0))),
        meniscus=float(rng.uniform(0.08, 0.3)),
        pitch_um=float(rng.uniform(30.0, 60.0)),
    )


def random_specks(
    rng: Generator, mount: Mount, mean: float, radius_um: tuple[float, float],
    strength: tuple[float, float], where: str,
) -> Specks:  # fmt: skip
    """Scatter a Poisson number of specks ``on`` the loop's area, on its ``rim``, or ``around``."""
    n = int(rng.poisson(mean))
    angle = rng.uniform(0.0, 2.0 * math.pi, n)
    radius = np.sqrt(rng.random(n)) * 0.9 if where == "on" else np.ones(n)
    if where == "rim":
        corner = mount.rim_um()[rng.integers(0, _CORNERS, n)]
    else:
        corner = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        corner = corner * np.array(mount.half_um)
    z = np.zeros(n)
    if where == "around":
        corner = np.column_stack([rng.uniform(-900.0, 500.0, n), rng.uniform(-400.0, 400.0, n)])
        z = rng.uniform(-400.0, 400.0, n)
    return Specks(
        place_um=np.column_stack([corner, z]) + mount.offset_um,
        radius_um=rng.uniform(*radius_um, n),
        strength=rng.uniform(*strength, n),
        phase_rad=rng.uniform(0.0, 2.0 * math.pi, n),
    )
