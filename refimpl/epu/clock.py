"""Two clocks of a session: names carry the microscope's own time, the XML says its zone."""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64

__all__ = ["utc_of_stamps"]

_ZONE_S = 900.0
"""[s] Zones of the world differ from UTC by quarters of an hour."""


def utc_of_stamps(stamps_s: F64, known_stamps_s: F64, known_times_s: F64) -> F64:
    """Seconds since 1970 UTC of the times in names.

    Parameters
    ----------
    stamps_s
        (n,) Times in names [s], as if they were UTC; NaN where unknown.
    known_stamps_s, known_times_s
        (m,) The same, and the true times, of exposures whose XML has its zone. The zone of the
        exposure nearest in time is taken: clocks change between summer and winter in a session.
        Where there is none, the clock is taken for UTC.

    Returns
    -------
    (n,) NaN where the stamp is unknown.
    """
    good = np.isfinite(known_stamps_s) & np.isfinite(known_times_s)
    if not good.any():
        return np.array(stamps_s, dtype=np.float64)
    order = np.lexsort((known_times_s[good], known_stamps_s[good]))
    known = known_stamps_s[good][order]
    zone = np.round((known - known_times_s[good][order]) / _ZONE_S) * _ZONE_S
    after = np.clip(np.searchsorted(known, stamps_s), 0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    is_before = np.abs(stamps_s - known[before]) <= np.abs(known[after] - stamps_s)
    return stamps_s - zone[np.where(is_before, before, after)]
