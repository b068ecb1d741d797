"""Crystal centring: where to aim the beam, by a net that was taught reflection counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refimpl.lazy import lazy_names

if TYPE_CHECKING:
    from refimpl.centring.crops import CropRule, prepared
    from refimpl.centring.datasets import open_samples
    from refimpl.centring.modules import load_regressor
    from refimpl.centring.net_sizes import NETS
    from refimpl.centring.nets import build
    from refimpl.centring.samples import Samples
    from refimpl.centring.splits import Split, load_split, split_crystals
    from refimpl.centring.targets import Target, fit_target
    from refimpl.centring.training import train
    from refimpl.centring.training_settings import TrainingSettings

__all__ = [
    "NETS",
    "CropRule",
    "Samples",
    "Split",
    "Target",
    "TrainingSettings",
    "build",
    "fit_target",
    "load_regressor",
    "load_split",
    "open_samples",
    "prepared",
    "split_crystals",
    "train",
]

_HOME = {
    "CropRule": "refimpl.centring.crops",
    "NETS": "refimpl.centring.net_sizes",
    "Samples": "refimpl.centring.samples",
    "Split": "refimpl.centring.splits",
    "Target": "refimpl.centring.targets",
    "TrainingSettings": "refimpl.centring.training_settings",
    "build": "refimpl.centring.nets",
    "fit_target": "refimpl.centring.targets",
    "load_regressor": "refimpl.centring.modules",
    "load_split": "refimpl.centring.splits",
    "open_samples": "refimpl.centring.datasets",
    "prepared": "refimpl.centring.crops",
    "split_crystals": "refimpl.centring.splits",
    "train": "refimpl.centring.training",
}

__getattr__ = lazy_names(__name__, _HOME)
