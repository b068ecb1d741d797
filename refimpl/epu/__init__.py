"""Cryo-EM sessions of EPU: beam shifts calibrated, exposures taken twice found, optics groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refimpl.lazy import lazy_names

if TYPE_CHECKING:
    from refimpl.epu.calibrate import calibrate
    from refimpl.epu.calibration import Calibration, load_calibration, save_calibration
    from refimpl.epu.csv_tables import write_csv
    from refimpl.epu.duplicates import Duplicates, find_duplicates
    from refimpl.epu.live import Update, watch
    from refimpl.epu.radius import Radius
    from refimpl.epu.session import Session, read_session, table_of

__all__ = [
    "Calibration",
    "Duplicates",
    "Radius",
    "Session",
    "Update",
    "calibrate",
    "find_duplicates",
    "load_calibration",
    "read_session",
    "save_calibration",
    "table_of",
    "watch",
    "write_csv",
]

_HOME = {
    "Calibration": "refimpl.epu.calibration",
    "Duplicates": "refimpl.epu.duplicates",
    "Radius": "refimpl.epu.radius",
    "Session": "refimpl.epu.session",
    "Update": "refimpl.epu.live",
    "calibrate": "refimpl.epu.calibrate",
    "find_duplicates": "refimpl.epu.duplicates",
    "load_calibration": "refimpl.epu.calibration",
    "read_session": "refimpl.epu.session",
    "save_calibration": "refimpl.epu.calibration",
    "table_of": "refimpl.epu.session",
    "watch": "refimpl.epu.live",
    "write_csv": "refimpl.epu.csv_tables",
}

__getattr__ = lazy_names(__name__, _HOME)
