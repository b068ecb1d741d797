"""Other ways to a heat map that is ready to be drawn: near the loop, or by many predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from refimpl.centring.crops import CropRule
from refimpl.centring.heat_shown import Shown
from refimpl.centring.targets import HIT_COUNT
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.local_map import LocalMap
    from refimpl.centring.uncertainty import Uncertain, Verdict

__all__ = ["shown_by_many", "shown_near_loop"]


def shown_near_loop(
    net: Any, picture: NDArray[Any], zoom: float, rule: CropRule, *, title: str = "", n: int = 1,
    apart_px: float = 40.0, least: float | None = None, **options: Any,
) -> tuple[Shown, LocalMap]:  # fmt: skip
    """Heat map about the loop; `options` are of :func:`refimpl.centring.local_map.local_map`.

    Raises
    ------
    ConfigError
        What that refuses, or a limit of reflections for a target without a way back.
    """
    from refimpl.centring.local_map import local_map

    limit = _limit(net, least)
    made = local_map(
        net, picture, rule, zoom, net.target, size=int(net.hparams["size"]), **options
    )  # fmt: skip
    points = made.heat.best(n, apart_px=apart_px, least=limit)
    return Shown(picture, title, made.heat, points), made


def shown_by_many(
    nets: Sequence[Any], picture: NDArray[Any], zoom: float, rule: CropRule, *, dropout: int = 0,
    title: str = "", n: int = 1, apart_px: float = 40.0, least: float | None = None,
    **options: Any,
) -> tuple[Shown, Uncertain, Verdict]:  # fmt: skip
    """Mean heat map of several nets, or of one with its dropout left on so many times.

    Raises
    ------
    ConfigError
        What :mod:`refimpl.centring.uncertainty` refuses; several nets and dropout; a limit of
        reflections for a target without a way back.
    """
    from refimpl.centring.uncertainty import dropout_map, ensemble_map

    if dropout and len(nets) > 1:
        raise ConfigError("several nets, and one with dropout: choose one", key="dropout")
    limit = _limit(nets[0], least)
    made = (
        dropout_map(nets[0], picture, zoom, n=dropout, rule=rule, **options) if dropout
        else ensemble_map(nets, picture, zoom, rule=rule, **options)
    )  # fmt: skip
    points = made.heat.best(n, apart_px=apart_px, least=limit)
    return Shown(picture, title, made.heat, points), made, made.verdict(apart_px, limit)


def _limit(net: Any, least: float | None) -> float:
    target = net.target
    if least is None:
        return HIT_COUNT if target.is_invertible else 0.0
    if not target.is_invertible:
        raise ConfigError(
            f"target {target.name} by {target.per_crystal} per crystal: a least number of "
            "reflections says nothing", key="least",
        )  # fmt: skip
    return least
