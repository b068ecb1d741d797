r"""Whether a refinement finds the panels of simulated frames, and knows how well.

Each scene of :mod:`refimpl.forward.panel_scenes` is simulated, refined from no guess, and compared
with its truth and with the Cramér-Rao bound, prior knowledge included, all in the gauge of the
truth (:mod:`refimpl.testing.panel_compare`).

A panel that turns about the beam moves no ring, so of its shift only the part away from the beam
("radial") comes from the frame; the part to the side rests on the prior, and its bound is nearly
the prior's width. Both are judged.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_grid import PanelGrid
from refimpl.detector.tilted_flat import GEOMETRY_FIELDS, PANEL_FIELDS
from refimpl.errors import RefimplError
from refimpl.forward.information import GEOMETRY
from refimpl.forward.panel_gauge import gauge_rows
from refimpl.forward.panel_information import PanelInformation, panel_information
from refimpl.forward.panel_scenes import PanelScene
from refimpl.forward.simulated_frame import SimulatedFrame
from refimpl.frames import F64
from refimpl.testing.panel_compare import QUANTITIES, mahalanobis, quantities, to_gauge
from refimpl.testing.panel_scores import PanelRow, Recovered, row_line

__all__ = ["GROUPS", "FoundPanels", "calibrate_panels", "found_of", "judge", "recover_panels"]
__all__ += ["write_grid"]

GROUPS = {
    "d_fast_px": "shift", "d_slow_px": "shift", "d_theta_rad": "rotation", "d_lsd_mm": "height",
    "tilt_fast_rad": "tilt", "tilt_slow_rad": "tilt", "d_p2": "p2",
}  # fmt: skip
"""Panel field to the name of the group that it is refined with."""

_FIXED = 1e-8  # variance over what the data alone say, below which the gauge fixes a number

STRIDE = 3
"""Pixels taken for the bound, see :func:`refimpl.forward.panel_information.panel_information`."""


@dataclass(frozen=True, eq=False)
class FoundPanels:
    """What a refinement says of one scene.

    Attributes
    ----------
    model
        The detector found, with its panels.
    names, covariance
        (k,), (k, k) of what was refined: ``lsd_mm``, ``3.d_fast_px``. What is held on a panel is
        not among them.
    priors
        Standard deviation of the prior by panel field; a field without prior is left out.
    reasons
        What it says about panels that it held.
    converged
        Whether it says that it converged.
    """

    model: TiltedFlat
    names: tuple[str, ...]
    covariance: F64
    priors: Mapping[str, float]
    reasons: tuple[str, ...]
    converged: bool


def calibrate_panels(scene: PanelScene, frame: SimulatedFrame, **settings: Any) -> FoundPanels:
    """Refine with :func:`refimpl.powder.calibrate.calibrate`, from no guess.

    Told are the calibrant, wavelength, pixel size, mask, how polarised the beam is, the grid, and
    how widely the panel errors were drawn; further settings win.
    """
    from refimpl.powder.calibrate import calibrate

    polarisation = scene.arguments.get("polarisation")
    with tempfile.TemporaryDirectory() as folder:
        description = write_grid(scene.grid, Path(folder) / "grid.json")
        told: dict[str, Any] = {
            "calibrant": scene.calibrant,
            "lattice_parameter_angstrom": scene.lattice_parameter_angstrom,
            "wavelength_angstrom": scene.arguments["wavelength_angstrom"],
            "pixel_size_mm": scene.model.pixel_size_mm,
            "image_transform": scene.model.image_transform,
            "polarisation": None if polarisation is None else polarisation[0],
            "panels_grid": str(description),
            "panel_refine": tuple(dict.fromkeys(GROUPS[name] for name in scene.widths)),
            "panel_priors": {GROUPS[name]: width for name, width in scene.widths.items()},
            "panel_learn_priors": False,
            "allow_masked_panels": True,
        }
        result = calibrate(frame.image, mask=frame.mask, **{**told, **settings})
    return found_of(result)


def write_grid(grid: PanelGrid, path: Path) -> Path:
    """Write the description file of a grid, as ``panels_grid`` takes it."""
    path.write_text(json.dumps(asdict(grid)), encoding="utf-8")
    return path


def found_of(result: Any) -> FoundPanels:
    """What a :class:`~refimpl.powder.result.PowderResult` with panels says."""
    table = result.panels
    sigma = []
    position = {name: k for k, name in enumerate(result.covariance_names)}
    for name in table.correlation_names:
        if name in position:
            sigma.append(float(np.sqrt(result.covariance[position[name], position[name]])))
        else:
            panel, field = name.split(".")
            sigma.append(float(table.sigma[int(panel), PANEL_FIELDS.index(field)]))
    known = np.array(sigma) > 0.0
    at = np.flatnonzero(known)
    covariance = table.correlation[np.ix_(at, at)] * np.outer(*(np.array(sigma)[at],) * 2)
    names = tuple(np.array(table.correlation_names)[at].tolist())
    return FoundPanels(
        result.model, names, covariance, dict(table.priors), table.reasons, result.converged
    )


def recover_panels(
    scenes: Iterable[PanelScene],
    calibrate: Callable[[PanelScene, SimulatedFrame], FoundPanels] = calibrate_panels,
    *,
    stride: int = STRIDE,
    progress: Callable[[str], None] | None = None,
) -> Recovered:
    """Simulate, refine and compare each scene.

    Parameters
    ----------
    scenes
        Frames to make.
    calibrate
        Code under test; a :class:`~refimpl.errors.RefimplError` counts as not converged.
    stride
        Pixels taken for the bound.
    progress
        Called with a line of text after each scene.
    """
    rows = []
    for scene in scenes:
        frame = scene.simulate()
        found, note, start = None, "", time.process_time()
        try:
            found = calibrate(scene, frame)
        except RefimplError as exc:
            note = str(exc)
        seconds = time.process_time() - start
        row = _failed(scene, note, seconds)
        if found is not None:
            row = judge(scene, frame, found, seconds=seconds, stride=stride)
        rows.append(row)
        if progress is not None:
            progress(row_line(row))
    return Recovered(tuple(rows))


def _failed(scene: PanelScene, note: str, seconds: float) -> PanelRow:
    table = np.full((len(scene.boxes), len(QUANTITIES)), np.nan)
    one = np.full(len(GEOMETRY), np.nan)
    return PanelRow(
        scene.name, table, table, table, table, one, one, one, 0.0, 0, (), (), False, seconds, note
    )


def judge(
    scene: PanelScene,
    frame: SimulatedFrame,
    found: FoundPanels,
    *,
    seconds: float = 0.0,
    stride: int = STRIDE,
    information: PanelInformation | None = None,
) -> PanelRow:
    """Compare what was found in one scene with its truth.

    Parameters
    ----------
    scene, frame
        What was simulated.
    found
        What a refinement says.
    seconds, stride
        CPU time to record; pixels taken for the bound.
    information
        Of the frame on the fields that were refined, where it is known already.

    Returns
    -------
    PanelRow
        All in the gauge of the truth, that of the seen panels. A hidden panel is ``silent`` if it
        is neither named in a reason nor given errors that cover the truth to 5 sigma. What the
        gauge alone fixes (the heights of two panels) is not compared.
    """
    fields = tuple(f for f in PANEL_FIELDS if any(n.endswith(f".{f}") for n in found.names))
    g, shape = len(GEOMETRY), (len(scene.boxes), len(fields))
    seen = np.ones(shape[0], dtype=bool)
    seen[list(scene.hidden)] = False
    if information is None:
        information = panel_information(frame, GEOMETRY, fields, stride=stride)
    _, rows = gauge_rows(scene.boxes, fields, seen)
    # what is held is not known: it has the prior that it would have had
    bound = information.covariance(rows, priors=found.priors)
    error, covariance = _errors(scene, found, fields), _covariance(found, information.names)
    silent = _silent(scene, found, error[g:].reshape(shape), np.diag(covariance)[g:].reshape(shape))
    turn = to_gauge(information, scene.model, seen)
    error, covariance = turn @ error, turn @ covariance @ turn.T
    compared = np.array([n in found.names for n in information.names[g:]]).reshape(shape)
    compared &= seen[:, None]
    own = np.flatnonzero(compared) + g
    chi_square, rank = mahalanobis(error[own], covariance[np.ix_(own, own)])
    held = [n for n in information.names if n not in found.names and "." in n]
    held = [n for n in held if seen[int(n.split(".")[0])]]
    tables = _tables(information, scene.model, compared, error, covariance, bound)
    return PanelRow(
        scene.name, tables[0], tables[1], tables[2], tables[3],
        error[:g], np.sqrt(np.diag(covariance)[:g]), np.sqrt(np.diag(bound)[:g]),
        chi_square, rank, tuple(held), silent, found.converged, seconds, "",
    )  # fmt: skip


def _errors(scene: PanelScene, found: FoundPanels, fields: tuple[str, ...]) -> F64:
    """(g + p q,) found minus true."""
    of = [GEOMETRY_FIELDS.index(n) for n in GEOMETRY]
    columns = [2 + PANEL_FIELDS.index(f) for f in fields]
    detector = (found.model.geometry - scene.model.geometry)[of]
    panels = (found.model.corrections - scene.model.corrections)[:, columns]
    return np.concatenate([detector, panels.ravel()])


def _covariance(found: FoundPanels, names: tuple[str, ...]) -> F64:
    """(k, k) reported covariance in the order of the names, 0 for what was not refined."""
    out = np.zeros((len(names), len(names)))
    place = {n: i for i, n in enumerate(found.names)}
    mine = [i for i, n in enumerate(names) if n in place]
    theirs = [place[names[i]] for i in mine]
    out[np.ix_(mine, mine)] = found.covariance[np.ix_(theirs, theirs)]
    return out


def _tables(
    information: PanelInformation,
    model: TiltedFlat,
    compared: NDArray[np.bool_],
    error: F64,
    covariance: F64,
    bound: F64,
) -> F64:
    """(4, p, 9): error, sigma, bound and spread of what is judged of each panel."""
    g = len(information.parameters)
    basis, (panel, quantity) = quantities(model, information.fields, compared)
    full = np.hstack([np.zeros((len(basis), g)), basis])
    least = np.einsum("ki,ij,kj->k", full, np.where(np.isfinite(bound), bound, 0.0), full)
    least[np.any(full[:, ~np.isfinite(np.diag(bound))] != 0.0, axis=1)] = np.inf
    alone = np.einsum("ki,ij,kj->k", full, information.reduced(), full)
    moves = least * np.maximum(alone, 0.0) > _FIXED
    full, panel, quantity = full[moves], panel[moves], quantity[moves]
    of = full @ covariance @ full.T
    sigma = np.sqrt(np.diag(of))
    same = quantity[:, None] == quantity[None, :]
    spread = np.sum(np.where(same, (of / np.outer(sigma, sigma)) ** 2, 0.0), axis=1)
    out = np.full((4, *compared.shape[:1], len(QUANTITIES)), np.nan)
    for table, values in zip(
        out, (full @ error, sigma, np.sqrt(least[moves]), spread), strict=True
    ):
        table[panel, quantity] = values
    return out


def _silent(scene: PanelScene, found: FoundPanels, error: F64, variance: F64) -> tuple[int, ...]:
    """Hidden panels that are neither named nor within their errors."""
    out = []
    for i in scene.hidden:
        named = any(re.search(rf"\bpanels? .*\b{i}\b", reason) for reason in found.reasons)
        if not named and not np.all(error[i] ** 2 <= 25.0 * variance[i]):
            out.append(i)
    return tuple(out)
