"""Cryo-EM sessions of EPU: beam shifts calibrated, exposures taken twice found, optics groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refimpl.lazy import lazy_names

if TYPE_CHECKING:
    from refimpl.epu.calibration import Calibration, load_calibration, save_calibration
    from refimpl.epu.csv_tables import write_csv
    from refimpl.epu.session import Session, read_session, table_of

__all__ = [
    "Calibration",
    "Session",
    "load_calibration",
    "read_session",
    "save_calibration",
    "table_of",
    "write_csv",
]

_HOME = {
    "Calibration": "refimpl.epu.calibration",
    "Session": "refimpl.epu.session",
    "load_calibration": "refimpl.epu.calibration",
    "read_session": "refimpl.epu.session",
    "save_calibration": "refimpl.epu.calibration",
    "table_of": "refimpl.epu.session",
    "write_csv": "refimpl.epu.csv_tables",
}

__getattr__ = lazy_names(__name__, _HOME)
