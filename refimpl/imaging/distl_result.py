"""What a spot count in the manner of distl takes and gives: parameters, modules, lists, listing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import I64

__all__ = ["DistlResult", "DistlSettings", "Modules"]


class Modules(NamedTuple):
    """Regular modules along one side of a detector: pixels of each, of the gaps, and how many."""

    size_px: int
    gap_px: int
    number: int


@dataclass(frozen=True)
class DistlSettings:
    """Parameters under their distl names; the defaults are those for a Pilatus.

    Attributes
    ----------
    minimum_signal_height
        Z from which a pixel is no background.
    minimum_spot_height
        Z above which a pixel may be in a spot.
    minimum_spot_area
        A spot has more pixels than this; smaller ones by one are dropped before the statistics.
    spot_area_maximum_factor
        Largest area of a spot, in multiples of `minimum_spot_area`.
    peak_intensity_maximum_factor
        Highest peak: so many times the range from the 5th to the 95th percentile above the median.
    scanbox_windows
        Sizes of the boxes of the three passes [px].
    peripheral_margin
        Pixels left out at each edge of the image.
    low_resolution_angstrom
        Spots beyond it are too close to the beam stop.
    method2_cutoff_percentage
        See :func:`refimpl.imaging.distl_shells.limit_by_shells`.
    profile_bumpiness
        Most maxima of a good spot.
    underload
        Pixels up to this value are not counts.
    """

    minimum_signal_height: float = 2.5
    minimum_spot_height: float = 3.5
    minimum_spot_area: int = 5
    spot_area_maximum_factor: float = 5.0
    peak_intensity_maximum_factor: float = 10.0
    scanbox_windows: tuple[int, int, int] = (101, 51, 51)
    peripheral_margin: int = 20
    low_resolution_angstrom: float = 50.0
    method2_cutoff_percentage: float = 20.0
    profile_bumpiness: int = 2
    underload: int = -1

    def __post_init__(self) -> None:
        least: dict[str, float] = {
            "minimum_spot_area": 1,
            "spot_area_maximum_factor": 1.0,
            "peripheral_margin": 1,
            "profile_bumpiness": 1,
        }
        for key, bound in least.items():
            if getattr(self, key) < bound:
                raise ConfigError(f"{key}={getattr(self, key)}: expected at least {bound}", key=key)
        if len(self.scanbox_windows) != 3 or min(self.scanbox_windows) < 5:
            raise ConfigError(
                f"scanbox_windows={self.scanbox_windows}: expected three sizes of 5 px or more",
                key="scanbox_windows",
            )

    @classmethod
    def of_detector(cls, kind: Literal["pilatus", "eiger", "other"]) -> DistlSettings:
        """Defaults of a kind of detector: ``pilatus``, ``eiger`` or ``other``."""
        heights = {"pilatus": (2.5, 5), "eiger": (4.0, 5), "other": (1.5, 10)}
        if kind not in heights:
            raise ConfigError(f"detector kind {kind!r}: expected one of {', '.join(heights)}")
        return cls(minimum_signal_height=heights[kind][0], minimum_spot_area=heights[kind][1])


@dataclass(frozen=True)
class DistlResult:
    """What was counted.

    Attributes
    ----------
    spots
        Columns, one row a spot of Spot Total: ``max_pxl_slow``, ``max_pxl_fast`` (peak pixel),
        ``com_slow``, ``com_fast`` (centre of mass, from pixel centres), ``area``, ``peak_z``,
        ``sum_wts``, ``max_wts`` (counts above background), ``sum_bkg``, ``nmaxima``,
        ``perimeter``, ``eccentricity``, ``skewness``.
    lists
        Row numbers of ``spots_non_ice``, ``remove_ice``, ``in_resolution``, ``unimodal``,
        ``good_bragg``; each a part of the list before.
    has_sought_rings
        Whether there were enough spots to look for rings of them; else ``remove_ice`` has what
        the rings of pixels left, and the published listing says None.
    ice_rings
        (low, high) [Angstrom] of the rings found by their pixels, then by their spots.
    method1_angstrom, method2_angstrom
        Resolution limits; the second None where there are too few spots.
    max_cell_angstrom
        Longest cell edge to expect, None with fewer than three good spots.
    mean_eccentricity
        Of the spots with few maxima, None with fewer than three.
    saturation
        Mean of the 50 highest in-resolution peaks over the largest valid count.
    overloads
        In-resolution spots with a peak at or above the largest valid count.
    total_signal
        Counts above background of the good Bragg candidates.
    """

    spots: dict[str, NDArray[Any]]
    lists: dict[str, I64]
    has_sought_rings: bool
    ice_rings: tuple[tuple[float, float], ...]
    method1_angstrom: float
    method2_angstrom: float | None
    max_cell_angstrom: float | None
    mean_eccentricity: float | None
    saturation: float
    overloads: int
    total_signal: float

    @property
    def spot_total(self) -> int:
        """Number of spots."""
        return len(self.spots["area"])

    def listing(self, file: str) -> str:
        """Return the published listing of an image, line for line."""
        dry = len(self.lists["remove_ice"]) if self.has_sought_rings else None
        rows: list[tuple[str, str, object]] = [
            ("File", "%s", file),
            ("Spot Total", "%6d", self.spot_total),
            ("Remove Ice", "%6d", dry),
            ("In-Resolution Total", "%6d", len(self.lists["in_resolution"])),
            ("Good Bragg Candidates", "%6d", len(self.lists["good_bragg"])),
            ("Ice Rings", "%6d", len(self.ice_rings)),
            ("Method 1 Resolution", "%6.2f", self.method1_angstrom),
            ("Method 2 Resolution", "%6.2f", self.method2_angstrom),
            ("Maximum unit cell", "%6.1f", self.max_cell_angstrom),
            ("<Spot model eccentricity>", "%7.3f ", self.mean_eccentricity),
            (
                f"%Saturation, Top {min(50, len(self.lists['in_resolution']))} Peaks",
                "%6s",
                f"{100.0 * self.saturation:.2f}",
            ),
            ("In-Resolution Ovrld Spots", "%6s", f"{self.overloads}"),
        ]
        return "".join(
            f"{name:>25} : {'None' if value is None else form % value}\n"
            for name, form, value in rows
        )
