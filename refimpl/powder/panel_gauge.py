r"""The gauge of the fit: what all panels do together belongs to the global parameters.

In the plane four combinations are kept at 0: the sums of dY and of dZ (the beam centre), the net
rotation (no ring sees it), and the radial expansion :math:`\sum_i c_i \cdot d_i`, which is nearly
the distance: without it Lsd scatters by 0.4 mm at equal strain. All panels count alike. Panels
that really lie farther apart than the grid says break that constraint, which shows in the slopes
of the strain within panels; :func:`refimpl.powder.panel_passes.expansion` says by how much.

Out of the plane a common height is the distance and, where panels have tilts of their own, a common
slope is the tilt, exactly: which of the equals is meant is a choice, and the priors say nothing of
it (:func:`common_moves`). It is made so that the panels are orthogonal to Lsd, ty and tz in the
metric of the data, :math:`\sum_\mathrm{points} w\, \partial_g\epsilon\, (J x)_\mathrm{panels} = 0`:
then the global parameters are those that the best single surface would have, however many of the
panels' own are refined, and do not inherit the weakness of the heights. The same is done for p2 and
the dP2. Heights without tilts can only imitate a slope by steps: :math:`\sum_i h_i c_i = 0` keeps
them from it, an assumption like that on the expansion. Panels that are held take no part.

With several frames the direction g is that of all frames together: all distances by the same
length, all tilts by the same angle.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.forward.panel_gauge import gauge_rows
from refimpl.frames import F64
from refimpl.powder.panel_problem import PanelProblem
from refimpl.powder.panel_setup import PanelSetup

__all__ = ["common_moves", "floated", "gauge"]

IN_PLANE = {
    "sum of d_fast_px": "sum of dY over the panels is 0",
    "sum of d_slow_px": "sum of dZ over the panels is 0",
    "rotation": "the net rotation of the panels is 0",
    "expansion": "the radial expansion of the panels is 0",
    "tilt along fast": "the panels' heights have no slope along fast",
    "tilt along slow": "the panels' heights have no slope along slow",
}
OUT_OF_PLANE = {
    "lsd_mm": "the panels' corrections do not change the distance that fits all rings best",
    "ty_rad": "the panels' corrections do not change the ty that fits all rings best",
    "tz_rad": "the panels' corrections do not change the tz that fits all rings best",
    "iso_r2": "the panels' dP2 do not change the p2 that fits all rings best",
}


def gauge(problem: PanelProblem, setup: PanelSetup, cross: F64) -> tuple[F64, tuple[str, ...]]:
    """Constraints on the panels of a fit.

    Parameters
    ----------
    problem
        Of the fit; a constraint against a global parameter that is not refined is left out.
    setup
        What the panels may do.
    cross
        (p, g, m) normal matrix between global and panel parameters, without priors.

    Returns
    -------
    rows
        (q, p, m) coefficients.
    sentences
        (q,) what each means.
    """
    rows, sentences = _in_plane(problem, setup)
    fields = setup.fields
    against = ["lsd_mm"] if "d_lsd_mm" in fields else []
    against += ["ty_rad", "tz_rad"] if "tilt_fast_rad" in fields else []
    for name in against:
        if places := problem.places(name):
            rows.append(np.sum(cross[:, places, :], axis=1))
            sentences.append(OUT_OF_PLANE[name])
    if "d_p2" in fields and (places := problem.places("iso_r2")):
        row = np.zeros((problem.p, len(fields)))
        k = fields.index("d_p2")
        row[:, k] = np.sum(cross[:, places, k], axis=1)
        rows.append(row)
        sentences.append(OUT_OF_PLANE["iso_r2"])
    stacked = np.array(rows).reshape(-1, problem.p, len(fields))
    return np.where(problem.free, stacked, 0.0), tuple(sentences)


def floated(problem: PanelProblem, setup: PanelSetup) -> PanelProblem:
    """Problem whose priors say nothing of what all panels do together.

    A prior about 0 for every panel has an opinion on their mean, though the mean is the
    detector's: a fit with it would not be the same fit in another gauge.
    """
    moves = common_moves(problem, setup)
    q = len(moves)
    return replace(
        problem,
        names=(*problem.names, *(f"floating[{i + 1}]" for i in range(q))),
        start=np.concatenate([problem.start, np.zeros(q)]),
        lower=np.concatenate([problem.lower, np.full(q, -np.inf)]),
        upper=np.concatenate([problem.upper, np.full(q, np.inf)]),
        floating=moves,
    )


def common_moves(problem: PanelProblem, setup: PanelSetup) -> F64:
    """(q, p, m) moves of all panels together that are those of the detector, none else.

    Both shifts, the turn about the beam, the height, and the tilts with the heights that go with
    them; what needs a field or a global parameter that is not refined is left out, and so is what
    no prior with a width would notice.
    """
    fields, boxes = setup.fields, problem.boxes
    centre = 0.5 * (boxes[:, :2] + boxes[:, 2:]).astype(np.float64)
    fast, slow = (centre - centre.mean(axis=0)).T
    one = np.ones(len(boxes))
    pf, ps = problem.frames[0].globals.model.pixel_size_mm
    moves: list[tuple[str | None, dict[str, F64]]] = [
        ("beam_fast_px", {"d_fast_px": one}),
        ("beam_slow_px", {"d_slow_px": one}),
        (None, {"d_fast_px": -slow, "d_slow_px": fast, "d_theta_rad": one}),
        ("lsd_mm", {"d_lsd_mm": one}),
        ("ty_rad", {"d_lsd_mm": slow * ps, "tilt_fast_rad": one}),
        ("ty_rad", {"d_lsd_mm": fast * pf, "tilt_slow_rad": one}),
    ]
    known = setup.spread(setup.stated())
    out = []
    for owner, parts in moves:
        if not set(parts) <= set(fields) or (owner is not None and not problem.places(owner)):
            continue
        table = np.zeros((len(boxes), len(fields)))
        for name, values in parts.items():
            table[:, fields.index(name)] = values
        if np.any(table[:, np.isfinite(known)] != 0.0):
            out.append(table)
    return np.array(out).reshape(-1, len(boxes), len(fields))


def _in_plane(problem: PanelProblem, setup: PanelSetup) -> tuple[list[F64], list[str]]:
    """Rows (p, m) that need no data, and what they mean."""
    fields = setup.fields
    wanted: dict[str, tuple[str, ...]] = {}
    if "d_fast_px" in fields:
        wanted |= {
            "sum of d_fast_px": ("beam_fast_px",), "sum of d_slow_px": ("beam_slow_px",),
            "rotation": (), "expansion": ("lsd_mm",),
        }  # fmt: skip
    if setup.free_expansion:
        wanted.pop("expansion", None)
    if "d_lsd_mm" in fields and "tilt_fast_rad" not in fields:
        wanted |= {"tilt along fast": ("tz_rad",), "tilt along slow": ("ty_rad",)}
    own = [f for f in fields if f in ("d_fast_px", "d_slow_px", "d_theta_rad", "d_lsd_mm")]
    if not own:
        return [], []
    names, flat = gauge_rows(problem.boxes, own, np.any(problem.free, axis=1))
    at = [fields.index(f) for f in own]
    rows: list[F64] = []
    sentences: list[str] = []
    for name, row in zip(names, flat, strict=True):
        if name in wanted and all(problem.places(owner) for owner in wanted[name]):
            full = np.zeros((problem.p, len(fields)))
            full[:, at] = row.reshape(problem.p, -1)
            rows.append(full)
            sentences.append(IN_PLANE[name])
    return rows, sentences
