"""Regular grids of panels: the published keys NPanelsY ... PanelGapsZ, and detectors by name.

Panels are counted in the model frame (:mod:`refimpl.detector.orientation`), ``id = i_fast *
n_slow + i_slow``, that is column by column from the left, upwards in each column. Source: MIDAS,
AutoCalibrate manual version 10, section 7 (Y is our fast, Z our slow). Panels that are no grid
are lists of boxes: :mod:`refimpl.io.panel_files`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from refimpl.errors import ConfigError, GeometryError
from refimpl.frames import I64

__all__ = ["NAMED_GRIDS", "PanelGrid", "named_grid", "named_grids"]


@dataclass(frozen=True)
class PanelGrid:
    """Equal panels in rows and columns.

    Attributes
    ----------
    n_fast, n_slow
        Panels along each axis (published NPanelsY, NPanelsZ).
    size_fast_px, size_slow_px
        Size of every panel [px] (PanelSizeY, PanelSizeZ).
    gaps_fast_px, gaps_slow_px
        Width of each gap [px], n - 1 of them (PanelGapsY, PanelGapsZ); they may differ, and 0 is
        allowed.

    Raises
    ------
    GeometryError
        A count or size below 1, a wrong number of gaps, or a gap below 0.
    """

    n_fast: int
    n_slow: int
    size_fast_px: int
    size_slow_px: int
    gaps_fast_px: tuple[int, ...] = ()
    gaps_slow_px: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for axis, key in (("fast", "Y"), ("slow", "Z")):
            count, size, gaps = self._axis(axis)
            for name, value in ((f"n_{axis}", count), (f"size_{axis}_px", size)):
                if value < 1:
                    raise GeometryError(
                        f"panel grid: {name} = {value}: expected 1 or more", key=name, got=value
                    )
            if len(gaps) != count - 1:
                raise GeometryError(
                    f"panel grid: {count} panels along {axis} have {count - 1} gaps between them "
                    f"(gaps_{axis}_px, PanelGaps{key}), got {len(gaps)}",
                    key=f"gaps_{axis}_px",
                    got=gaps,
                )
            if gaps and min(gaps) < 0:
                raise GeometryError(
                    f"panel grid: gaps_{axis}_px (PanelGaps{key}) has {min(gaps)}: expected 0 or "
                    "more",
                    key=f"gaps_{axis}_px",
                    got=gaps,
                )

    def _axis(self, axis: str) -> tuple[int, int, tuple[int, ...]]:
        if axis == "fast":
            return self.n_fast, self.size_fast_px, self.gaps_fast_px
        return self.n_slow, self.size_slow_px, self.gaps_slow_px

    def __len__(self) -> int:
        return self.n_fast * self.n_slow

    @property
    def shape(self) -> tuple[int, int]:
        """(n_slow, n_fast) [px] from the first pixel to the last."""
        return self._span("slow"), self._span("fast")

    def _span(self, axis: str) -> int:
        count, size, gaps = self._axis(axis)
        return count * size + sum(gaps)

    def boxes(self) -> I64:
        """(p, 4) fast0, slow0, fast1, slow1 of each panel, half open [px], in published order."""
        fast, slow = (
            np.cumsum([0, *(size + gap for gap in gaps)])
            for _, size, gaps in (self._axis("fast"), self._axis("slow"))
        )
        f, s = (a.ravel() for a in np.meshgrid(fast, slow, indexing="ij"))
        return np.stack([f, s, f + self.size_fast_px, s + self.size_slow_px], axis=1).astype(
            np.int64
        )

    @classmethod
    def from_boxes(cls, boxes: I64) -> PanelGrid:
        """Grid whose :meth:`boxes` these are.

        Raises
        ------
        GeometryError
            There is none: no boxes, sizes that differ, a hole, another order, or a first panel
            that does not begin at the first pixel.
        """
        table = np.asarray(boxes, dtype=np.int64).reshape(-1, 4)
        fast, slow = (sorted({int(v) for v in table[:, axis]}) for axis in (0, 1))
        if len(table) and fast[0] == slow[0] == 0:
            f1, s1 = (int(v) for v in table[0, 2:])
            gaps = [tuple(b - a - n for a, b in pairwise(v)) for v, n in ((fast, f1), (slow, s1))]
            if min(f1, s1) > 0 and all(gap >= 0 for axis in gaps for gap in axis):
                grid = cls(len(fast), len(slow), f1, s1, gaps[0], gaps[1])
                if np.array_equal(grid.boxes(), table):
                    return grid
        raise GeometryError("the panels are not a grid of equal ones in the published order")

    def transposed(self) -> PanelGrid:
        """Return the same detector with fast and slow exchanged."""
        return PanelGrid(
            self.n_slow,
            self.n_fast,
            self.size_slow_px,
            self.size_fast_px,
            self.gaps_slow_px,
            self.gaps_fast_px,
        )

    def halved(self, gap_px: int, axis: Literal["fast", "slow"] = "fast") -> PanelGrid:
        """Grid of half-panels, for modules that are two crystals with `gap_px` between them.

        Raises
        ------
        GeometryError
            What is left of the panel beside the gap is not two equal halves.
        """
        if axis == "slow":
            return self.transposed().halved(gap_px).transposed()
        half, odd = divmod(self.size_fast_px - gap_px, 2)
        if odd or half < 1 or gap_px < 0:
            raise GeometryError(
                f"panel grid: {self.size_fast_px} px are not two equal halves and a gap of {gap_px}"
            )
        gaps = [gap_px]
        for gap in self.gaps_fast_px:
            gaps += [gap, gap_px]
        return PanelGrid(
            2 * self.n_fast, self.n_slow, half, self.size_slow_px, tuple(gaps), self.gaps_slow_px
        )

    def check(self, shape: tuple[int, int]) -> None:
        """Refuse an image that the grid does not span exactly.

        Parameters
        ----------
        shape
            (n_slow, n_fast) of the image in the model frame.

        Raises
        ------
        GeometryError
            Naming both sizes, and the change of the keys that would fit, if there is one.
        """
        if self.shape == tuple(shape):
            return
        hint = self._remedy(int(shape[0]), int(shape[1]))
        raise GeometryError(
            f"the grid of {self.n_fast} x {self.n_slow} panels of {self.size_fast_px} x "
            f"{self.size_slow_px} px (Y x Z, fast x slow) spans {self.shape[1]} x {self.shape[0]} "
            f"px, the image has {shape[1]} x {shape[0]}" + (f": {hint}" if hint else ""),
            key="PanelSizeY PanelSizeZ",
            got=self.shape,
        )

    def _remedy(self, n_slow: int, n_fast: int) -> str:
        """Which sizes the image and the gaps ask for; empty where no whole number does."""
        sizes = self.size_fast_px, self.size_slow_px
        fast, fast_rest = divmod(n_fast - sum(self.gaps_fast_px), self.n_fast)
        slow, slow_rest = divmod(n_slow - sum(self.gaps_slow_px), self.n_slow)
        if fast_rest == slow_rest == 0 and min(fast, slow) > 0:
            if (fast, slow) == sizes[::-1]:
                return "exchanging PanelSizeY and PanelSizeZ would fit"
            text = f"PanelSizeY {fast} and PanelSizeZ {slow} would fit these gaps"
            whole = [size for size in sizes if size == 2 * fast + 1 and 1 in self.gaps_fast_px]
            if whole:
                text += f" ({whole[0]} px is a whole module, two halves of {fast} and a gap of 1)"
            return text
        if self.transposed().shape == (n_slow, n_fast):
            return "exchanging Y and Z in every panel key (or ImTransOpt 3) would fit"
        return ""


def _regular(n_fast: int, n_slow: int, size: tuple[int, int], gap: tuple[int, int]) -> PanelGrid:
    """Grid with equal gaps; size and gap are (fast, slow)."""
    gaps = (gap[0],) * (n_fast - 1), (gap[1],) * (n_slow - 1)
    return PanelGrid(n_fast, n_slow, *size, *gaps)


def _table() -> dict[str, PanelGrid]:
    """Every named grid, with the source of its numbers."""
    # Sizes (fast, slow) of modules and gaps, the image shapes that the tests compare with, and
    # which detectors exist: pyFAI 2025.11, detectors/_dectris.py, after Dectris' specifications.
    families = {
        # two crystals of 243 px a CdTe module: one dead column at 243, 737 and 1231 of a measured
        # frame of a Pilatus 2M CdTe, and the gaps "1 7 1 7 1" of the AutoCalibrate manual
        "pilatus": ((487, 195), (7, 17), 1),
        "pilatus4-": ((513, 255), (7, 20), 1),  # CdTe: one column in the middle of the module
        "eiger": ((1030, 514), (10, 37), None),  # Eiger (1): silicon only
        "eiger2-": ((1028, 512), (12, 38), 2),  # CdTe: two columns in the middle of the module
    }
    models = {  # modules along (fast, slow), and whether it is also made with CdTe
        "pilatus": {
            "100k": (1, 1, False), "200k": (1, 2, False), "300k": (1, 3, True),
            "300kw": (3, 1, True), "900k": (3, 3, False), "900kw": (9, 1, True),
            "1m": (2, 5, True), "2m": (3, 8, True), "6m": (5, 12, False),
        },
        "pilatus4-": {
            "260k": (1, 2, True), "260kw": (2, 1, True), "1m": (2, 4, True), "2m": (3, 6, True),
            "4m": (4, 8, True),
        },
        "eiger": {
            "500k": (1, 1, False), "1m": (1, 2, False), "4m": (2, 4, False), "9m": (3, 6, False),
            "16m": (4, 8, False),
        },
        "eiger2-": {
            "500k": (1, 1, True), "1m": (1, 2, True), "1mw": (2, 1, True), "2mw": (4, 1, True),
            "4m": (2, 4, True), "9m": (3, 6, True), "16m": (4, 8, True),
        },
    }  # fmt: skip
    grids = {}
    for family, (size, gap, middle) in families.items():
        for model, (n_fast, n_slow, cdte) in models[family].items():
            grid = _regular(n_fast, n_slow, size, gap)
            grids[family + model] = grid
            if cdte and middle is not None:
                grids[f"{family}{model}-half"] = grid.halved(middle)
    # four sensors that abut in the image: HEXRD/examples, dexelas_id3a_20200130_comp.yml
    grids["dexela2923"] = _regular(2, 2, (1536, 1944), (0, 0))
    return grids


NAMED_GRIDS: Final[Mapping[str, PanelGrid]] = MappingProxyType(_table())
"""Every detector known by name, as its image is stored; ``-half`` cuts CdTe modules in two."""


def named_grids() -> tuple[str, ...]:
    """Names that :func:`named_grid` knows."""
    return tuple(NAMED_GRIDS)


def named_grid(name: str) -> PanelGrid:
    """Grid of a detector; case, blanks, hyphens and underscores do not matter.

    Raises
    ------
    ConfigError
        No such name; the nearest ones are named.
    """
    keys = {_plain(known): known for known in NAMED_GRIDS}
    found = keys.get(_plain(name))
    if found is None:
        near = difflib.get_close_matches(_plain(name), keys, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(keys[key] for key in near)}?" if near else ""
        raise ConfigError(
            f"unknown panel grid {name!r}: {hint or 'known are ' + ', '.join(NAMED_GRIDS)}",
            key="grid",
            got=name,
        )
    return NAMED_GRIDS[found]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())
