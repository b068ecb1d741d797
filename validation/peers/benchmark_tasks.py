"""Tasks that the benchmarks have already: azimuthal integration, and fits of peaks."""

from __future__ import annotations

import integrate
import peaks
from asking import Asker
from page import Table

FRAME = "int32"


def integrate_tables(asker: Asker, _size: float) -> list[Table]:
    """PyFAI's ways without and with splitting, and ours; how far its pattern is from ours."""
    rows, columns = integrate.SHAPE
    table = Table(
        f"Azimuthal integration, {columns} x {rows} px, {integrate.BINS} bins (2-D: x "
        f"{integrate.AZIMUTHS})", "", "frame", "threads", "code", "ms", "CPU ms", "times ours",
        "other",
    )  # fmt: skip
    integrate.against_pyfai(table, asker.python, FRAME, asker.threads)
    return [table]


def peaks_tables(asker: Asker, size: float) -> list[Table]:
    """Pseudo-Voigts of simulated profiles by scipy, lmfit and refimpl, against the bound."""
    large = peaks.simulate(max(int(5000 * size), 400))
    return [peaks.every_code(large.head(400), large, asker.repeats, asker.python)]
