"""Find how the clocks of a camera and a detector differ, from their logs alone.

A simulated data collection: every fifth picture is lost, their times shake, and the detector's
clock is 0.35 s ahead and gains 20 µs a second. Neither is told to the matcher.
"""

from __future__ import annotations

import numpy as np

from refimpl.centring.clock import Clock, fit_clock
from refimpl.centring.matching import match
from refimpl.centring.simulate_collection import Plan, collect
from refimpl.centring.simulate_stream import StreamSettings

settings = StreamSettings(offset_s=0.35, drift=2e-5, dropped=0.2)
log = collect(Plan(crystals=20, seconds=4.0), settings, seed=1).stream
n, m = len(log.picture_s), len(log.frame_s)
print(f"{n} pictures, {m} frames, {log.picture_scan.max() + 1} scans")

clock = fit_clock(log.picture_s, log.frame_s)
t = log.picture_s - log.picture_s[0]
off = np.abs(clock.detector_time(log.picture_s) - log.picture_s - 0.35 - 2e-5 * t).max()
print(f"offset {clock.offset_s:.3f} s and drift {1e6 * clock.drift:.0f} µs/s: known to "
      f"{clock.uncertainty_s:.3f} s, off by {off:.3f} s at most")  # fmt: skip

true = log.true_frame >= 0
for name, found in (
    ("clock as found", match(log.picture_s, log.frame_s, clock)),
    ("clocks taken as equal", match(log.picture_s, log.frame_s, Clock(0.0))),
):
    paired = found.nearest_frame
    away = np.abs(paired - log.true_frame)[true & (paired >= 0)]
    wrong = np.abs(log.frame_rc[paired] - log.frame_rc[log.true_frame])[true & (paired >= 0)]
    print(
        f"{name:22}: {int((paired >= 0).sum()):4} pairs, {away.mean():.1f} frames off, "
        f"counts wrong by {np.percentile(wrong, 90):.0f} in the worst tenth"
    )
