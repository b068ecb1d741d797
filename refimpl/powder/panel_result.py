"""What the refinement of panels says: one row a panel, with error bars, gauge and priors stated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64

__all__ = ["PanelTable"]


@dataclass(frozen=True, eq=False)
class PanelTable:
    """Refined panels; every array has one row a panel.

    Attributes
    ----------
    boxes
        (p, 4) fast0, slow0, fast1, slow1, half open [px], model frame.
    corrections
        (p, 7) numbers named by :data:`~refimpl.detector.tilted_flat.PANEL_FIELDS`.
    sigma
        (p, 7) their standard uncertainties; 0 where nothing was refined or the number is fixed.
    refined
        Names of the fields that were refined.
    held
        (p, 7) True where a field that was refined on other panels is held on this one: fixed, or,
        where the panel's points say next to nothing of it, by its prior (whose sigma it then has).
    reasons
        One sentence a held panel or parameter: which, and why.
    points
        (p,) ring points used in the fit.
    strain
        (p,) mean |strain| of the used points; NaN without points.
    strain_before
        (p,) the same at the best single surface.
    gauge
        One sentence a constraint that keeps the panels apart from the global parameters.
    priors
        Field to the standard deviation of its prior about 0, in the field's unit; a field
        without a prior is left out.
    global_names
        (g,) names of the global parameters of the same fit.
    correlation_names, correlation
        (k,) ``lsd_mm`` or ``3.d_fast_px``, and (k, k), of everything that was refined.
    """

    boxes: I64
    corrections: F64
    sigma: F64
    refined: tuple[str, ...]
    held: NDArray[np.bool_]
    reasons: tuple[str, ...]
    points: I64
    strain: F64
    strain_before: F64
    gauge: tuple[str, ...]
    priors: dict[str, float]
    global_names: tuple[str, ...]
    correlation_names: tuple[str, ...]
    correlation: F64

    def __len__(self) -> int:
        return len(self.boxes)
