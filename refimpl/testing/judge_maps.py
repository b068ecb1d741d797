r"""Two near-field maps: voxel by voxel, as they stand and in one sample frame.

An orientation takes the crystal to the sample, :math:`q_B \approx r\,q_A\,S` with a turn r of the
sample's frame that all voxels share and an operator S of the crystal. r trades against the
detector's tilts and the origin of omega, so it is told with its uncertainty, and taken out; so is
a shift of the sample by steps of the grid, where another place makes the maps agree better.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from refimpl.frames import F64
from refimpl.nearfield.compare import MapComparison, compare_maps, pitch_mm
from refimpl.nearfield.maps import NearfieldMap
from refimpl.testing.judge import Judgement, Measure, Picture, judged, rms
from refimpl.testing.judge_map_frames import Alignment, align_maps, frame_hint, in_frame
from refimpl.units import UM

__all__ = ["DEFAULTS", "map_judgement"]

DEFAULTS: Final = {
    "missing_share": 0.01, "off_share": 0.02, "misorientation_median_deg": 0.1, "turn_deg": 0.1,
}  # fmt: skip
"""Tolerances unless others are given; besides, a shift of one step of the grid."""

_OFF_DEG: Final = 1.0


def map_judgement(
    a: NearfieldMap,
    b: NearfieldMap,
    *,
    names: tuple[str, str] = ("A", "B"),
    tolerances: Mapping[str, float | None] | None = None,
    min_confidence: float = 0.0,
) -> Judgement:
    """Hold a map to another one.

    Parameters
    ----------
    a, b
        Reference and map, of one Laue class.
    names
        For the report.
    tolerances
        By name of the measure, over :data:`DEFAULTS`.
    min_confidence
        Voxels of the first below it do not count.

    Raises
    ------
    ConfigError
        The maps are of different Laue classes; a tolerance of no measure.
    """
    plain = compare_maps(b, a, reference_min_confidence=min_confidence)
    found = align_maps(a, b, plain, min_confidence)
    moved = compare_maps(in_frame(b, found), a, reference_min_confidence=min_confidence)
    counted = len(moved) + moved.missing
    deg = moved.misorientation_deg
    off = int((deg > _OFF_DEG).sum()) + moved.missing
    sigma = float(np.sqrt((found.sigma_deg**2).sum())) if found.voxels else None
    change = plain.confidence[:, 0] - plain.confidence[:, 1]
    turn = float(np.sqrt((found.turn_deg**2).sum()))
    measures = (
        Measure("missing_share", _part(moved.missing, counted), "voxels of A that B lacks"),
        Measure("off_share", _part(off, counted), "missing, or off by more than 1°, aligned"),
        Measure("misorientation_median_deg", _percentile(deg, 50.0), "aligned"),
        Measure("misorientation_p90_deg", _percentile(deg, 90.0), "aligned; 90 % are below"),
        Measure("plain_median_deg", _percentile(plain.misorientation_deg, 50.0), "as they stand"),
        Measure("turn_deg", turn, "common turn of the sample's frame", sigma=sigma),
        Measure("shift_um", float(np.hypot(*found.shift_mm)) / UM, "shift by steps of the grid"),
        Measure("twin_share", _part(int(moved.twin.sum()), len(moved)), "Σ3 twins of each other"),
        Measure("confidence_mean", abs(float(change.mean())) if len(change) else np.nan,
                "size of the mean difference of the confidences"),
        Measure("confidence_rms", rms(change), "rms difference of the confidences"),
    )  # fmt: skip
    pitch = pitch_mm(a.voxels) / UM
    defaults = DEFAULTS | ({"shift_um": 1.01 * pitch} if np.isfinite(pitch) else {})
    details: dict[str, Any] = {
        "plain": plain.summary(), "aligned": moved.summary(), "pitch_um": pitch,
        "turn_deg": found.turn_deg.tolist(), "sigma_deg": found.sigma_deg.tolist(),
        "shift_um": (found.shift_mm / UM).tolist(), "turn_voxels": found.voxels,
        "solved": [int(a.solved.sum()), int(b.solved.sum())],
    }  # fmt: skip
    notes = (*_words(found, plain, pitch), *frame_hint(a, b, plain))
    limits = judged(measures, defaults, tolerances or {})
    return Judgement("map", *names, limits, notes, details, _pictures(a, plain, moved))


def _part(count: int, of: int) -> float:
    return count / of if of else float("nan")


def _percentile(values: F64, percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else float("nan")


# --- words and pictures ---------------------------------------------------------------------------


def _words(found: Alignment, plain: MapComparison, pitch_um: float) -> list[str]:
    words = [f"{len(plain)} voxels matched by {plain.matched_by} as they stand"]
    if not found.voxels:
        words.append("no common turn: fewer than half of the voxels have the same one")
    else:
        words.append(
            "common turn ({:.4g}, {:.4g}, {:.4g})° about x, y, z of the sample".format(
                *found.turn_deg
            ) + " ± ({:.2g}, {:.2g}, {:.2g})°".format(*found.sigma_deg)
            + f", from {found.voxels} voxels taken as independent"
        )  # fmt: skip
    if found.shift_mm.any():
        words.append(
            "common shift ({:.4g}, {:.4g}) µm, to a step of the grid".format(*found.shift_mm / UM)
            + f" ({pitch_um:.3g} µm)"
        )
    words.append("maps state no uncertainty of a voxel")
    return words


def _pictures(a: NearfieldMap, plain: MapComparison, moved: MapComparison) -> tuple[Picture, ...]:
    axes = ("x (µm)", "y (µm)")
    xy = a.voxels.xy_mm / UM
    change = plain.confidence[:, 0] - plain.confidence[:, 1]
    return (
        Picture("Misorientation as they stand", "misorientation (°)", plain.misorientation_deg,
                xy[plain.reference_rows], axes),
        Picture("In one frame", "misorientation (°)", moved.misorientation_deg,
                xy[moved.reference_rows], axes),
        Picture("Confidence, B minus A", "confidence", change, xy[plain.reference_rows], axes),
    )  # fmt: skip
