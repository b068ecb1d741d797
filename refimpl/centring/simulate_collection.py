"""What a simulated data collection takes: scenes, scans of each, two logs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from refimpl.centring.simulate_samples import scene_seed
from refimpl.centring.simulate_scans import SCANS, Scan, helical_scan, mesh_scan, rotational_scan
from refimpl.centring.simulate_scene import Scene, scene
from refimpl.centring.simulate_stream import Stream, StreamSettings, stream
from refimpl.centring.simulate_view import SIDES
from refimpl.errors import ConfigError

__all__ = ["Collection", "Plan", "Shown", "collect"]

_MOST_FRAMES = 10_000_000
"""Of a scan: a week at 16 Hz."""


@dataclass(frozen=True)
class Plan:
    """What is collected.

    Attributes
    ----------
    crystals, empty
        How many scenes with a crystal, and how many empty loops.
    scans
        Kinds of scans of each, in order.
    seconds
        Length of a scan that is not a mesh.
    zooms
        Range of the zoom, drawn scene by scene.
    mount, side
        Kind of mount; side of the pin, or ``any``. None: drawn, and left.
    """

    crystals: int = 6
    empty: int = 0
    scans: tuple[str, ...] = ("helical", "rotational")
    seconds: float = 5.0
    zooms: tuple[float, float] = (1.0, 4.0)
    mount: str | None = None
    side: str | None = None

    def __post_init__(self) -> None:
        if self.crystals < 0 or self.empty < 0 or self.crystals + self.empty < 1:
            raise ConfigError(
                f"{self.crystals} crystals and {self.empty} empty loops: expected 1 or more",
                key="crystals",
            )
        unknown = [kind for kind in self.scans if kind not in SCANS]
        if unknown or not set(self.scans) - {"mesh"} or len(set(self.scans)) < len(self.scans):
            raise ConfigError(
                f"scans {', '.join(self.scans) or 'none'}: expected helical, rotational or both, "
                "with or without mesh, each once",
                key="scans",
            )
        if not 0.0 < self.seconds < np.inf:
            raise ConfigError(
                f"seconds {self.seconds}: expected more than 0, finite", key="seconds"
            )


@dataclass(frozen=True, eq=False)
class Shown:
    """One scene of a collection.

    Attributes
    ----------
    name
        Name of the crystal in the files.
    scene, zoom
        The scene and the zoom of all its pictures.
    mount, side
        With which it was asked for.
    """

    name: str
    scene: Scene
    zoom: float
    mount: str | None
    side: str


@dataclass(frozen=True, eq=False)
class Collection:
    """Scenes, their scans in the order of time, and the logs.

    Attributes
    ----------
    plan, seed
        What it was made from.
    shown
        Scenes.
    scans, scene_of
        Scans that are photographed, and the number of each one's scene.
    meshes
        Mesh and number of its scene.
    stream
        Both logs.
    """

    plan: Plan
    seed: int
    shown: tuple[Shown, ...]
    scans: tuple[Scan, ...]
    scene_of: tuple[int, ...]
    meshes: tuple[tuple[int, Scan], ...]
    stream: Stream

    def series(self, scan: int) -> str:
        """Name of a scan in the files."""
        return f"{self.shown[self.scene_of[scan]].name}_{self.scans[scan].kind}"


def collect(
    plan: Plan | None = None, settings: StreamSettings | None = None, *, seed: int = 0
) -> Collection:
    """Scan a number of scenes: everything but the pictures.

    Raises
    ------
    ConfigError
        A scan would have more than ten million frames or pictures.
    """
    own, clocks = plan or Plan(), settings or StreamSettings()
    shown, scans, scene_of, meshes = [], [], [], []
    for name in ("frame_hz", "camera_hz"):
        several = own.seconds * getattr(clocks, name)
        if several > _MOST_FRAMES:
            raise ConfigError(
                f"seconds times {name} = {several:.3g}: expected at most {_MOST_FRAMES:,} a scan",
                key=name,
            )
    n = max(1, round(own.seconds * clocks.frame_hz))
    for number in range(own.crystals + own.empty):
        rng = Generator(PCG64(SeedSequence([7, seed, number])))
        zoom, omega = float(rng.uniform(*own.zooms)), float(rng.uniform(0.0, 2.0 * np.pi))
        side = str(rng.choice(SIDES)) if own.side == "any" else own.side or "left"
        made = scene(
            scene_seed(seed, number), crystals=int(number < own.crystals), mount=own.mount,
            side=side,
        )  # fmt: skip
        shown.append(Shown(f"c{number + 1:04d}", made, zoom, own.mount, side))
        for kind in own.scans:
            if kind == "mesh":
                meshes.append((number, mesh_scan(made, omega_rad=omega, seed=seed)))
                continue
            scan = helical_scan if kind == "helical" else rotational_scan
            scans.append(scan(made, n, omega_rad=omega, seed=seed))
            scene_of.append(number)
    return Collection(
        own, seed, tuple(shown), tuple(scans), tuple(scene_of), tuple(meshes),
        stream(scans, clocks, seed=seed),
    )  # fmt: skip
