"""Camera pictures matched to detector frames by the times of two logs.

Each frame goes to the picture nearest in time, if that is within the tolerance; a picture gets the
reflection count of its frames. What has no partner is reported, never forced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from refimpl.centring.clock import Clock, fit_clock, nearest
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COMBINE", "TOLERANCE_S", "Matches", "match", "match_tables"]

TOLERANCE_S: Final = 0.0625
"""Half the time between pictures of a camera with 8 a second."""
COMBINE: Final = ("median", "mean", "max", "nearest")
"""How the counts of several frames of a picture become one."""


@dataclass(frozen=True)
class Matches:
    """Which picture each frame belongs to.

    Attributes
    ----------
    picture
        (m,) Number of the picture of each frame, -1 where there is none.
    residual_s
        (m,) Picture minus frame on the detector's clock, NaN where there is none.
    n_pictures
        Number of pictures.
    clock
        The clocks that were assumed or found.
    tolerance_s
        Largest difference that was accepted.
    """

    picture: I64
    residual_s: F64
    n_pictures: int
    clock: Clock
    tolerance_s: float

    @property
    def unmatched_frames(self) -> I64:
        """Numbers of frames without a picture."""
        return np.flatnonzero(self.picture < 0)

    @property
    def unmatched_pictures(self) -> I64:
        """Numbers of pictures without a frame."""
        return np.flatnonzero(self.frames_of_picture == 0)

    @property
    def frames_of_picture(self) -> I64:
        """(n,) Number of frames of each picture."""
        return np.bincount(self.picture[self.picture >= 0], minlength=self.n_pictures)

    @property
    def nearest_frame(self) -> I64:
        """(n,) Number of the frame nearest to each picture, -1 where there is none."""
        out = np.full(self.n_pictures, -1, dtype=np.int64)
        order = np.lexsort((np.arange(len(self.picture)), np.abs(self.residual_s)))
        order = order[self.picture[order] >= 0][::-1]
        out[self.picture[order]] = order  # the nearest comes last, and stays
        return out

    def combined(self, rc: F64, how: str = "median") -> F64:
        """Reflection count of each picture from those of its frames.

        Parameters
        ----------
        rc
            (m,) Count of each frame, NaN where there is none: such frames are left out.
        how
            One of :data:`COMBINE`.

        Returns
        -------
        (n,) NaN for a picture without a count.
        """
        if how not in COMBINE:
            raise ConfigError(f"combine={how!r}: expected one of {', '.join(COMBINE)}", got=how)
        counts = np.asarray(rc, dtype=np.float64)
        if counts.shape != self.picture.shape:
            raise ConfigError(
                f"{counts.shape} counts: expected one for each of {len(self.picture)}"
            )
        out = np.full(self.n_pictures, np.nan)
        known = np.flatnonzero((self.picture >= 0) & np.isfinite(counts))
        distance = np.abs(self.residual_s[known])
        within = distance if how == "nearest" else counts[known]
        order = known[np.lexsort((known, within, self.picture[known]))]
        ends = np.flatnonzero(np.diff(self.picture[order], append=-1))
        for part in np.split(order, ends[:-1] + 1) if len(order) else []:
            values = counts[part]
            k = self.picture[part[0]]
            if how == "mean":
                out[k] = values.mean()
            elif how == "median":
                out[k] = np.median(values)
            else:
                out[k] = values[0] if how == "nearest" else values[-1]
        return out


def match(
    picture_s: F64,
    frame_s: F64,
    clock: Clock | None = None,
    *,
    tolerance_s: float = TOLERANCE_S,
    unique: bool = False,
) -> Matches:
    """Match frames to pictures.

    Parameters
    ----------
    picture_s, frame_s
        (n,), (m,) Times, each by its own clock, in any order.
    clock
        How the clocks differ; None finds it with :func:`refimpl.centring.clock.fit_clock`.
    tolerance_s
        Largest difference of a pair.
    unique
        One frame a picture: the nearest only.

    Raises
    ------
    ConfigError
        See :func:`refimpl.centring.clock.fit_clock`.
    """
    if not tolerance_s > 0.0:
        raise ConfigError(f"tolerance_s={tolerance_s}: expected > 0", key="tolerance_s")
    pictures = np.asarray(picture_s, dtype=np.float64).ravel()
    frames = np.asarray(frame_s, dtype=np.float64).ravel()
    for what, times in (("picture", pictures), ("frame", frames)):
        if not len(times) or not np.isfinite(times).all():
            raise ConfigError(f"{len(times)} times of {what}s: expected some, all finite")
    if clock is None:
        clock = fit_clock(pictures, frames, tolerance_s=tolerance_s)
    moved = clock.detector_time(pictures)
    order = np.lexsort((np.arange(len(moved)), moved))
    near, ahead = nearest(frames, moved[order])
    is_pair = np.abs(ahead) <= tolerance_s
    found = Matches(
        np.where(is_pair, order[near], -1), np.where(is_pair, ahead, np.nan),
        len(pictures), clock, tolerance_s,
    )  # fmt: skip
    if not unique:
        return found
    only = np.zeros(len(frames), dtype=bool)
    chosen = found.nearest_frame
    only[chosen[chosen >= 0]] = True
    return Matches(
        np.where(only, found.picture, -1), np.where(only, found.residual_s, np.nan),
        len(pictures), clock, tolerance_s,
    )  # fmt: skip


def match_tables(
    camera: pd.DataFrame,
    detector: pd.DataFrame,
    counts: Mapping[Any, float] | pd.DataFrame | None = None,
    *,
    matches: Matches,
    combine: str = "median",
) -> pd.DataFrame:
    """Table of pictures with their reflection counts.

    Parameters
    ----------
    camera, detector
        As :func:`refimpl.io.camera_log.read_camera_log` and
        :func:`refimpl.io.eiger_log.read_eiger_log` give them, in the order of `matches`.
    counts
        Columns ``frame``, ``rc`` and perhaps ``series``, or counts by frame. None: the detector's
        table has a column ``rc``.
    matches
        Result of :func:`match`.
    combine
        One of :data:`COMBINE`.

    Returns
    -------
    One row a picture that has a count, in the camera's order: ``image``, ``rc``, ``crystal``,
    ``zoom``, ``omega_deg`` (as far as they are known), ``time_s`` (detector's clock), ``frame``
    (the nearest), ``n_frames``, ``residual_s``.

    Raises
    ------
    ConfigError
        No frame of the log has a count, or one has two; several series, and counts of none.
    """
    import pandas as pd

    rc = _counts_of(detector, counts)
    if not np.isfinite(rc).any():
        raise ConfigError("no frame of the detector's log has a count")
    table = camera.copy()
    table["rc"] = matches.combined(rc, combine)
    table["time_s"] = matches.clock.detector_time(camera["time_s"].to_numpy(dtype=np.float64))
    chosen = matches.nearest_frame
    table["frame"] = np.where(chosen >= 0, detector["frame"].to_numpy()[chosen], -1)
    table["n_frames"] = matches.frames_of_picture
    table["residual_s"] = np.where(chosen >= 0, matches.residual_s[chosen], np.nan)
    for name in ("crystal", "series"):
        if name in detector.columns and name not in table.columns:
            table[name] = detector[name].to_numpy()[chosen]
    first = ["image", "rc", "crystal", "zoom", "omega_deg", "time_s"]
    names = [n for n in first if n in table.columns]
    kept = table.loc[
        np.isfinite(table["rc"]), [*names, *table.columns.difference(names, sort=False)]
    ]
    return pd.DataFrame(kept).reset_index(drop=True)


def _counts_of(detector: pd.DataFrame, counts: Mapping[Any, float] | pd.DataFrame | None) -> F64:
    if counts is None:
        if "rc" not in detector.columns:
            raise ConfigError("no counts: give them, or a detector's table with a column rc")
        return np.asarray(detector["rc"], dtype=np.float64)
    has_series = not isinstance(counts, Mapping) and "series" in counts.columns
    if detector["frame"].duplicated().any() and not has_series:
        raise ConfigError(
            "frames are numbered anew in each series of the detector's log: the counts need a "
            "column series",
            key="series",
        )
    if isinstance(counts, Mapping):
        return np.asarray([counts.get(k, np.nan) for k in detector["frame"]], dtype=np.float64)
    keys = [k for k in ("series", "frame") if k in counts.columns and k in detector.columns]
    twice = counts.duplicated(keys)
    if twice.any():
        raise ConfigError(f"frame {counts['frame'][twice].iloc[0]} has two counts")
    joined = detector[keys].merge(counts[[*keys, "rc"]], on=keys, how="left")
    return np.asarray(joined["rc"], dtype=np.float64)
