"""Where a net aims in simulated pictures that it has not seen, beside others on the same ones.

Beside it stand the middle of the picture, which is what nobody aiming gives, and lucid, which finds
the loop (Schurmann & Lindhe 2019, figures 2.20 and 2.21).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refimpl.centring.aim import Aim, AimScores, aim_of, aim_scores
from refimpl.centring.heat_shown import Shown, shown, step_for
from refimpl.centring.simulate_view import crop_rule

if TYPE_CHECKING:
    from refimpl.centring.judge import Seen

__all__ = ["Aiming", "compare_aims"]

NET, MIDDLE, LOOP = "net", "middle of the picture", "lucid, corrected"


@dataclass(frozen=True, eq=False)
class Aiming:
    """Aims at the same pictures.

    Attributes
    ----------
    scores
        By who aimed; the net first.
    shown
        Heat maps of the first pictures.
    seed
        Of the pictures.
    """

    scores: Mapping[str, AimScores]
    shown: tuple[Shown, ...]
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"seed": self.seed, **{name: s.as_dict() for name, s in self.scores.items()}}

    def sentences(self) -> list[str]:
        """For people."""
        return [
            f"aim, {name}: on the crystal in {s.hit:.3f} of {s.n} simulated pictures (a point in "
            f"{s.found:.3f}), {s.relative:.3f} of the best reflections there, {s.away_um:.1f} um "
            "from the best point (median)"
            for name, s in self.scores.items()
        ]


def compare_aims(
    net: Any, n: int, seed: int = 0, *, pictures: int = 6, step_um: float | None = None,
    smooth_um: float = 0.0, zooms: tuple[float, float] | None = None,
    progress: Callable[[int, int], None] | None = None, **options: Any,
) -> Aiming:  # fmt: skip
    """Let a net and others aim at the pictures of :func:`refimpl.centring.judge.views`.

    Parameters
    ----------
    net
        A regressor; without a crop rule of its own it was taught crops of 240 um.
    n, seed
        Pictures, one of each crystal.
    pictures
        How many are kept with their heat maps.
    step_um
        Of the grid of the heat maps; None: by the kind of net.
    smooth_um
        Deviation of the Gaussian that the heat maps are smoothed with.
    zooms
        Range of the zoom; None: that of the pictures for training.
    progress
        Called with the pictures done and all of them.
    options
        Of :func:`~refimpl.centring.heatmap.heat_map`.
    """
    from refimpl.centring.judge import ZOOMS, views

    others = _others()
    aims: dict[str, list[Aim]] = {NET: [], **{name: [] for name in others}}
    step, kept = step_um or step_for(net), []
    rule = None if net.crop is not None else crop_rule()

    def judged(seen: Seen, point: tuple[float, float] | None) -> Aim:
        return aim_of(point, seen.count_map, seen.on_crystal, seen.um_per_px)

    for i, seen in enumerate(views(n, seed, zooms=zooms or ZOOMS)):
        made = shown(
            net, seen.picture, seen.zoom, title=f"crystal {i + 1}", rule=rule, truth=seen,
            least=0.0 if net.target.is_invertible else None, step_px=step / seen.um_per_px,
            smooth_px=smooth_um / seen.um_per_px, **options,
        )  # fmt: skip
        best = made.points[0] if made.points else None
        aims[NET].append(judged(seen, None if best is None else (best.x_px, best.y_px)))
        for name, point_of in others.items():
            aims[name].append(judged(seen, point_of(seen)))
        if i < pictures:
            kept.append(made)
        if progress is not None:
            progress(i + 1, n)
    return Aiming({name: aim_scores(each) for name, each in aims.items()}, tuple(kept), seed)


def _others() -> dict[str, Callable[[Seen], tuple[float, float] | None]]:
    from refimpl.centring.judge import of_loop
    from refimpl.errors import MissingExtra

    def middle(seen: Seen) -> tuple[float, float]:
        rows, columns = seen.picture.shape
        return columns / 2.0, rows / 2.0

    found: dict[str, Callable[[Seen], tuple[float, float] | None]] = {MIDDLE: middle}
    try:
        from refimpl.centring.loop_edges import opencv

        opencv()
    except MissingExtra:
        return found
    return {**found, LOOP: of_loop()}
