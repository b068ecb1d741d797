"""Near-field diffraction microscopy: images of a polycrystal to a map of orientations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refimpl.lazy import lazy_names

if TYPE_CHECKING:
    from refimpl.io.mic import MicTable, read_mic, write_mic
    from refimpl.io.nearfield_params import read_nearfield_params
    from refimpl.nearfield.blind import BlindSettings, blind_search
    from refimpl.nearfield.calibrate import calibrate
    from refimpl.nearfield.calibrate_parameters import CalibrateSettings
    from refimpl.nearfield.compare import MapComparison, compare_maps
    from refimpl.nearfield.config import (
        config_from,
        config_of_params,
        config_toml,
        read_config,
        setup_of,
    )
    from refimpl.nearfield.fit_settings import FitSettings, SearchSettings, settings_of
    from refimpl.nearfield.grid import (
        grid_of,
        hex_grid,
        masked_by_box,
        masked_by_image,
        square_grid,
    )
    from refimpl.nearfield.images import process_images
    from refimpl.nearfield.maps import NearfieldMap
    from refimpl.nearfield.outputs import read_map, save
    from refimpl.nearfield.reconstruct import reconstruct
    from refimpl.nearfield.search import search
    from refimpl.nearfield.seeds import published_seeds, random_seeds, seeds_of, uniform_seeds
    from refimpl.nearfield.settings import NearfieldConfig

__all__ = [
    "BlindSettings",
    "CalibrateSettings",
    "FitSettings",
    "MapComparison",
    "MicTable",
    "NearfieldConfig",
    "NearfieldMap",
    "SearchSettings",
    "blind_search",
    "calibrate",
    "compare_maps",
    "config_from",
    "config_of_params",
    "config_toml",
    "grid_of",
    "hex_grid",
    "masked_by_box",
    "masked_by_image",
    "process_images",
    "published_seeds",
    "random_seeds",
    "read_config",
    "read_map",
    "read_mic",
    "read_nearfield_params",
    "reconstruct",
    "save",
    "search",
    "seeds_of",
    "settings_of",
    "setup_of",
    "square_grid",
    "uniform_seeds",
    "write_mic",
]

_HOME = {
    "BlindSettings": "refimpl.nearfield.blind",
    "CalibrateSettings": "refimpl.nearfield.calibrate_parameters",
    "FitSettings": "refimpl.nearfield.fit_settings",
    "MapComparison": "refimpl.nearfield.compare",
    "MicTable": "refimpl.io.mic",
    "NearfieldConfig": "refimpl.nearfield.settings",
    "NearfieldMap": "refimpl.nearfield.maps",
    "SearchSettings": "refimpl.nearfield.fit_settings",
    "blind_search": "refimpl.nearfield.blind",
    "calibrate": "refimpl.nearfield.calibrate",
    "compare_maps": "refimpl.nearfield.compare",
    "config_from": "refimpl.nearfield.config",
    "config_of_params": "refimpl.nearfield.config",
    "config_toml": "refimpl.nearfield.config",
    "grid_of": "refimpl.nearfield.grid",
    "hex_grid": "refimpl.nearfield.grid",
    "masked_by_box": "refimpl.nearfield.grid",
    "masked_by_image": "refimpl.nearfield.grid",
    "process_images": "refimpl.nearfield.images",
    "published_seeds": "refimpl.nearfield.seeds",
    "random_seeds": "refimpl.nearfield.seeds",
    "read_config": "refimpl.nearfield.config",
    "read_map": "refimpl.nearfield.outputs",
    "read_mic": "refimpl.io.mic",
    "read_nearfield_params": "refimpl.io.nearfield_params",
    "reconstruct": "refimpl.nearfield.reconstruct",
    "save": "refimpl.nearfield.outputs",
    "search": "refimpl.nearfield.search",
    "seeds_of": "refimpl.nearfield.seeds",
    "settings_of": "refimpl.nearfield.fit_settings",
    "setup_of": "refimpl.nearfield.config",
    "square_grid": "refimpl.nearfield.grid",
    "uniform_seeds": "refimpl.nearfield.seeds",
    "write_mic": "refimpl.io.mic",
}

__getattr__ = lazy_names(__name__, _HOME)
