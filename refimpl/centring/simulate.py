"""Simulated photographs of loops and crystals, with the reflection counts at every point.

``scene(seed)`` is one sample; ``Scene.picture`` and ``Scene.rc_map`` look at it; ``samples`` makes
crops with counts for training. numpy, scipy and Pillow only. The pictures hold what misleads a net
that looks for the wrong thing: glare on the loop as on the crystal, dust, bubbles, uneven light,
empty loops, crystals at the rim, views beside the crystal.
"""

from __future__ import annotations

from refimpl.centring.simulate_crystal import BACKGROUND, BEAM_FWHM_UM
from refimpl.centring.simulate_samples import Crops, samples, scene_seed
from refimpl.centring.simulate_scene import Scene, scene
from refimpl.centring.simulate_view import SHAPE, SIDES, View, crop_rule, px_per_um

__all__ = [
    "BACKGROUND",
    "BEAM_FWHM_UM",
    "SHAPE",
    "SIDES",
    "Crops",
    "Scene",
    "View",
    "crop_rule",
    "px_per_um",
    "samples",
    "scene",
    "scene_seed",
]
