"""Cryo-EM sessions of EPU: beam shifts calibrated, exposures taken twice found, optics groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refimpl.lazy import lazy_names

if TYPE_CHECKING:
    from refimpl.epu.calibrate import calibrate
    from refimpl.epu.calibration import Calibration, load_calibration, save_calibration
    from refimpl.epu.csv_tables import read_csv, write_csv
    from refimpl.epu.duplicates import Duplicates, find_duplicates
    from refimpl.epu.live import Update, watch
    from refimpl.epu.optics_groups import OpticsGroups, group_by_area, group_by_beam_shift
    from refimpl.epu.optics_star import OpticsSettings, groups_of_star, new_star
    from refimpl.epu.optics_transfer import drop, prune, regroup
    from refimpl.epu.radius import Radius
    from refimpl.epu.session import Session, read_session, table_of
    from refimpl.epu.simulate import Simulated, SimulationSettings, Truth, simulate, varied
    from refimpl.epu.simulate_files import write_session

__all__ = [
    "Calibration",
    "Duplicates",
    "OpticsGroups",
    "OpticsSettings",
    "Radius",
    "Session",
    "Simulated",
    "SimulationSettings",
    "Truth",
    "Update",
    "calibrate",
    "drop",
    "find_duplicates",
    "group_by_area",
    "group_by_beam_shift",
    "groups_of_star",
    "load_calibration",
    "new_star",
    "prune",
    "read_csv",
    "read_session",
    "regroup",
    "save_calibration",
    "simulate",
    "table_of",
    "varied",
    "watch",
    "write_csv",
    "write_session",
]

_HOME = {
    "Calibration": "refimpl.epu.calibration",
    "Duplicates": "refimpl.epu.duplicates",
    "OpticsGroups": "refimpl.epu.optics_groups",
    "OpticsSettings": "refimpl.epu.optics_star",
    "Radius": "refimpl.epu.radius",
    "Session": "refimpl.epu.session",
    "Simulated": "refimpl.epu.simulate",
    "SimulationSettings": "refimpl.epu.simulate",
    "Truth": "refimpl.epu.simulate",
    "Update": "refimpl.epu.live",
    "calibrate": "refimpl.epu.calibrate",
    "drop": "refimpl.epu.optics_transfer",
    "find_duplicates": "refimpl.epu.duplicates",
    "group_by_area": "refimpl.epu.optics_groups",
    "group_by_beam_shift": "refimpl.epu.optics_groups",
    "groups_of_star": "refimpl.epu.optics_star",
    "load_calibration": "refimpl.epu.calibration",
    "new_star": "refimpl.epu.optics_star",
    "prune": "refimpl.epu.optics_transfer",
    "read_csv": "refimpl.epu.csv_tables",
    "read_session": "refimpl.epu.session",
    "regroup": "refimpl.epu.optics_transfer",
    "save_calibration": "refimpl.epu.calibration",
    "simulate": "refimpl.epu.simulate",
    "table_of": "refimpl.epu.session",
    "varied": "refimpl.epu.simulate",
    "watch": "refimpl.epu.live",
    "write_csv": "refimpl.epu.csv_tables",
    "write_session": "refimpl.epu.simulate_files",
}

__getattr__ = lazy_names(__name__, _HOME)
