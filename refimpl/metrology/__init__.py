"""Crystal, beam and every panel of a detector, refined from rotation data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refimpl.lazy import lazy_names

if TYPE_CHECKING:
    from refimpl.io.dials_files import read_expt, read_refl, write_expt, write_refl
    from refimpl.metrology.answers import panel_uncertainties_of, problem_of, weak_modes_of
    from refimpl.metrology.congruence import congruence
    from refimpl.metrology.correction_tables import compare_tables, correction_tables, flat_detector
    from refimpl.metrology.exports import reference_geometry, write_geom, write_tables
    from refimpl.metrology.grain_run import read_grain_problem, refine_grains
    from refimpl.metrology.indexing import IndexSettings, index
    from refimpl.metrology.outputs import listing_of, save
    from refimpl.metrology.parallax import refine_with_parallax, remeasured
    from refimpl.metrology.parameters import FixSettings
    from refimpl.metrology.predictions import predict_all
    from refimpl.metrology.refine import RefinementResult, RefineSettings, refine
    from refimpl.metrology.restraints import CellTarget
    from refimpl.metrology.selection import SelectionSettings, preset
    from refimpl.metrology.siblings import Gauge
    from refimpl.metrology.simulate import simulate
    from refimpl.metrology.transfer import transfer
    from refimpl.metrology.tutorial_twin import tutorial_twin
    from refimpl.metrology.validate import split_halves

__all__ = [
    "CellTarget",
    "FixSettings",
    "Gauge",
    "IndexSettings",
    "RefineSettings",
    "RefinementResult",
    "SelectionSettings",
    "compare_tables",
    "congruence",
    "correction_tables",
    "flat_detector",
    "index",
    "listing_of",
    "panel_uncertainties_of",
    "predict_all",
    "preset",
    "problem_of",
    "read_expt",
    "read_grain_problem",
    "read_refl",
    "reference_geometry",
    "refine",
    "refine_grains",
    "refine_with_parallax",
    "remeasured",
    "save",
    "simulate",
    "split_halves",
    "transfer",
    "tutorial_twin",
    "weak_modes_of",
    "write_expt",
    "write_geom",
    "write_refl",
    "write_tables",
]

_HOME = {
    "CellTarget": "refimpl.metrology.restraints",
    "FixSettings": "refimpl.metrology.parameters",
    "Gauge": "refimpl.metrology.siblings",
    "IndexSettings": "refimpl.metrology.indexing",
    "RefineSettings": "refimpl.metrology.refine",
    "RefinementResult": "refimpl.metrology.refine",
    "SelectionSettings": "refimpl.metrology.selection",
    "compare_tables": "refimpl.metrology.correction_tables",
    "congruence": "refimpl.metrology.congruence",
    "correction_tables": "refimpl.metrology.correction_tables",
    "flat_detector": "refimpl.metrology.correction_tables",
    "index": "refimpl.metrology.indexing",
    "listing_of": "refimpl.metrology.outputs",
    "panel_uncertainties_of": "refimpl.metrology.answers",
    "predict_all": "refimpl.metrology.predictions",
    "preset": "refimpl.metrology.selection",
    "problem_of": "refimpl.metrology.answers",
    "read_expt": "refimpl.io.dials_files",
    "read_grain_problem": "refimpl.metrology.grain_run",
    "read_refl": "refimpl.io.dials_files",
    "reference_geometry": "refimpl.metrology.exports",
    "refine": "refimpl.metrology.refine",
    "refine_grains": "refimpl.metrology.grain_run",
    "refine_with_parallax": "refimpl.metrology.parallax",
    "remeasured": "refimpl.metrology.parallax",
    "save": "refimpl.metrology.outputs",
    "simulate": "refimpl.metrology.simulate",
    "split_halves": "refimpl.metrology.validate",
    "transfer": "refimpl.metrology.transfer",
    "tutorial_twin": "refimpl.metrology.tutorial_twin",
    "weak_modes_of": "refimpl.metrology.answers",
    "write_expt": "refimpl.io.dials_files",
    "write_geom": "refimpl.metrology.exports",
    "write_refl": "refimpl.io.dials_files",
    "write_tables": "refimpl.metrology.exports",
}

__getattr__ = lazy_names(__name__, _HOME)
