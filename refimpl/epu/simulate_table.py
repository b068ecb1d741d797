"""The records of a simulated session: names, numbers, times, and what else stands in the XML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.epu.simulate_exposures import Rows
from refimpl.epu.simulate_geometry import image_to_stage
from refimpl.epu.simulate_layout import Square
from refimpl.epu.simulate_plan import Visit
from refimpl.epu.simulate_settings import Instrument, SimulationSettings
from refimpl.frames import F64, I64
from refimpl.io.epu_names import seconds_of

__all__ = ["columns_of", "stamp_of"]

TICKS = 10_000_000
"""Per second: EPU writes seven decimals."""


def columns_of(
    rows: Rows, beam_shift: F64, stage_um: F64, squares: Sequence[Square],
    visits: Sequence[Visit], settings: SimulationSettings, rng: np.random.Generator,
) -> tuple[dict[str, Any], I64]:  # fmt: skip
    """Columns of the session's table, and the row that each record was given in.

    Parameters
    ----------
    rows
        n exposures in the order in which they are taken.
    beam_shift, stage_um
        (n, 2) as recorded.

    Returns
    -------
    columns
        Sorted by time, then name.
    order
        (n,) where each of them was.
    """
    visit, hole, shot = rows.visit, rows.hole, rows.shot
    n = len(visit)
    ticks = _times(visit, visits, settings, rng)
    square = np.array([squares[v.square].number for v in visits], dtype=np.int64)[visit]
    disc = np.array([squares[v.square].disc for v in visits], dtype=np.int64)[visit]
    area = settings.first_hole + 500_000 + 17 * np.arange(settings.shots)[shot]
    stamp = ticks - rng.integers(0, TICKS, n)
    names = [
        f"FoilHole_{h}_Data_{a}_{a + 2}_{d[:8]}_{d[8:]}"
        for h, a, d in zip(hole.tolist(), area.tolist(), _stamps(stamp, settings), strict=True)
    ]
    order = np.lexsort((np.array(names), ticks)) if n else np.zeros(0, dtype=np.int64)
    diameter = np.full(n, settings.beam_diameter_um)
    diameter[rng.permutation(n)[: settings.other_diameters]] = settings.other_diameter_um
    words = rng.integers(0, 2**32, (n, 4), dtype=np.uint64)
    columns: dict[str, Any] = {
        "name": np.array(names, dtype=object),
        "path": np.array([f"Images-Disc{d}/GridSquare_{s}/Data/{m}.xml" for d, s, m in zip(
            disc.tolist(), square.tolist(), names, strict=True)], dtype=object),
        "uid": np.array([_uid(w) for w in words.tolist()], dtype=object),
        "square": square, "hole": hole, "area": area, "area2": area + 2,
        "time": np.array(_iso(ticks, settings), dtype=object), "time_s": ticks / TICKS,
        "beam_shift_x": beam_shift[:, 0], "beam_shift_y": beam_shift[:, 1],
        "stage_x_um": stage_um[:, 0], "stage_y_um": stage_um[:, 1],
        "beam_diameter_um": diameter,
        "applied_defocus_um": np.resize(settings.instrument.defocus_um, n),
    }  # fmt: skip
    columns = {name: np.asarray(values)[order] for name, values in columns.items()}
    return columns | _constants(settings.instrument), order


def _constants(instrument: Instrument) -> dict[str, Any]:
    """What is the same in all files."""
    (m11, m12), (m21, m22) = image_to_stage(instrument).tolist()
    return {
        "stage_z_um": instrument.stage_z_um,
        "alpha_rad": math.radians(instrument.alpha_deg),
        "beta_rad": math.radians(instrument.beta_deg),
        "beam_tilt_x": instrument.beam_tilt_x, "beam_tilt_y": instrument.beam_tilt_y,
        "image_shift_x": 0.0, "image_shift_y": 0.0,
        "pixel_size_angstrom": instrument.pixel_size_angstrom,
        "image_to_stage_11": m11, "image_to_stage_12": m12,
        "image_to_stage_21": m21, "image_to_stage_22": m22,
        "voltage_kv": instrument.voltage_kv, "magnification": instrument.magnification,
        "camera": instrument.camera, "exposure_s": instrument.exposure_s,
        "epu_version": instrument.epu_version, "instrument": instrument.name,
        "dose_per_angstrom2": instrument.dose_per_angstrom2, "phase_plate": 0,
    }  # fmt: skip


def _uid(words: list[int]) -> str:
    text = "".join(f"{w:08x}" for w in words)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _times(
    visit: I64, visits: Sequence[Visit], settings: SimulationSettings, rng: np.random.Generator
) -> I64:
    """(n,) UTC in ticks: shots, with a move before each new position and square."""
    n = len(visit)
    first = np.r_[True, visit[1:] != visit[:-1]][:n]
    moves = np.array([v.kind != "missed" for v in visits])[visit] & first
    at = np.array([v.square for v in visits])[visit]
    changes = np.r_[False, at[1:] != at[:-1]][:n]
    step = settings.shot_s + settings.move_s * moves + settings.square_s * changes
    step = step * np.clip(1.0 + settings.time_spread * rng.normal(size=n), 0.1, None)
    ticks = int(seconds_of(settings.start_utc)) * TICKS + np.round(np.cumsum(step) * TICKS).astype(
        np.int64
    )
    same = np.sort(rng.permutation(np.arange(1, n))[: settings.equal_times])
    ticks[same] = ticks[same - 1]
    return np.asarray(ticks, dtype=np.int64)


def _local(ticks: I64, settings: SimulationSettings) -> tuple[NDArray[np.datetime64], I64]:
    """Local seconds, and minutes ahead of UTC."""
    seconds = ticks // TICKS
    change = int(seconds_of(settings.dst_utc))
    before, after = (round(60.0 * h) for h in settings.zone_h)
    ahead = np.where(seconds < change, before, after)
    return (seconds + 60 * ahead).astype("datetime64[s]"), ahead


def _iso(ticks: I64, settings: SimulationSettings) -> list[str]:
    local, ahead = _local(ticks, settings)
    text = np.datetime_as_string(local, unit="s").tolist()
    zones = {m: f"{'-' if m < 0 else '+'}{abs(m) // 60:02d}:{abs(m) % 60:02d}"
             for m in np.unique(ahead).tolist()}  # fmt: skip
    return [f"{t}.{f:07d}{zones[m]}" for t, f, m in zip(
        text, (ticks % TICKS).tolist(), ahead.tolist(), strict=True)]  # fmt: skip


def _stamps(ticks: I64, settings: SimulationSettings) -> list[str]:
    """YYYYMMDDHHMMSS, local."""
    text = np.datetime_as_string(_local(ticks, settings)[0], unit="s").tolist()
    return [t.replace("-", "").replace(":", "").replace("T", "") for t in text]


def stamp_of(time_s: float, settings: SimulationSettings) -> str:
    """``YYYYMMDD_HHMMSS`` of a moment on the microscope's clock."""
    text = _stamps(np.array([int(time_s * TICKS)], dtype=np.int64), settings)[0]
    return f"{text[:8]}_{text[8:]}"
