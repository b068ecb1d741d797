"""Calibrate beam shifts by the best method that the data support, and say which and why."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from refimpl.epu.affine import affine, given
from refimpl.epu.calibration import METHODS, Calibration
from refimpl.epu.judge import judged
from refimpl.epu.lattice import lattice
from refimpl.epu.metadata import metadata
from refimpl.epu.scalar import scalar
from refimpl.epu.session import Session
from refimpl.errors import ConfigError, ConvergenceError

if TYPE_CHECKING:
    from refimpl.clustering.beam_shift import Clusters

__all__ = ["calibrate"]


def calibrate(
    session: Session,
    method: str = "auto",
    *,
    spacing_um: float | None = None,
    k: float | None = None,
    matrix_um: ArrayLike | None = None,
    rule: str = "smallest_median",
    clusters: Clusters | None = None,
) -> Calibration:
    """Find how far, and where to, a beam shift moves the beam on the specimen.

    Parameters
    ----------
    session
        Exposures, and what the .dm files say.
    method
        ``scalar`` (published), ``affine`` (the matrix is given), ``metadata`` (hole positions of
        the .dm files), ``lattice`` (XML files alone), or ``auto``: what is given; else the
        metadata; else the lattice; else, with a spacing, the scalar.
    spacing_um
        Distance between neighbouring holes; None: what EpuSession.dm says, if anything.
    k, matrix_um
        Given scalar; given (2, 2) matrix.
    rule, clusters
        Of the scalar method: see :func:`refimpl.epu.scalar.scalar`.

    Raises
    ------
    ConfigError
        Too few exposures, what a method needs is missing, or the options contradict.
    ConvergenceError
        No method finds a matrix; the message tells what each was lacking.
    """
    if method != "auto" and method not in METHODS:
        raise ConfigError(
            f"method {method!r}: expected auto, {', '.join(METHODS)}", key="method", got=method
        )
    if len(session) == 0:
        raise ConfigError(f"no exposures to calibrate from in {session.folder}")
    if k is not None and matrix_um is not None:
        raise ConfigError("k and matrix: one of them", key="matrix")
    spacing = session.hole_spacing_um if spacing_um is None else spacing_um
    options: dict[str, Any] = {"rule": rule, "clusters": clusters}
    if matrix_um is not None or k is not None:
        wanted = "affine" if matrix_um is not None else "scalar"
        if method not in ("auto", wanted):
            raise ConfigError(
                f"method {method}: {'a matrix' if k is None else 'k'} is given, which is {wanted}",
                key="method", got=method,
            )  # fmt: skip
        found = judged(
            given(matrix_um) if matrix_um is not None else affine(float(k or 0)), session
        )
    elif method == "affine":
        raise ConfigError("method affine: expected a matrix (or k, rotation, mirror)", key="matrix")
    elif method == "scalar":
        if spacing is None:
            raise ConfigError(
                "method scalar: expected k, or the spacing of the holes (there is none in an "
                "EpuSession.dm)", key="spacing",
            )  # fmt: skip
        found = judged(scalar(session, spacing, **options), session)
    elif method == "metadata":
        found = metadata(session)
    elif method == "lattice":
        found = lattice(session, spacing_um=spacing)
    else:
        found = _best(session, spacing, options)
    return replace(
        found, magnification=_common(session, "magnification"),
        voltage_kv=_common(session, "voltage_kv"), instrument=_name(session),
        provenance=_provenance(session),
    )  # fmt: skip


def _best(session: Session, spacing: float | None, options: dict[str, Any]) -> Calibration:
    """The first method that works; why the better ones did not is noted."""
    why: list[str] = []
    if session.holes is not None and len(session.holes):
        try:
            return metadata(session)
        except ConvergenceError as error:
            why.append(str(error))
    try:
        found = lattice(session, spacing_um=spacing)
        return replace(found, notes=(*found.notes, *why))
    except ConvergenceError as error:
        why.append(str(error))
    if spacing is not None:
        try:
            found = judged(scalar(session, spacing, **options), session)
            return replace(found, notes=(*found.notes, *why))
        except ConvergenceError as error:
            why.append(str(error))
    need = "k or the matrix" + ("" if spacing is not None else ", or the spacing of the holes")
    raise ConvergenceError(f"no calibration: {'; '.join(why)}; state {need}")


def _common(session: Session, column: str) -> float:
    """Value that all exposures agree on; NaN if they do not."""
    values = np.unique(session.table[column].to_numpy(dtype=np.float64))
    return float(values[0]) if len(values) == 1 else float("nan")


def _name(session: Session) -> str:
    names = session.table["instrument"].unique()
    return str(names[0]) if len(names) == 1 else ""


def _provenance(session: Session) -> dict[str, Any]:
    import refimpl

    return {
        "folder": "" if session.folder is None else str(session.folder),
        "exposures": len(session),
        "version": refimpl.__version__,
    }
