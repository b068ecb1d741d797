"""What a simulated EPU session is made of: the grid, the optics, the times, the mistakes.

Defaults marked *real* were measured on the 189 exposures of the EPU_group_AFIS session (Titan,
Falcon 3, EPU 2.6), *spec* are round figures chosen near them, *free* are plain choices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["SimulationSettings", "lattice_of", "matrix_of", "pattern_of", "shots_of"]

_LARGEST_PATTERN = 21


@dataclass(frozen=True)
class SimulationSettings:
    """Parameters of a simulated session; units are in the names, counts have none.

    Attributes
    ----------
    pitch_um, lattice_deg, lattice_stretch, lattice_skew_deg
        Hole lattice in stage coordinates: length and direction of its first vector, the second
        length over the first, the angle between them less 90 degrees. Spec: 2.5 um at 15 degrees;
        real: 2.49 um at 14.8 degrees, 1.030, -0.8 degrees.
    k_um, rotation_deg, mirror, anisotropy, anisotropy_deg
        Beam shift to stage: sqrt|det M|, turn, whether it mirrors, ratio of its singular values
        and the direction of the longer. Real: 24.34 um, 26.7 degrees, a mirror, 1.012.
    pattern
        Holes that are reached from one stage position: "5x5-corners", "5x5", "3x4" ... or rows of
        ``#`` and ``.`` (lines or slashes between them). Real: "5x5-corners".
    shots, ring_um, ring_deg
        Shots in a hole, on a ring about its centre (a single one is at the centre), and direction
        of the first. Real: 3 on 0.374 um.
    discs, squares, groups
        Grids, squares on a grid, stage positions in a square (fewer where the square is full).
        Free; real: 1, 1, 18.
    square_radius_um
        Part of a grid square that is used. Free: a 300-mesh square is some 55 um wide.
    square_turn_deg
        Standard deviation of a square's lattice direction about the mean (wrinkled foil). Not
        measured (one real square): 0.
    layout
        "super-lattice": groups tile the square. "greedy": each group is put where it reaches most
        of the holes left, so that groups stand at irregular lattice vectors. Real: irregular.
    hole_fraction
        Part of the holes that are selected (ice thickness), in patches. Free.
    lacey
        Random targets without any lattice; ``pitch_um`` is then their least distance, and no
        overlaps or missed moves are made, which need a pattern.
    landing_um
        Root mean square distance (both axes together) of where the stage stops from where it was
        sent; the beam shift takes it up. Spec 0.15; real 0.093.
    centring_um
        Root mean square distance of the found hole centre from the lattice. Spec 0.045; real
        0.047.
    readback_um
        Standard deviation of the stage read-back, each axis. Real 0.0013.
    beam_shift_noise
        Standard deviation of the recorded beam shift, each axis. Spec 2e-4 (5 nm); real: below
        1e-6 between the shots of a hole.
    revisits, overlaps, missed
        Groups that are exposed again later; that are put one column short, onto holes of a
        neighbour; that are taken without the stage moving. Free.
    revisit_new_ids
        Part of the revisits whose holes have new numbers (the square was prepared again). Free.
    singles, near_misses
        Shots taken again by themselves; shots that come near another one, but at
        ``near_um``. Free; the span is the spec's.
    near_um
        Span of the distance of a near miss to the nearest exposure.
    shot_s, move_s, square_s, time_spread
        Time of a shot, of a stage move, of a change of square; their relative spread. Spec: 6-40 s
        and 30 s; real: 40 s.
    start_utc, dst_utc, zone_h
        First exposure and change of the clock (ISO text, UTC), and hours ahead of UTC before and
        after it. Free: the end of summer time in central Europe, a session from 22:00.
    equal_times
        Exposures with the time of the one before (a clock that was read once). Free.
    beam_diameter_um, other_diameter_um, other_diameters
        Beam, a second value, and how many exposures state it. Real: 0.95, one value.
    first_hole
        Number of the first hole; 9999000 makes 7 and 8 digits in one session. Free.
    """

    pitch_um: float = 2.5
    lattice_deg: float = 15.0
    lattice_stretch: float = 1.0
    lattice_skew_deg: float = 0.0
    k_um: float = 24.4
    rotation_deg: float = 26.7
    mirror: bool = True
    anisotropy: float = 1.012
    anisotropy_deg: float = 0.0
    pattern: str = "5x5-corners"
    shots: int = 3
    ring_um: float = 0.374
    ring_deg: float = 20.0
    discs: int = 1
    squares: int = 3
    groups: int = 14
    square_radius_um: float = 27.0
    square_turn_deg: float = 0.0
    layout: str = "super-lattice"
    hole_fraction: float = 0.9
    lacey: bool = False
    landing_um: float = 0.15
    centring_um: float = 0.045
    readback_um: float = 0.0013
    beam_shift_noise: float = 2e-4
    revisits: int = 2
    overlaps: int = 3
    missed: int = 1
    revisit_new_ids: float = 0.5
    singles: int = 5
    near_misses: int = 10
    near_um: tuple[float, float] = (0.25, 0.6)
    shot_s: float = 8.0
    move_s: float = 30.0
    square_s: float = 300.0
    time_spread: float = 0.02
    start_utc: str = "2024-10-26T20:00:00"
    dst_utc: str = "2024-10-27T01:00:00"
    zone_h: tuple[float, float] = (2.0, 1.0)
    equal_times: int = 2
    beam_diameter_um: float = 0.95
    other_diameter_um: float = 0.855
    other_diameters: int = 4
    first_hole: int = 9_999_000

    def __post_init__(self) -> None:
        for name, low, high in _SPANS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"{name} = {value} is outside of {low} to {high}", key=name, got=value
                )
        for name in ("shots", "discs", "squares", "groups", "revisits", "overlaps", "missed",
                     "singles", "near_misses", "equal_times", "other_diameters",
                     "first_hole"):  # fmt: skip
            if not isinstance(getattr(self, name), int):
                raise ConfigError(f"{name} is not a whole number", key=name)
        low, high = self.near_um
        if not 0.2 < low < high <= 0.5 * self.pitch_um:
            raise ConfigError(
                f"near_um = {low}, {high}: expected 0.2 < low < high <= half of the pitch",
                key="near_um", got=self.near_um,
            )  # fmt: skip
        if self.layout not in ("super-lattice", "greedy"):
            raise ConfigError(
                f"layout = {self.layout!r}: expected super-lattice or greedy", key="layout",
                got=self.layout,
            )  # fmt: skip
        for name in ("start_utc", "dst_utc"):
            try:
                np.datetime64(getattr(self, name))
            except ValueError as error:
                raise ConfigError(f"{name} is no ISO time", key=name) from error
        pattern_of(self.pattern)


_SPANS = (
    ("pitch_um", 0.5, 20.0), ("lattice_deg", -360.0, 360.0), ("lattice_stretch", 0.8, 1.25),
    ("lattice_skew_deg", -10.0, 10.0), ("k_um", 1.0, 200.0), ("rotation_deg", -360.0, 360.0),
    ("anisotropy", 1.0, 1.3), ("anisotropy_deg", -360.0, 360.0), ("shots", 1, 12),
    ("ring_um", 0.0, 5.0), ("ring_deg", -360.0, 360.0), ("discs", 1, 20), ("squares", 1, 10_000),
    ("groups", 1, 10_000), ("square_radius_um", 1.0, 1000.0), ("square_turn_deg", 0.0, 5.0),
    ("hole_fraction", 0.05, 1.0), ("landing_um", 0.0, 1.0), ("centring_um", 0.0, 0.5),
    ("readback_um", 0.0, 0.05), ("beam_shift_noise", 0.0, 0.01), ("revisits", 0, 10_000),
    ("overlaps", 0, 10_000), ("missed", 0, 10_000), ("revisit_new_ids", 0.0, 1.0),
    ("singles", 0, 100_000), ("near_misses", 0, 100_000), ("shot_s", 0.1, 600.0),
    ("move_s", 0.0, 3600.0), ("square_s", 0.0, 36_000.0), ("time_spread", 0.0, 0.5),
    ("equal_times", 0, 10_000), ("beam_diameter_um", 0.01, 20.0),
    ("other_diameter_um", 0.01, 20.0), ("other_diameters", 0, 100_000),
    ("first_hole", 1, 90_000_000),
)  # fmt: skip


def _turn(angle_rad: float) -> F64:
    """Rotation by an angle, for row vectors."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, s], [-s, c]])


