"""What a simulated EPU session is made of: the grid, the optics, the times, the mistakes.

Defaults marked *real* were measured on the 189 exposures of the EPU_group_AFIS session (Titan,
Falcon 3, EPU 2.6), *spec* are round figures chosen near them, *free* are plain choices.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from refimpl.epu.simulate_instrument import Instrument, check_types
from refimpl.epu.simulate_shapes import pattern_of
from refimpl.errors import ConfigError
from refimpl.io.epu_names import seconds_of

__all__ = ["Instrument", "SimulationSettings", "settings_from"]


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
    hole_um
        Diameter of the holes. Free: R1.2/1.3 foil.
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
    centring_um, centring_shared
        Root mean square distance of the found hole centre from the lattice, and the part of its
        variance that all holes of a stage position share (one hole is centred on, the others
        follow). Spec 0.045; real 0.047, of which 0.027 inside of a stage position: 0.7.
    readback_um
        Standard deviation of the stage read-back, each axis. Real 0.0013.
    beam_shift_noise
        Standard deviation of the recorded beam shift, each axis. Spec 2e-4 (5 nm); real: below
        1e-6 between the shots of a hole.
    dm_offset_um, dm_noise_um, spacing_error
        Hole positions that EPU planned, in the .dm files: root mean square offset of a square and
        distance of a hole from the truth; relative standard deviation of the stated spacing. Not
        measured: free.
    revisits, overlaps, missed
        Groups that are exposed again later; that are put one column short, onto holes of a
        neighbour; that are taken without the stage moving. Free.
    revisit_new_ids
        Part of the revisits whose holes have new numbers (the square was prepared again). Free.
    singles, near_misses
        Shots taken again by themselves; shots that come near another one, but at
        ``near_um``. Free; the span is the spec's.
    lost
        Part of the exposures that are not there (failed, sorted out by hand), at random. Free.
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
    instrument
        What else stands in every file.
    first_hole
        Number of the first hole; 9999600 makes 7 and 8 digits in one session. Free.
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
    hole_um: float = 1.2
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
    centring_shared: float = 0.7
    readback_um: float = 0.0013
    beam_shift_noise: float = 2e-4
    dm_offset_um: float = 0.3
    dm_noise_um: float = 0.05
    spacing_error: float = 0.01
    revisits: int = 2
    overlaps: int = 3
    missed: int = 1
    revisit_new_ids: float = 0.5
    singles: int = 5
    near_misses: int = 10
    near_um: tuple[float, float] = (0.25, 0.6)
    lost: float = 0.01
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
    instrument: Instrument = field(default_factory=Instrument)
    first_hole: int = 9_999_600

    def __post_init__(self) -> None:
        check_types(self)
        for name, low, high in _SPANS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"{name} = {value} is outside of {low} to {high}", key=name, got=value
                )
        if not self.hole_um < self.pitch_um:
            raise ConfigError(
                f"hole_um = {self.hole_um}: expected less than the pitch, {self.pitch_um}",
                key="hole_um", got=self.hole_um,
            )  # fmt: skip
        if self.shots > 1 and self.ring_um > 0.5 * self.hole_um:
            raise ConfigError(
                f"ring_um = {self.ring_um}: the shots are outside of a hole of {self.hole_um} um",
                key="ring_um", got=self.ring_um,
            )  # fmt: skip
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
            if math.isnan(seconds_of(getattr(self, name))):
                raise ConfigError(f"{name} is no ISO time", key=name, got=getattr(self, name))
        pattern_of(self.pattern)


_SPANS = (
    ("pitch_um", 0.5, 20.0), ("lattice_deg", -360.0, 360.0), ("lattice_stretch", 0.8, 1.25),
    ("lattice_skew_deg", -10.0, 10.0), ("k_um", 1.0, 200.0), ("rotation_deg", -360.0, 360.0),
    ("anisotropy", 1.0, 1.3), ("anisotropy_deg", -360.0, 360.0), ("shots", 1, 12),
    ("ring_um", 0.0, 5.0), ("ring_deg", -360.0, 360.0), ("discs", 1, 20), ("squares", 1, 10_000),
    ("groups", 1, 10_000), ("square_radius_um", 1.0, 1000.0), ("square_turn_deg", 0.0, 5.0),
    ("hole_fraction", 0.05, 1.0), ("landing_um", 0.0, 1.0), ("centring_um", 0.0, 0.5),
    ("centring_shared", 0.0, 1.0), ("hole_um", 0.1, 20.0), ("dm_offset_um", 0.0, 10.0),
    ("dm_noise_um", 0.0, 1.0), ("spacing_error", 0.0, 0.1), ("readback_um", 0.0, 0.05),
    ("beam_shift_noise", 0.0, 0.01), ("revisits", 0, 10_000),
    ("overlaps", 0, 10_000), ("missed", 0, 10_000), ("revisit_new_ids", 0.0, 1.0),
    ("singles", 0, 100_000), ("near_misses", 0, 100_000), ("shot_s", 0.1, 600.0),
    ("move_s", 0.0, 3600.0), ("square_s", 0.0, 36_000.0), ("time_spread", 0.0, 0.5),
    ("lost", 0.0, 0.5), ("equal_times", 0, 10_000), ("beam_diameter_um", 0.01, 20.0),
    ("other_diameter_um", 0.01, 20.0), ("other_diameters", 0, 100_000),
    ("first_hole", 1, 90_000_000),
)  # fmt: skip


def settings_from(base: SimulationSettings, changes: Mapping[str, Any]) -> SimulationSettings:
    """Change settings by name; those of the instrument are called ``instrument.voltage_kv``.

    Raises
    ------
    ConfigError
        A name that there is not (the nearest one is told), a value that is out of range.
    """
    own: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for key, value in changes.items():
        head, dot, name = key.partition(".")
        target, kind = (inner, Instrument) if dot and head == "instrument" else (own, type(base))
        name = name if target is inner else key
        known = [f.name for f in fields(kind) if f.name != "instrument"]
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f", did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
            raise ConfigError(f"no setting {key!r}{hint}", key=key, got=value)
        target[name] = tuple(value) if isinstance(value, list) else value
    if inner:
        own["instrument"] = replace(base.instrument, **inner)
    return replace(base, **own)
