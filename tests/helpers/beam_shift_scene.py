"""Beam shifts of sessions with known holes and shots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.frames import F64, I64

PATTERNS = {
    "3x3": [(i, j) for i in range(3) for j in range(3)],
    "5x5-corners": [
        (i, j) for i in range(-2, 3) for j in range(-2, 3) if abs(i) + abs(j) < 4
    ],
    "7x7": [(i, j) for i in range(7) for j in range(7)],
    "L": [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (0, 3)],
    "row": [(i, 0) for i in range(6)],
    "diagonal": [(0, 0), (0, 1), (1, 1), (1, 2), (2, 3), (2, 4)],
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """Beam shifts, and the hole and the shot (in its hole) of each."""

    points: F64
    hole: I64
    shot: I64


def scene(
    pattern: str,
    shots: int,
    visits: int,
    *,
    seed: int = 0,
    pitch_um: float = 2.5,
    ring_um: float = 0.374,
    landing_um: float = 0.15,
    centring_um: float = 0.045,
    noise: float = 2e-4,
    skipped: float = 0.0,
) -> Scene:
    """Expose a pattern of holes from several stage positions.

    Landing and centring are root mean square distances; the landing error is one of all holes of a
    stage position. `skipped` is the part of the holes that were not selected.
    """
    rng = np.random.default_rng(seed)
    sites = np.array(PATTERNS[pattern], dtype=np.float64)
    sites -= sites.mean(axis=0)
    turn, phase = rng.uniform(0.0, 2.0 * np.pi, 2)
    axes = pitch_um * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    axes[1] *= 1.02
    angle = phase + 2.0 * np.pi * np.arange(shots) / shots
    ring = ring_um * np.column_stack([np.cos(angle), np.sin(angle)]) * (shots > 1)
    v, h, s = np.meshgrid(*map(np.arange, (visits, len(sites), shots)), indexing="ij")
    landing = landing_um / np.sqrt(2.0) * rng.normal(size=(visits, 2))
    centring = centring_um / np.sqrt(2.0) * rng.normal(size=(visits, len(sites), 2))
    um = (sites @ axes)[h] + ring[s] + landing[v] + centring[v, h]
    taken = (rng.random((visits, len(sites))) >= skipped)[v, h].ravel()
    points = um.reshape(-1, 2)[taken] / 24.4
    points = points + noise * rng.normal(size=points.shape)
    return Scene(points, h.ravel()[taken], s.ravel()[taken])


def same_groups(labels: I64, truth: I64) -> bool:
    """Whether two labellings part the points alike."""
    pairs = len(set(zip(labels.tolist(), truth.tolist(), strict=True)))
    return pairs == len(set(labels.tolist())) == len(set(truth.tolist()))
