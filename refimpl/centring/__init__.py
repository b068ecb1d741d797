"""Crystal centring: where to aim the beam, by a net that was taught reflection counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refimpl.lazy import lazy_names

if TYPE_CHECKING:
    from refimpl.centring.crops import CropRule, prepared
    from refimpl.centring.net_sizes import NETS
    from refimpl.centring.nets import build
    from refimpl.centring.splits import Split, load_split, split_crystals
    from refimpl.centring.targets import Target, fit_target

__all__ = [
    "NETS",
    "CropRule",
    "Split",
    "Target",
    "build",
    "fit_target",
    "load_split",
    "prepared",
    "split_crystals",
]

_HOME = {
    "CropRule": "refimpl.centring.crops",
    "NETS": "refimpl.centring.net_sizes",
    "Split": "refimpl.centring.splits",
    "Target": "refimpl.centring.targets",
    "build": "refimpl.centring.nets",
    "fit_target": "refimpl.centring.targets",
    "load_split": "refimpl.centring.splits",
    "prepared": "refimpl.centring.crops",
    "split_crystals": "refimpl.centring.splits",
}

__getattr__ = lazy_names(__name__, _HOME)