def matrix_of(settings: SimulationSettings) -> F64:
    """(2, 2) [um], true = stage + beam_shift @ matrix: mirror (y), turn, then stretch."""
    mirror = np.diag([1.0, -1.0 if settings.mirror else 1.0])
    root = math.sqrt(settings.anisotropy)
    axes = _turn(math.radians(settings.anisotropy_deg))
    stretch = axes.T @ np.diag([root, 1.0 / root]) @ axes
    matrix = settings.k_um * mirror @ _turn(math.radians(settings.rotation_deg)) @ stretch
    return np.asarray(matrix, dtype=np.float64)


def lattice_of(settings: SimulationSettings) -> F64:
    """(2, 2) [um], rows are the vectors between holes in stage coordinates."""
    first = math.radians(settings.lattice_deg)
    second = first + math.radians(90.0 + settings.lattice_skew_deg)
    lengths = settings.pitch_um, settings.pitch_um * settings.lattice_stretch
    angles = first, second
    return np.array(
        [[r * math.cos(t), r * math.sin(t)] for r, t in zip(lengths, angles, strict=True)]
    )


def shots_of(settings: SimulationSettings) -> F64:
    """(shots, 2) [um] from the centre of the hole."""
    if settings.shots == 1:
        return np.zeros((1, 2))
    angles = math.radians(settings.ring_deg) + 2.0 * math.pi * (
        np.arange(settings.shots) / settings.shots
    )
    return settings.ring_um * np.column_stack([np.cos(angles), np.sin(angles)])


