"""Duplicates as tables: by grid square, by group with the dose that a place has taken, by pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refimpl.epu.pairs import CAUSES

if TYPE_CHECKING:
    import pandas as pd

    from refimpl.epu.duplicates import Duplicates

__all__ = ["exposures_of", "pairs_of", "squares_of"]


def squares_of(found: Duplicates) -> pd.DataFrame:
    """Statistics of each grid square.

    Returns
    -------
    One row a square, by its number (-1: unknown): ``square``, ``exposures``, ``duplicates``,
    ``percent``, ``pairs`` and a column for each cause; a pair counts where its second exposure is.
    """
    import pandas as pd

    names, place = np.unique(found.session.table["square"].to_numpy(), return_inverse=True)
    n, place = len(names), place.reshape(-1)
    exposures = np.bincount(place, minlength=n)
    duplicates = np.bincount(place[found.bad], minlength=n)
    at = place[found.pairs["second"].to_numpy()]
    codes = found.pairs["cause"].cat.codes.to_numpy()
    causes = {c: np.bincount(at[codes == k], minlength=n) for k, c in enumerate(CAUSES)}
    return pd.DataFrame(
        {
            "square": names.astype(np.int64),
            "exposures": exposures,
            "duplicates": duplicates,
            "percent": 100.0 * duplicates / np.maximum(exposures, 1),
            "pairs": np.bincount(at, minlength=n),
            **causes,
        }
    )


def exposures_of(found: Duplicates) -> pd.DataFrame:
    """Exposures that are in a pair, group by group in the order of time.

    Returns
    -------
    One row an exposure: ``group`` (from 1), ``name``, ``path``, ``square``, ``hole``, ``area``,
    ``time``, ``x_um``, ``y_um``, ``status`` (kept or bad), ``kept`` (name of the exposure that a
    bad one repeats), ``dose_per_angstrom2``, and ``dose_before_per_angstrom2``: what the earlier
    exposures within the radius had put there, each weighted with its overlap.
    """
    table, pairs = found.session.table, found.pairs
    rows = np.flatnonzero(found.component >= 0)
    rows = rows[np.argsort(found.component[rows], kind="stable")]
    dose = table["dose_per_angstrom2"].to_numpy(dtype=np.float64)
    given = dose[pairs["first"].to_numpy()] * pairs["overlap"].to_numpy()
    before = np.bincount(pairs["second"].to_numpy(), given, minlength=len(table))
    names = table["name"].to_numpy()
    out = table.loc[rows, ["name", "path", "square", "hole", "area", "time"]].reset_index(drop=True)
    out.insert(0, "group", found.component[rows] + 1)
    out["x_um"], out["y_um"] = found.positions_um[rows].T
    out["status"] = np.where(found.bad[rows], "bad", "kept")
    out["kept"] = [names[k] if k >= 0 else "" for k in found.kept[rows].tolist()]
    out["dose_per_angstrom2"] = dose[rows]
    out["dose_before_per_angstrom2"] = before[rows]
    return out


def pairs_of(found: Duplicates) -> pd.DataFrame:
    """The pairs with names instead of rows, as they are written.

    Returns
    -------
    One row a pair, in the order of time: ``group`` (from 1), ``first``, ``second``,
    ``first_status``, ``second_status`` (kept or bad), ``distance_um``, ``overlap``, ``cause``,
    ``square``, ``first_hole``, ``second_hole``, ``first_time``, ``second_time``, ``x_um``,
    ``y_um`` (of the second) and ``dose_before_per_angstrom2`` (the first's dose by its overlap).
    """
    import pandas as pd

    table, pairs = found.session.table, found.pairs
    first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    status = np.where(found.bad, "bad", "kept")
    names, times = table["name"].to_numpy(), table["time"].to_numpy()
    hole, dose = table["hole"].to_numpy(), table["dose_per_angstrom2"].to_numpy(dtype=np.float64)
    x, y = found.positions_um[second].T
    return pd.DataFrame(
        {
            "group": found.component[second] + 1,
            "first": names[first],
            "second": names[second],
            "first_status": status[first],
            "second_status": status[second],
            "distance_um": pairs["distance_um"],
            "overlap": pairs["overlap"],
            "cause": pairs["cause"],
            "square": table["square"].to_numpy()[second],
            "first_hole": hole[first],
            "second_hole": hole[second],
            "first_time": times[first],
            "second_time": times[second],
            "x_um": x,
            "y_um": y,
            "dose_before_per_angstrom2": dose[first] * pairs["overlap"].to_numpy(),
        }
    )
