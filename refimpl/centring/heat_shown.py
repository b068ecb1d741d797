"""Heat maps of whole pictures, ready to be drawn: of files, or of one that is at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refimpl.centring.crops import CropRule
from refimpl.errors import ConfigError
from refimpl.frames import F64

if TYPE_CHECKING:
    from refimpl.centring.heatmap import HeatMap, Point
    from refimpl.centring.judge import Seen

__all__ = ["Shown", "rule_for", "shown", "shown_files", "step_for"]

STEP_UM = {True: 8.0, False: 24.0}
"""Step of the grid on the sample: a fully convolutional net has every point for nothing."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture with its heat map.

    Attributes
    ----------
    picture
        (h, w) or (h, w, 3).
    title
        Its name.
    heat
        The map.
    points
        Where to aim, best first; none: no crystal here.
    on_crystal
        (h, w) the truth, where it is known.
    best_px
        (x, y) of the most true reflections, where it is known.
    """

    picture: NDArray[Any]
    title: str
    heat: HeatMap
    points: tuple[Point, ...]
    on_crystal: NDArray[np.bool_] | None = None
    best_px: tuple[float, float] | None = None


def rule_for(net: Any, given: CropRule | None = None) -> CropRule:
    """Crop rule of a net, or the one that is given where its checkpoint has none.

    Raises
    ------
    ConfigError
        Neither has one, or they differ.
    """
    own: CropRule | None = net.crop
    if own is None and given is None:
        raise ConfigError(
            "the checkpoint has no crop rule (its pictures came cropped): give the edge of the "
            "crop as offset and slope by the zoom [px]", key="crop",
        )  # fmt: skip
    if own is not None and given is not None and own != given:
        raise ConfigError(
            f"the net was taught crops of {own.offset_px:g} + {own.slope_px:g} zoom px: give no "
            "other rule", key="crop",
        )  # fmt: skip
    rule = own or given
    assert rule is not None
    return rule


def shown(
    net: Any, picture: NDArray[Any], zoom: float, *, title: str = "", n: int = 1,
    rule: CropRule | None = None, apart_px: float = 40.0, least: float | None = None,
    truth: Seen | None = None, **options: Any,
) -> Shown:  # fmt: skip
    """Make a heat map with its best points.

    Parameters
    ----------
    net
        A regressor.
    picture, zoom
        Photograph and zoom of the camera.
    title
        Its name.
    n, apart_px, least
        Of :meth:`~refimpl.centring.heatmap.HeatMap.best`; least None: what the thesis calls a hit,
        or no limit where the target has no way back to reflections.
    rule
        Where the checkpoint has no crop rule.
    truth
        What is known of the picture.
    options
        Of :func:`~refimpl.centring.heatmap.heat_map`.

    Raises
    ------
    ConfigError
        No crop rule, a limit of reflections for a target without a way back, or what
        :func:`~refimpl.centring.heatmap.heat_map` refuses.
    """
    from refimpl.centring.heatmap import HIT_COUNT, heat_map

    target = net.target
    if least is not None and not target.is_invertible:
        raise ConfigError(
            f"target {target.name} by {target.per_crystal} per crystal: a least number of "
            "reflections says nothing", key="least",
        )  # fmt: skip
    found = heat_map(
        net, picture, rule_for(net, rule), zoom, target, size=int(net.hparams["size"]), **options
    )
    limit = (HIT_COUNT if target.is_invertible else 0.0) if least is None else least
    points = found.best(n, apart_px=apart_px, least=limit)
    if truth is None:
        return Shown(picture, title, found, points)
    row, column = np.unravel_index(int(np.argmax(truth.count_map)), truth.count_map.shape)
    best = (float(column) + 0.5, float(row) + 0.5)
    return Shown(picture, title, found, points, truth.on_crystal, best)


def step_for(net: Any) -> float:
    """Step of the grid on the sample [um] that a net makes in good time."""
    from refimpl.centring.nets import FullyConvolutional

    return STEP_UM[isinstance(getattr(net, "net", net), FullyConvolutional)]


def shown_files(
    net: Any, folder: Path, names: Sequence[str], zooms: F64, *, rule: CropRule | None = None,
    across: int = 60, progress: Callable[[int, int], None] | None = None, **options: Any,
) -> tuple[Shown, ...]:  # fmt: skip
    """Heat maps of picture files, `across` points wide.

    Raises
    ------
    FormatError
        A file cannot be read.
    ConfigError
        As :func:`shown`.
    """
    from refimpl.io.photographs import read_photograph

    found = []
    for i, (name, zoom) in enumerate(zip(names, zooms.tolist(), strict=True)):
        picture = read_photograph(folder / name)
        step = max(picture.shape[1] / across, 1.0)
        found.append(
            shown(net, picture, zoom, title=name, rule=rule, step_px=step, **options)
        )  # fmt: skip
        if progress is not None:
            progress(i + 1, len(names))
    return tuple(found)
