"""What the report of a coarse-to-fine reconstruction shows: loops, each as the view of a map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from refimpl.nearfield.loops import Loop, Multires
from refimpl.report.nearfield_view import MapView
from refimpl.units import DEG

__all__ = ["MultiresView"]


@dataclass(frozen=True, eq=False)
class MultiresView:
    """A coarse-to-fine result as its report shows it.

    Attributes
    ----------
    result
        All loops.
    title
        Of the page.
    min_confidence
        Points below it are left white in the maps; None: MinConfidence of the loops.
    grain_angle_rad
        Neighbours that differ by more belong to two grains, in the maps.
    """

    result: Multires
    title: str = "Near-field map"
    min_confidence: float | None = None
    grain_angle_rad: float = 5.0 * DEG

    @cached_property
    def maps(self) -> tuple[MapView, ...]:
        """Merged map of each loop."""
        return tuple(self._view(loop) for loop in self.result.loops)

    def _view(self, loop: Loop) -> MapView:
        least = self.min_confidence
        return MapView(
            loop.merged, f"{self.title}, loop {loop.number}",
            min_confidence=self.result.settings.bad_below if least is None else least,
            grain_angle_rad=self.grain_angle_rad,
        )  # fmt: skip

    @property
    def final(self) -> MapView:
        """Merged map of the last loop."""
        return self.maps[-1]

    @cached_property
    def n_grains(self) -> tuple[int, ...]:
        """Grains as Mic2GrainsList makes them: those of each loop, at last the final ones."""
        seeding = [loop.grains for loop in self.result.loops[1:]]
        return tuple(len(g.centre) for g in (*seeding, self.result.grains) if g is not None)
