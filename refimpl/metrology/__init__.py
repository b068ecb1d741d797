"""Crystal, beam and every panel of a detector, refined from rotation data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refimpl.lazy import lazy_names

if TYPE_CHECKING:
    from refimpl.io.dials_files import read_expt, read_refl, write_expt, write_refl
    from refimpl.metrology.answers import panel_uncertainties_of, problem_of, weak_modes_of
    from refimpl.metrology.indexing import IndexSettings, index
    from refimpl.metrology.outputs import listing_of, save
    from refimpl.metrology.parameters import FixSettings
    from refimpl.metrology.predictions import predict_all
    from refimpl.metrology.refine import RefinementResult, RefineSettings, refine
    from refimpl.metrology.restraints import CellTarget
    from refimpl.metrology.selection import SelectionSettings, preset
    from refimpl.metrology.siblings import Gauge

__all__ = [
    "CellTarget",
    "FixSettings",
    "Gauge",
    "IndexSettings",
    "RefineSettings",
    "RefinementResult",
    "SelectionSettings",
    "index",
    "listing_of",
    "panel_uncertainties_of",
    "predict_all",
    "preset",
    "problem_of",
    "read_expt",
    "read_refl",
    "refine",
    "save",
    "weak_modes_of",
    "write_expt",
    "write_refl",
]

_HOME = {
    "CellTarget": "refimpl.metrology.restraints",
    "FixSettings": "refimpl.metrology.parameters",
    "Gauge": "refimpl.metrology.siblings",
    "IndexSettings": "refimpl.metrology.indexing",
    "RefineSettings": "refimpl.metrology.refine",
    "RefinementResult": "refimpl.metrology.refine",
    "SelectionSettings": "refimpl.metrology.selection",
    "index": "refimpl.metrology.indexing",
    "listing_of": "refimpl.metrology.outputs",
    "panel_uncertainties_of": "refimpl.metrology.answers",
    "predict_all": "refimpl.metrology.predictions",
    "preset": "refimpl.metrology.selection",
    "problem_of": "refimpl.metrology.answers",
    "read_expt": "refimpl.io.dials_files",
    "read_refl": "refimpl.io.dials_files",
    "refine": "refimpl.metrology.refine",
    "save": "refimpl.metrology.outputs",
    "weak_modes_of": "refimpl.metrology.answers",
    "write_expt": "refimpl.io.dials_files",
    "write_refl": "refimpl.io.dials_files",
}

__getattr__ = lazy_names(__name__, _HOME)
