"""Time stamps of a simulated data collection: a camera and a detector with clocks of their own.

Pictures are taken about 8 times a second while the beam is on, not quite regularly, and some are
lost; the detector's log tells when each frame was written, by another clock:
``detector = camera + offset_s + drift (camera - first picture)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from refimpl.centring.simulate_scans import Scan
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["Stream", "StreamSettings", "stream"]


@dataclass(frozen=True)
class StreamSettings:
    """Clocks, rates and faults.

    Attributes
    ----------
    camera_hz, frame_hz
        Pictures and frames a second.
    jitter_s
        Deviation of the moment of a picture from the regular one.
    dropped, lost
        Part of the pictures, and of the lines of the detector's log, that are missing.
    offset_s, drift
        Of the detector's clock against the camera's [s], [s/s].
    latency_s
        Mean delay, exponential, with which the log records a frame.
    pause_s
        Least and greatest time between scans.
    start_s
        Camera's time of the beginning, seconds since 1970.
    """

    camera_hz: float = 8.0
    frame_hz: float = 20.0
    jitter_s: float = 0.01
    dropped: float = 0.05
    lost: float = 0.0
    offset_s: float = 0.35
    drift: float = 0.0
    latency_s: float = 0.002
    pause_s: tuple[float, float] = (6.0, 20.0)
    start_s: float = 1544806800.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not np.isfinite(value).all():
                raise ConfigError(f"{name} = {value}: expected finite numbers", key=name)
        for name in ("camera_hz", "frame_hz"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"{name} = {getattr(self, name)}: expected more than 0", key=name)
        for name in ("dropped", "lost"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"{name} = {getattr(self, name)}: expected 0 to 1", key=name)
        for name in ("jitter_s", "latency_s"):
            if not getattr(self, name) >= 0.0:
                raise ConfigError(f"{name} = {getattr(self, name)}: expected 0 or more", key=name)
        if not 0.0 <= self.pause_s[0] <= self.pause_s[1]:
            raise ConfigError(
                f"pause_s = {self.pause_s}: expected 0 <= least <= most", key="pause_s"
            )


@dataclass(frozen=True, eq=False)
class Stream:
    """What both logs hold, and the truth about it.

    Attributes
    ----------
    settings
        What it was made with.
    picture_s
        (p,) logged times of the pictures, camera's clock, ascending.
    picture_scan
        (p,) number of the scan.
    picture_at_um, picture_omega_rad
        (p, 3), (p,) where the sample stood.
    frame_s
        (f,) logged times of the frames, detector's clock, ascending.
    frame_scan, frame_number, frame_rc
        (f,) number of the scan, of the frame in its scan from 1, and its count.
    true_frame
        (p,) row of the frame that was being taken nearest to a picture, -1 where it is further
        than half a picture away.
    """

    settings: StreamSettings
    picture_s: F64
    picture_scan: I64
    picture_at_um: F64
    picture_omega_rad: F64
    frame_s: F64
    frame_scan: I64
    frame_number: I64
    frame_rc: I64
    true_frame: I64


def stream(
    scans: Sequence[Scan], settings: StreamSettings | None = None, *, seed: int = 0
) -> Stream:
    """Take scans one after the other.

    Raises
    ------
    ConfigError
        No scans, or no picture or frame is left of them.
    """
    own = settings or StreamSettings()
    if not scans:
        raise ConfigError("stream: expected one scan or more", key="scans")
    rng = Generator(PCG64(SeedSequence([6, seed])))
    begin = own.start_s
    pictures, frames = [], []
    for number, scan in enumerate(scans):
        begin += rng.uniform(*own.pause_s)
        middle = begin + (np.arange(len(scan)) + 0.5) / own.frame_hz
        taken = _moments(rng, begin, len(scan) / own.frame_hz, own)
        at, omega = scan.between((taken - begin) * own.frame_hz - 0.5)
        pictures.append((taken, np.full(len(taken), number), at, omega))
        kept = rng.random(len(scan)) >= own.lost
        late = rng.exponential(own.latency_s, len(scan)) if own.latency_s else np.zeros(len(scan))
        whole = (
            middle,
            middle + late,
            np.full(len(scan), number),
            np.arange(len(scan)) + 1,
            scan.rc,
        )
        frames.append([values[kept] for values in whole])
        begin += len(scan) / own.frame_hz
    taken, picture_scan, at, omega = (np.concatenate(c) for c in zip(*pictures, strict=True))
    middle, written, frame_scan, number_of, rc = (
        np.concatenate(c) for c in zip(*frames, strict=True)
    )
    if not (len(taken) and len(middle)):
        raise ConfigError("stream: no picture or no frame is left of the scans", key="scans")
    logged = written + own.offset_s + own.drift * (written - taken[0])
    order = np.lexsort((number_of, frame_scan, logged))
    moment = np.asarray(middle[order], dtype=np.float64)
    return Stream(
        own, taken, picture_scan, at, omega, logged[order], frame_scan[order], number_of[order],
        rc[order], _nearest(taken, moment, 0.5 / own.camera_hz),
    )  # fmt: skip


def _moments(rng: Generator, begin: float, length_s: float, own: StreamSettings) -> F64:
    """Moments of the pictures of a scan: a train with a phase, shaken, some missing."""
    n = int(np.ceil(length_s * own.camera_hz)) + 1
    train = begin + (np.arange(n) - 1.0 + rng.random()) / own.camera_hz + 0.5 / own.camera_hz
    shaken = np.sort(train + rng.normal(0.0, own.jitter_s, n))
    kept = rng.random(n) >= own.dropped
    return shaken[kept & (shaken >= begin) & (shaken < begin + length_s)]


def _nearest(taken: F64, frame_s: F64, tolerance_s: float) -> I64:
    """Row of the frame nearest to each picture, or -1."""
    order = np.argsort(frame_s, kind="stable")
    times = frame_s[order]
    after = np.clip(np.searchsorted(times, taken), 1, len(times) - 1) if len(times) > 1 else 0
    before = np.maximum(np.asarray(after) - 1, 0)
    closer = np.abs(times[before] - taken) <= np.abs(times[after] - taken)
    row = np.where(closer, before, after)
    near = np.abs(times[row] - taken) <= tolerance_s
    return np.where(near, order[row], -1).astype(np.int64)
