"""The picture of its foil hole that EPU took before an exposure.

The name of a picture has the hole's id, so that comes first, and the time second; the published
script looks at the time alone, over all grid squares, and fails where no picture is old enough.
EPU 2.7 takes two pictures of a hole some 5 s apart, before and after centring: the second one is
the last before the exposure, and is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from refimpl.frames import F64, I64

if TYPE_CHECKING:
    from refimpl.epu.session import Session

__all__ = ["foil_pictures"]


def foil_pictures(session: Session, rows: ArrayLike) -> list[str | None]:
    """Paths of the pictures of the holes that exposures were taken in.

    Parameters
    ----------
    session
        Exposures, and the pictures with hole, grid square and time.
    rows
        (m,) rows of the session's table.

    Returns
    -------
    The last picture of the exposure's own hole before it. Where that hole was never pictured (with
    beam shifts EPU looks at one hole of a group alone) the last one of its grid square before it;
    None where there is none.
    """
    images, table = session.foil_images, session.table
    images = images[images["time_s"].notna()]
    at = np.asarray(rows, dtype=np.int64).reshape(-1)
    if not len(images) or not len(at):
        return [None] * len(at)
    time = images["time_s"].to_numpy(dtype=np.float64)
    paths = images["path"].to_numpy()
    order = np.lexsort((paths.astype(str), time))
    time, paths = time[order], paths[order]
    when = table["time_s"].to_numpy(dtype=np.float64)[at]
    square, hole = (images[k].to_numpy(dtype=np.int64)[order] for k in ("square", "hole"))
    of, own = (table[k].to_numpy(dtype=np.int64)[at] for k in ("square", "hole"))
    pictured = (own >= 0) & np.isin(own, hole)
    found = np.where(
        pictured, _last_before(hole, time, own, when), _last_before(square, time, of, when)
    )
    return [str(paths[k]) if k >= 0 else None for k in found.tolist()]


def _last_before(key: I64, time: F64, wanted: I64, when: F64) -> I64:
    """(m,) the last row, by time, whose key is the one wanted and which is before; -1: none.

    Rows and what is asked for are sorted together by key and time: n log n for any number.
    """
    n, m = len(time), len(when)
    keys = np.concatenate([key, wanted])
    # at equal times the one asked for comes first: a picture must be strictly before
    is_row = np.concatenate([np.ones(n, dtype=np.int64), np.zeros(m, dtype=np.int64)])
    order = np.lexsort((is_row, np.concatenate([time, when]), keys))
    last = np.maximum.accumulate(np.where(order < n, np.arange(n + m), -1))
    before = np.where(last >= 0, order[last], -1)
    out = np.full(n + m, -1, dtype=np.int64)
    out[order] = np.where(keys[order] == keys[before], before, -1)
    return out[n:]
