"""Settings of a numbered session of the benchmark: everything that varies between sites, varied.

Spans come from the foils that are sold, from the one real session, and from what users report;
they include sessions that are hard: one square, small patterns, single shots, large landing
errors, wrinkled foil.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refimpl.epu.simulate_settings import SimulationSettings
from refimpl.epu.simulate_shapes import pattern_of

__all__ = ["BENCHMARK", "varied"]

BENCHMARK = 20
"""Sessions of the benchmark."""

# Hole diameter and pitch [um] of holey foils: R0.6/1, R1/1, R1.2/1.3 (twice: the most used one),
# R2/1, R2/2.
_FOILS = ((0.6, 1.6), (1.0, 2.0), (1.2, 2.5), (1.2, 2.5), (2.0, 3.0), (2.0, 4.0))

_PATTERNS = (
    "5x5-corners", "5x5-corners", "3x3", "7x7", "7x7-corners", "5x5", "4x4-corners", "3x5", "2x3",
    "..#../.###./#####/.###./..#..", ".##./####/###.", "##.../####./#####/..###", "#./##/.#",
    ".###./#####/#####",
)  # fmt: skip

# Nights on which the clocks change, and an evening of an ordinary day; all cross midnight.
_CLOCKS: tuple[dict[str, Any], ...] = (
    {"start_utc": "2024-10-26T20:30:00", "dst_utc": "2024-10-27T01:00:00", "zone_h": (2.0, 1.0)},
    {"start_utc": "2025-03-29T21:00:00", "dst_utc": "2025-03-30T01:00:00", "zone_h": (1.0, 2.0)},
    {"start_utc": "2024-11-03T03:00:00", "dst_utc": "2024-11-03T06:00:00", "zone_h": (-4.0, -5.0)},
    {"start_utc": "2023-07-04T13:30:00", "dst_utc": "2023-12-31T00:00:00", "zone_h": (9.0, 9.0)},
)

_REACH_UM = 13.0
_SHOTS_APART_UM = 0.45


def varied(seed: int) -> SimulationSettings:
    """Draw the settings of session number ``seed``.

    Parameters
    ----------
    seed
        Any number from 0; :data:`BENCHMARK` of them make the benchmark. Simulate with the same
        seed.
    """
    rng = np.random.default_rng([seed, 20_201_009])
    hole_um, nominal_um = _FOILS[int(rng.integers(len(_FOILS)))]
    pitch = nominal_um * rng.uniform(0.97, 1.03)
    pattern = _pattern(pitch, rng)
    shots = int(rng.integers(1, 5)) if hole_um >= 1.0 else int(rng.integers(1, 3))
    least = _SHOTS_APART_UM / (2.0 * math.sin(math.pi / max(shots, 2)))
    ring = rng.uniform(least, max(least + 0.05, 0.35 * hole_um))
    holes = len(pattern_of(pattern))
    per_square = min(40, 3.0 * (25.0 / pitch) ** 2 / holes)
    groups = 40 if rng.random() < 0.5 else int(rng.integers(6, 21))
    wanted = rng.uniform(250.0, 1200.0) / holes
    squares = int(np.clip(round(wanted / min(groups, per_square)), 1, 12))
    discs = 2 if squares % 2 == 0 and rng.random() < 0.5 else 1
    total = int(squares * min(groups, per_square))
    return SimulationSettings(
        pitch_um=pitch,
        lattice_deg=rng.uniform(0.0, 90.0),
        lattice_stretch=rng.uniform(0.97, 1.03),
        lattice_skew_deg=rng.uniform(-1.0, 1.0),
        k_um=24.4 * math.exp(rng.uniform(-0.25, 0.25)),
        rotation_deg=rng.uniform(-180.0, 180.0),
        mirror=bool(rng.random() < 0.5),
        anisotropy=rng.uniform(1.0, 1.04),
        anisotropy_deg=rng.uniform(0.0, 180.0),
        pattern=pattern,
        shots=shots,
        ring_um=ring,
        ring_deg=rng.uniform(0.0, 360.0),
        hole_um=hole_um,
        discs=discs,
        squares=squares // discs,
        square_radius_um=rng.uniform(22.0, 32.0),
        square_turn_deg=float(rng.choice([0.0, 0.05, 0.1])),
        layout=str(rng.choice(["super-lattice", "greedy"])),
        hole_fraction=rng.uniform(0.6, 1.0),
        landing_um=rng.uniform(0.07, 0.2),
        centring_um=rng.uniform(0.03, 0.055),
        centring_shared=rng.uniform(0.3, 0.9),
        dm_noise_um=rng.uniform(0.02, 0.1),
        readback_um=rng.uniform(0.001, 0.003),
        beam_shift_noise=float(rng.choice([1e-6, 1e-4, 2e-4])),
        revisits=int(rng.integers(1, 3)),
        overlaps=int(rng.integers(0, 2 + total // 12)),
        missed=int(rng.integers(0, 2 + total // 40)),
        revisit_new_ids=rng.random(),
        singles=int(rng.integers(0, 9)),
        near_misses=int(rng.integers(4, 21)),
        lost=rng.uniform(0.0, 0.05),
        shot_s=rng.uniform(6.0, 40.0),
        move_s=rng.uniform(20.0, 60.0),
        equal_times=int(rng.integers(0, 4)),
        other_diameters=int(rng.integers(0, 6)),
        first_hole=int(rng.choice([5_330_000, 9_999_700, 21_450_000])),
        groups=groups,
        **_CLOCKS[int(rng.integers(len(_CLOCKS)))],
    )


def _pattern(pitch_um: float, rng: np.random.Generator) -> str:
    """Draw a pattern whose holes the beam shift can reach."""
    reachable = [
        p for p in _PATTERNS
        if pitch_um * np.sqrt((pattern_of(p) ** 2).sum(axis=1)).max() <= _REACH_UM
    ]  # fmt: skip
    return reachable[int(rng.integers(len(reachable)))]
