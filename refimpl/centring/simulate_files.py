"""A simulated data collection as a folder: pictures, the logs of both clocks, counts, the truth.

The folder appears whole or not at all::

    camera.csv      image, time_s (camera's clock), crystal, zoom, omega_deg, series
    detector.csv    frame, time_s (detector's clock), series, crystal
    counts.csv      frame, rc, series
    table.csv       image, rc, crystal, zoom, omega_deg, time_s, frame, series: truly matched
    mesh.csv        crystal, omega_deg, row, column, s_um, t_um, rc (where a mesh was scanned)
    truth.json      clocks, scenes with their seeds, expected counts
    pictures/<crystal>/<series>_<number>.jpg

A scene of truth.json is made again by ``scene(seed, crystals=..., mount=..., side=...)``.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.centring.simulate_collection import Collection, Shown
from refimpl.centring.simulate_scans import Scan
from refimpl.errors import ConfigError
from refimpl.io.atomic import json_text
from refimpl.io.whole_folder import whole_folder

__all__ = ["FORMATS", "write_collection"]

FORMATS = {"jpg": "JPEG", "png": "PNG"}
"""Formats of pictures by their suffix."""


def write_collection(
    made: Collection,
    folder: str | os.PathLike[str],
    *,
    suffix: str = "jpg",
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a collection; return the number of pictures.

    Parameters
    ----------
    folder
        Must not exist, or be empty.
    suffix
        ``jpg`` (quality 92) or ``png``.
    progress
        Called with pictures done, and how many there are.

    Raises
    ------
    ConfigError
        The folder is not empty or cannot be made; an unknown format.
    """
    if suffix not in FORMATS:
        raise ConfigError(
            f"pictures as {suffix!r}: expected one of {', '.join(FORMATS)}", key="format"
        )
    with whole_folder(folder) as place:
        names = _write_pictures(made, place, suffix, progress)
        _write_tables(made, place, names)
        (place / "truth.json").write_text(json_text(_truth(made, names)) + "\n", encoding="utf-8")
    return len(names)


def _write_pictures(
    made: Collection, place: Path, suffix: str, progress: Callable[[int, int], None] | None
) -> list[str]:
    from PIL import Image

    log, names = made.stream, []
    for row, scan in enumerate(log.picture_scan):
        shown = made.shown[made.scene_of[scan]]
        number = int((log.picture_scan[:row] == scan).sum()) + 1
        name = f"pictures/{shown.name}/{made.series(scan)}_{number:04d}.{suffix}"
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        x, y, z = (float(v) for v in log.picture_at_um[row])
        omega = float(log.picture_omega_rad[row])
        picture = shown.scene.picture(shown.zoom, omega, at_um=(x, y, z), frame=row)
        memory = io.BytesIO()
        options = {"quality": 92} if suffix == "jpg" else {}
        Image.fromarray(picture).save(memory, FORMATS[suffix], **options)
        (place / name).write_bytes(memory.getvalue())
        names.append(name)
        if progress is not None:
            progress(row + 1, len(log.picture_scan))
    return names


def _write_tables(made: Collection, place: Path, names: Sequence[str]) -> None:
    log = made.stream
    views = [_view_columns(made, row) for row in range(len(names))]
    times = [f"{t:.6f}" for t in log.picture_s]
    series = [made.series(s) for s in range(len(made.scans))]
    crystal = [made.shown[k].name for k in made.scene_of]
    _table(
        place / "camera.csv",
        ("image", "time_s", "crystal", "zoom", "omega_deg", "series"),
        [
            (name, time, *view, series[s])
            for name, time, view, s in zip(names, times, views, log.picture_scan, strict=True)
        ],
    )
    frames = list(zip(log.frame_number, log.frame_s, log.frame_scan, log.frame_rc, strict=True))
    _table(
        place / "detector.csv",
        ("frame", "time_s", "series", "crystal"),
        [(number, f"{time:.6f}", series[s], crystal[s]) for number, time, s, _ in frames],
    )
    _table(
        place / "counts.csv",
        ("frame", "rc", "series"),
        [(number, rc, series[s]) for number, _, s, rc in frames],
    )
    pairs = [(row, frames[f]) for row, f in enumerate(log.true_frame) if f >= 0]
    _table(place / "table.csv",
           ("image", "rc", "crystal", "zoom", "omega_deg", "time_s", "frame", "series"),
           [(names[row], rc, *views[row], times[row], number, series[s])
            for row, (number, _, s, rc) in pairs])  # fmt: skip
    if made.meshes:
        shots = [shot for number, mesh in made.meshes for shot in _mesh_rows(made, number, mesh)]
        header = ("crystal", "omega_deg", "row", "column", "s_um", "t_um", "rc")
        _table(place / "mesh.csv", header, shots)


def _view_columns(made: Collection, row: int) -> tuple[str, str, str]:
    log = made.stream
    shown = made.shown[made.scene_of[log.picture_scan[row]]]
    omega = float(np.degrees(log.picture_omega_rad[row]) % 360.0)
    return shown.name, f"{shown.zoom:.6f}", f"{omega:.6f}"


def _mesh_rows(made: Collection, number: int, mesh: Scan) -> list[tuple[Any, ...]]:
    rows, columns = mesh.grid or (1, len(mesh))
    omega = float(mesh.omega_rad[0])
    across = np.cos(omega) * mesh.at_um[:, 1] + np.sin(omega) * mesh.at_um[:, 2]
    i, j = np.divmod(np.arange(rows * columns), columns)
    degrees = f"{np.degrees(omega) % 360.0:.6f}"
    return [
        (made.shown[number].name, degrees, a, b, f"{s:.3f}", f"{t:.3f}", rc)
        for a, b, s, t, rc in zip(i, j, mesh.at_um[:, 0], across, mesh.rc, strict=True)
    ]


def _table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _truth(made: Collection, names: Sequence[str]) -> dict[str, Any]:
    log = made.stream
    expected = []
    for row, scan in enumerate(log.picture_scan):
        omega, at = float(log.picture_omega_rad[row]), log.picture_at_um[row]
        st = np.array([at[0], np.cos(omega) * at[1] + np.sin(omega) * at[2]])
        expected.append(round(float(made.shown[made.scene_of[scan]].scene.rc_um(st, omega)), 3))
    return {
        "seed": made.seed,
        "offset_s": log.settings.offset_s,
        "drift": log.settings.drift,
        "reference_s": float(log.picture_s[0]),
        "clocks": "detector = camera + offset_s + drift (camera - reference_s)",
        "stream": asdict(log.settings),
        "plan": asdict(made.plan),
        "scenes": [_scene_truth(shown) for shown in made.shown],
        "images": list(names),
        "expected": expected,
        "frame": [_frame_name(made, int(f)) for f in log.true_frame],
        "at_um": np.round(log.picture_at_um, 3),
    }


def _frame_name(made: Collection, row: int) -> str | None:
    """Series and number of a frame; the logs hold it under both."""
    if row < 0:
        return None
    return f"{made.series(int(made.stream.frame_scan[row]))}:{made.stream.frame_number[row]}"


def _scene_truth(shown: Shown) -> dict[str, Any]:
    return {
        "crystal": shown.name,
        "seed": shown.scene.seed,
        "crystals": len(shown.scene.crystals),
        "mount": shown.mount,
        "kind": shown.scene.mount.kind,
        "side": shown.side,
        "zoom": shown.zoom,
        "beam_fwhm_um": shown.scene.beam_fwhm_um,
        "quality": [c.quality for c in shown.scene.crystals],
        "centre_um": [c.centre_um for c in shown.scene.crystals],
    }
