"""Logs of a camera and a detector whose clocks differ, with the truth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refimpl.frames import F64

BEGIN_S = 1544803401.25


class Logs(NamedTuple):
    """Times by each clock, and the true time of every picture by the detector's."""

    picture_s: F64
    frame_s: F64
    true_s: F64


def logs(
    seed: int = 0,
    *,
    offset_s: float = 0.35,
    drift: float = 0.0,
    scans: int = 12,
    frame_step_s: float = 0.04,
    picture_step_s: float = 0.125,
    lost_frames: float = 0.1,
    lost_pictures: float = 0.1,
    jitter_s: float = 0.01,
    together: bool = False,
    begin_s: float = BEGIN_S,
) -> Logs:
    """Scans of 4 to 20 s with pauses of 5 to 60 s; the camera takes pictures while the beam is on.

    `together`: a picture is taken at each frame, but for what is lost of either.
    """
    rng = np.random.default_rng(seed)
    frames, pictures, now = [], [], begin_s
    for _ in range(scans):
        length = rng.uniform(4.0, 20.0)
        events = now + np.arange(0.5 * frame_step_s, length, frame_step_s)
        frames.append(events)
        phase = rng.uniform(0.0, picture_step_s)
        pictures.append(events if together else now + np.arange(phase, length, picture_step_s))
        now += length + rng.uniform(5.0, 60.0)
    seen, true = np.concatenate(frames), np.concatenate(pictures)
    true = true[rng.random(len(true)) >= lost_pictures]
    true = true + rng.uniform(0.0, jitter_s, len(true))
    seen = seen[rng.random(len(seen)) >= lost_frames]
    camera = true - offset_s - drift * (true - begin_s)
    return Logs(camera, seen, true)
