"""Crystal, beam and every panel of a detector, refined from rotation data."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refimpl.io.dials_files import read_expt, read_refl, write_expt, write_refl
    from refimpl.metrology.indexing import IndexSettings, index
    from refimpl.metrology.outputs import listing_of, save
    from refimpl.metrology.parameters import FixSettings
    from refimpl.metrology.predictions import predict_all
    from refimpl.metrology.refine import RefinementResult, RefineSettings, refine
    from refimpl.metrology.selection import SelectionSettings, preset

__all__ = [
    "FixSettings",
    "IndexSettings",
    "RefineSettings",
    "RefinementResult",
    "SelectionSettings",
    "index",
    "listing_of",
    "predict_all",
    "preset",
    "read_expt",
    "read_refl",
    "refine",
    "save",
    "write_expt",
    "write_refl",
]

_HOME = {
    "FixSettings": "refimpl.metrology.parameters",
    "IndexSettings": "refimpl.metrology.indexing",
    "RefineSettings": "refimpl.metrology.refine",
    "RefinementResult": "refimpl.metrology.refine",
    "SelectionSettings": "refimpl.metrology.selection",
    "index": "refimpl.metrology.indexing",
    "listing_of": "refimpl.metrology.outputs",
    "predict_all": "refimpl.metrology.predictions",
    "preset": "refimpl.metrology.selection",
    "read_expt": "refimpl.io.dials_files",
    "read_refl": "refimpl.io.dials_files",
    "refine": "refimpl.metrology.refine",
    "save": "refimpl.metrology.outputs",
    "write_expt": "refimpl.io.dials_files",
    "write_refl": "refimpl.io.dials_files",
}


class _Room(ModuleType):
    """Package in which a function wins over the module of its name, whoever imports either first.

    The import system binds ``refimpl.metrology.refine`` to the module as soon as anyone imports
    it; the documented meaning of that name is the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'refimpl.metrology' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
