"""A problem of panels and grains from HEXRD's files: instrument, picked spots, table of grains.

HEXRD's lab and sample frames are turned by half a turn about y into ours, beam along +z. The
oscillation stage is S = Rx(chi), about its own x; the axis is y.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64
from refimpl.interop.hexrd import detector_from_hexrd
from refimpl.interop.hexrd_file import LAB_FROM_HEXRD, HexrdInstrument, read_tree
from refimpl.io.hexrd_picks import Picks, stretch_of_mandel
from refimpl.metrology.grain_models import Body, Grain
from refimpl.metrology.grain_problem import WIDTHS, GrainProblem, spots_of
from refimpl.metrology.grain_spots import Spots
from refimpl.rotations import expmap

__all__ = [
    "as_tiled",
    "b_of_cell",
    "grain_of_row",
    "panels_of_hexrd",
    "problem_of_hexrd",
    "read_stage",
]


def b_of_cell(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> F64:
    """(3, 3) B [1/angstrom] with a along x and b in the xy plane, as HEXRD has it.

    Parameters
    ----------
    a, b, c
        [angstrom].
    alpha, beta, gamma
        [rad].
    """
    x = np.cos(beta)
    y = (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    direct = np.array(
        [
            [a, b * np.cos(gamma), c * x],
            [0.0, b * np.sin(gamma), c * y],
            [0.0, 0.0, c * np.sqrt(1.0 - x * x - y * y)],
        ]
    )
    return np.asarray(np.linalg.inv(direct).T)


def read_stage(path: str | Path) -> tuple[float, dict[str, tuple[str, ...]]]:
    """Chi [rad] of the oscillation stage of an instrument file, and the groups of its detectors.

    A detector that is in no group is one by itself.

    Raises
    ------
    FormatError
        The file cannot be read, or has no such entries.
    MissingExtra
        It is YAML and PyYAML is not installed.
    """
    data = read_tree(path)
    try:
        chi = float(data["oscillation_stage"]["chi"])
        groups: dict[str, tuple[str, ...]] = {}
        for name, own in data["detectors"].items():
            group = own.get("group") or name
            groups[group] = (*groups.get(group, ()), name)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise FormatError(
            f"no oscillation stage and detectors: {type(exc).__name__} {exc}", path=path
        ) from exc
    return chi, groups


def grain_of_row(row: F64, b: F64) -> Grain:
    """Grain of a row (12,) of HEXRD's table, in our frame."""
    turn = LAB_FROM_HEXRD
    return Grain(
        turn @ expmap(row[:3]), b, turn @ row[3:6], turn @ stretch_of_mandel(row[6:]) @ turn.T
    )


def panels_of_hexrd(instrument: HexrdInstrument) -> tuple[F64, F64]:
    """(p, 3, 3) columns fast, slow, origin [mm] of the panels, and their sizes (p, 2) [mm]."""
    # where the panels are in an image does not matter here: side by side
    left = np.cumsum([0, *(p.shape[1] for p in instrument.panels)])
    shape = (max(p.shape[0] for p in instrument.panels), int(left[-1]))
    origins = {p.name: (int(x), 0) for p, x in zip(instrument.panels, left[:-1], strict=True)}
    detector = detector_from_hexrd(instrument, shape, origins)
    d = [np.stack([p.fast_axis, p.slow_axis, p.origin_mm], axis=1) for p in detector.panels]
    size = [
        (p.size_px[0] * p.pixel_size_mm[0], p.size_px[1] * p.pixel_size_mm[1])
        for p in detector.panels
    ]
    return np.array(d), np.array(size)


def problem_of_hexrd(
    instrument: HexrdInstrument,
    picks: Picks,
    table: F64,
    b: F64,
    chi: float,
    housings: dict[str, tuple[str, ...]],
    sigma: F64,
) -> GrainProblem:
    """Problem whose x = 0 is the instrument and the grains as published.

    Parameters
    ----------
    instrument, picks
        As read.
    table
        (g, 12) grains.
    b
        (3, 3) of the unstrained cell.
    chi
        Of the oscillation stage [rad].
    housings
        Name to the names of its panels.
    sigma
        (3,) spread of the spots to start from [mm, mm, rad].

    Raises
    ------
    ConfigError
        A housing names a panel that is not there.
    """
    names = [p.name for p in instrument.panels]
    lost = sorted(n for own in housings.values() for n in own if n not in names)
    if lost:
        raise ConfigError(f"housings name {', '.join(lost)}: the panels are {', '.join(names)}")
    d, size = panels_of_hexrd(instrument)
    bodies = tuple(
        Body.of_panels(name, tuple(names.index(n) for n in own), d, size)
        for name, own in housings.items()
    )
    half = 0.5 * size[picks.panel]
    # x, y from the centre, y against the rows
    xyo = np.stack(
        [half[:, 0] + picks.xyo[:, 0], half[:, 1] - picks.xyo[:, 1], picks.xyo[:, 2]], axis=1
    )
    none = np.zeros(0)
    problem = GrainProblem(
        Spots(none.astype(int), none.astype(np.int32), np.zeros((0, 3)), np.zeros((0, 3)),
              none.astype(np.uint8)),
        tuple(grain_of_row(row, b) for row in table), d, size, bodies, tuple(names),
        np.array([0.0, 0.0, 1.0 / instrument.wavelength_angstrom]), np.array([0.0, 1.0, 0.0]),
        LAB_FROM_HEXRD @ np.array([1.0, 0.0, 0.0]), chi, np.asarray(sigma, dtype=np.float64),
        np.array(WIDTHS),
    )  # fmt: skip
    spots = spots_of(picks.grain, picks.panel, picks.hkl, xyo, problem)
    return replace(problem, spots=spots)


def as_tiled(problem: GrainProblem, whole: HexrdInstrument) -> GrainProblem:
    """Same problem with sub-panels that sit side by side in the plane of an undivided detector.

    Parameters
    ----------
    problem
        Panels are called HOUSING_ROW_COLUMN and are of one size in a housing.
    whole
        Has a panel of each housing's name.

    Raises
    ------
    ConfigError
        A panel is not called so, or its housing is not there.
    """
    columns, _ = panels_of_hexrd(whole)
    of = dict(zip((p.name for p in whole.panels), columns, strict=True))
    d = problem.d.copy()
    for i, name in enumerate(problem.panel_names):
        housing, *place = name.split("_")
        if housing not in of or len(place) != 2 or not all(k.isdigit() for k in place):
            raise ConfigError(
                f"panel {name!r}: expected HOUSING_ROW_COLUMN with a housing of {', '.join(of)}"
            )
        row, column = (int(k) for k in place)
        d[i] = of[housing]
        d[i, :, 2] += d[i, :, :2] @ (problem.size_mm[i] * [column, row])
    bodies = (Body.of_panels(b.name, b.panels, d, problem.size_mm) for b in problem.housings)
    return replace(problem, d=d, housings=tuple(bodies))
