"""Spots counted by distl itself (cctbx) and by refimpl on simulated stills.

The stills have what counts go wrong by: no spots and many, weak and overloaded ones, rings of ice,
gaps, dead and hot pixels, backgrounds of less than a count and of hundreds. Nothing was measured.
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from asking import Asker
from page import Table, seconds

SHAPES = ((619, 487), (1679, 1475), (2527, 2463))  # of a Pilatus
ICE_ANGSTROM = (3.90, 3.67, 3.44, 2.67, 2.25, 2.07, 1.95, 1.92)
OVERLOAD, PIXEL_MM = 115897, 1000 * 172e-6  # in the last bit as distl has it: beams halfway


def still(seed: int) -> dict[str, Any]:
    """Return a simulated still and its geometry."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[rng.choice(3, p=(0.5, 0.35, 0.15))]
    given = {
        "wavelength_angstrom": round(rng.uniform(0.7, 1.5), 5), "overload": OVERLOAD,
        "lsd_mm": round(rng.uniform(100.0, 400.0), 2),
        "beam_px": np.round(np.array(shape[::-1]) * rng.uniform(0.4, 0.6, 2), 2),  # fast, slow
    }  # fmt: skip
    slow, fast = np.indices(shape, dtype=float)
    radius = np.hypot(slow - given["beam_px"][1], fast - given["beam_px"][0])
    level = rng.choice([0.3, 1.0, 5.0, 30.0, 200.0])
    mean = level * (0.3 + np.exp(-radius / (rng.uniform(0.1, 0.6) * max(shape))))
    for d in rng.choice(ICE_ANGSTROM, rng.integers(0, 4)):
        angle = 2.0 * np.arcsin(0.5 * given["wavelength_angstrom"] / d)
        ring = (radius - given["lsd_mm"] / PIXEL_MM * np.tan(angle)) / rng.uniform(1.5, 6.0)
        grains = 1.0 + rng.uniform(0.0, 3.0) * (rng.random(shape) < 0.02)
        mean += level * rng.uniform(0.2, 6.0) * np.exp(-0.5 * ring * ring) * grains
    _add_spots(mean, slow, fast, given["beam_px"], rng)
    counts = np.minimum(rng.poisson(mean), OVERLOAD + 1).astype(np.int32)
    for first in range(195, shape[0], 212):
        counts[first : first + 17] = -1
    for first in range(487, shape[1], 494):
        counts[:, first : first + 7] = -1
    counts[rng.random(shape) < 2e-5] = -2
    hot = rng.random(shape) < 1e-5
    counts[hot] = rng.integers(1_000, 200_000, int(hot.sum()))
    return given | {"image": counts}


def _add_spots(
    mean: np.ndarray, slow: np.ndarray, fast: np.ndarray, beam: np.ndarray, rng: np.random.Generator
) -> None:
    """Add up to 1500 bodies of 3 to 30,000 counts, fewer at larger angles."""
    shape, reach = mean.shape, rng.uniform(0.15, 0.8) * max(mean.shape)
    n = min(int(rng.choice([0, 3, 20, 100, 600, 1500])), mean.size // 400)
    away, turn = np.abs(rng.normal(0.0, reach, n)), rng.uniform(0.0, 2.0 * np.pi, n)
    places = np.stack([beam[1] + away * np.sin(turn), beam[0] + away * np.cos(turn)], axis=1)
    inside = ((places > 8) & (places < np.array(shape) - 9)).all(axis=1)
    for y, x in places[inside]:
        box = np.s_[int(y) - 7 : int(y) + 8, int(x) - 7 : int(x) + 8]
        (wide, narrow), lean = rng.uniform(0.6, 2.2, 2), rng.uniform(0.0, np.pi)
        dy, dx = slow[box] - y, fast[box] - x
        u, v = dy * np.cos(lean) + dx * np.sin(lean), -dy * np.sin(lean) + dx * np.cos(lean)
        peak = 10.0 ** rng.uniform(0.5, 4.5) / (2.0 * np.pi * wide * narrow)
        mean[box] += peak * np.exp(-0.5 * ((u / wide) ** 2 + (v / narrow) ** 2))


def distl_tables(asker: Asker, size: float = 0.5) -> list[Table]:
    """One table: how many listings agree to the character, and how long a still takes."""
    n = max(int(24 * size), 2)
    codes = (("refimpl", "refimpl_peer", ()), ("cctbx", "cctbx_peer", ("cctbx-base",)))
    lines: dict[str, list[list[str]]] = {}
    rows: dict[str, tuple[str, list[float], str]] = {}
    for code, module, packages in codes:
        lines[code], times, name, trouble = [], [], code, ""
        for seed in range(n):
            got = asker.ask(code, "distl_listing", still(seed), module=module, packages=packages,
                            warm_up=False, window_s=0.0)  # fmt: skip
            name, trouble = got.code, trouble or got.error
            if got.error:
                break
            lines[code].append(got.arrays["lines"].tolist())
            if got.timing is not None and got.timing.quotable:
                times.append(got.timing.median_s)
        rows[code] = (name, times, trouble)
    table = Table(
        f"Spots of a still counted: {n} simulated stills", "code", "threads", "spots in all",
        "listings equal to ours", "wall, median still",
    )  # fmt: skip
    for code, (name, times, trouble) in rows.items():
        if trouble:
            table.add(name, "", trouble, "", "")
            continue
        equal = sum(a == b for a, b in zip(lines[code], lines["refimpl"], strict=True))
        spots = sum(int(one[0].split(":")[1]) for one in lines[code])
        wall = seconds(statistics.median(times)) if 2 * len(times) >= n else "-"  # busy machine
        table.add(name, str(asker.threads), f"{spots:,}", f"{equal} of {n}", wall)
    return [table]