def pattern_of(text: str) -> I64:
    """(h, 2) holes of a pattern in lattice steps from its middle, nearest first.

    Raises
    ------
    ConfigError
        Neither a size (``3x4``, ``5x5-corners``) nor rows of ``#`` and ``.``; more than 21 rows
        or columns; no hole.
    """
    mask = _drawn(text) if "#" in text else _sized(text)
    if mask.size == 0 or not mask.any() or max(mask.shape) > _LARGEST_PATTERN:
        raise ConfigError(
            f"pattern {text!r}: expected a size such as 5x5 or 5x5-corners, or rows of # and ., "
            f"up to {_LARGEST_PATTERN} holes wide", key="pattern", got=text,
        )  # fmt: skip
    row, column = np.nonzero(mask[::-1])
    ij = np.column_stack([column, row]).astype(np.int64)
    middle = ij[np.argmin(((ij - ij.mean(axis=0)) ** 2).sum(axis=1))]
    ij = ij - middle
    order = np.lexsort((np.arctan2(ij[:, 1], ij[:, 0]), (ij**2).sum(axis=1)))
    return np.asarray(ij[order], dtype=np.int64)


def _drawn(text: str) -> I64:
    rows = [r.strip() for r in text.replace("/", "\n").splitlines() if r.strip()]
    if set("".join(rows)) - set("#."):
        return np.zeros((0, 0), dtype=np.int64)
    width = max(map(len, rows))
    return np.array([[c == "#" for c in r.ljust(width, ".")] for r in rows], dtype=np.int64)


def _sized(text: str) -> I64:
    size, _, cut = text.partition("-")
    numbers = size.split("x")
    if cut not in ("", "corners") or len(numbers) != 2 or not all(n.isdigit() for n in numbers):
        return np.zeros((0, 0), dtype=np.int64)
    mask = np.ones((min(int(numbers[1]), 99), min(int(numbers[0]), 99)), dtype=np.int64)
    if cut and mask.size:
        mask[np.ix_([0, -1], [0, -1])] = 0
    return mask


assert {f.name for f in fields(SimulationSettings)} >= {name for name, _, _ in _SPANS}
