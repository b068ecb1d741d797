"""What a refinement of panels frees, how far, and what it knows beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["DEFAULT_PRIORS", "PANEL_GROUPS", "PanelSetup"]

PANEL_GROUPS: Mapping[str, tuple[str, ...]] = {
    "shift": ("d_fast_px", "d_slow_px"),
    "rotation": ("d_theta_rad",),
    "height": ("d_lsd_mm",),
    "tilt": ("tilt_fast_rad", "tilt_slow_rad"),
    "p2": ("d_p2",),
}
"""Names of groups and the fields that they free."""

DEFAULT_PRIORS: Mapping[str, float] = {
    "shift": 0.5, "rotation": 2e-3, "height": 0.3, "tilt": 3e-3, "p2": 1e-4,
}  # fmt: skip
"""Standard deviation of each group before anything is measured [px, rad, mm, rad, 1]: modules are
mounted to some tenths of a millimetre and a tenth of a degree. Height and tilt are those of the
24 modules of the HEXRD composite of a Pilatus 2M (0.4-0.6 mm and 2-3 mrad rms)."""


@dataclass(frozen=True)
class PanelSetup:
    """Choices of a refinement of panels.

    Attributes
    ----------
    refine
        Groups, of :data:`PANEL_GROUPS`.
    priors
        Group to the standard deviation of its Gaussian prior about 0, in the unit of the group
        (px, rad, mm, rad, 1); inf for none. Groups not named have :data:`DEFAULT_PRIORS`.
    learn
        Whether the widths of the priors are estimated from the panels' own spread.
    tolerances
        Group to the half width of a hard search range about the start; not named: none.
    min_points
        A panel with fewer used points is held.
    free_expansion
        Whether the panels may move outwards in proportion to their distance from the beam: what
        one frame tells apart from the distance only by the slopes within panels.
    """

    refine: tuple[str, ...] = ("shift", "rotation", "height", "tilt")
    priors: Mapping[str, float] = field(default_factory=dict)
    learn: bool = True
    tolerances: Mapping[str, float] = field(default_factory=dict)
    min_points: int = 5
    free_expansion: bool = False

    def __post_init__(self) -> None:
        _known("panel_refine", self.refine)
        for name, table in (("panel_priors", self.priors), ("panel_tolerances", self.tolerances)):
            _known(name, tuple(table))
            if missing := [g for g in table if g not in self.refine]:
                raise ConfigError(f"{name}: {missing[0]!r} is not refined", key=name)
            if bad := {g: v for g, v in table.items() if not v > 0.0}:
                raise ConfigError(f"{name}: got {bad}: expected numbers > 0", key=name)
        if not self.refine:
            raise ConfigError(
                f"panel_refine is empty: expected some of {', '.join(PANEL_GROUPS)}",
                key="panel_refine",
            )

    @property
    def groups(self) -> tuple[str, ...]:
        """Refined groups in the order of :data:`PANEL_GROUPS`."""
        return tuple(g for g in PANEL_GROUPS if g in self.refine)

    @property
    def fields(self) -> tuple[str, ...]:
        """(m,) refined fields, in that order."""
        return tuple(f for g in self.groups for f in PANEL_GROUPS[g])

    @property
    def columns(self) -> NDArray[np.int64]:
        """(m,) positions of the fields in :data:`~refimpl.detector.tilted_flat.PANEL_FIELDS`."""
        return np.array([PANEL_FIELDS.index(f) for f in self.fields], dtype=np.int64)

    def spread(self, widths: Mapping[str, float]) -> F64:
        """(m,) a number a group as one a field."""
        return np.array([widths[g] for g in self.groups for _ in PANEL_GROUPS[g]])

    def stated(self) -> dict[str, float]:
        """Group to the prior's width as given or by default."""
        return {g: float(self.priors.get(g, DEFAULT_PRIORS[g])) for g in self.groups}

    def reach(self) -> F64:
        """(m,) half width of the search range; inf where there is none."""
        return self.spread({g: float(self.tolerances.get(g, np.inf)) for g in self.groups})


def _known(name: str, groups: Sequence[str]) -> None:
    for group in groups:
        if group not in PANEL_GROUPS:
            raise ConfigError(
                f"{name}: unknown {group!r}: expected some of {', '.join(PANEL_GROUPS)}",
                key=name,
                got=group,
            )
