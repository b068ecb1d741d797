"""Layers of a volume: where the files of each go, and the parameter file that it has.

As the published driver: folder ``LayerNr_n`` of the results, in it a copy of the parameter file
whose OutputDirectory is that folder and whose RawStartNr is that of the layer. So a layer can be
looked at, or done again, by itself. Paths are absolute in the copy, because it lies elsewhere.
Not here: how a layer is reconstructed; that all layers share one folder of blocks, and one ledger,
is the command's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refimpl.errors import ConfigError
from refimpl.io.nearfield_params import NearfieldParams
from refimpl.nearfield.config import layer_position_um
from refimpl.nearfield.image_files import files_per_distance

__all__ = ["layer_folder", "layer_numbers", "layer_params"]

_INPUTS = ("SeedOrientations", "SeedOrientationsAll", "GrainsFile", "TomoImage")


def layer_numbers(first: int | None, last: int | None) -> range:
    """Layers from the first to the last, by default one: the first.

    Raises
    ------
    ConfigError
        The last is before the first.
    """
    start = 1 if first is None else first
    end = start if last is None else last
    if end < start:
        raise ConfigError(
            f"-endLayerNr {end} is before -startLayerNr {start}", key="endLayerNr", got=end
        )
    return range(start, end + 1)


def layer_folder(root: Path, layer: int) -> Path:
    """Folder of a layer."""
    return root / f"LayerNr_{layer}"


def layer_params(params: NearfieldParams, layer: int, folder: Path) -> NearfieldParams:
    """Parameters of one layer, as if it were the only one.

    Parameters
    ----------
    params
        Those of the volume.
    layer
        From 1.
    folder
        Of the layer's results.

    Returns
    -------
    Its lines are those of the volume's file, for messages.

    Raises
    ------
    ConfigError
        A key is missing; files of Ice9, whose names have no layer.
    """
    if params["Ice9Input"] and layer != 1:
        raise params.refuse("Ice9Input", "Ice9Input reads peak files, which have no layers")
    base = (Path(".") if params.path is None else params.path.parent).resolve()
    per_layer = params.n_distances * (files_per_distance(params) + int(params.number("WFImages")))
    change: dict[str, Any] = {
        "DataDirectory": str(base / str(params["DataDirectory"] or ".")),
        "OutputDirectory": str(folder.resolve()),
        "RawStartNr": int(params.number("RawStartNr")) + (layer - 1) * per_layer,
    }
    change |= {name: str(_absolute(params, name)) for name in _INPUTS if name in params}
    change |= {
        name: Path(str(params[name])).name
        for name in ("MicFileText", "MicFileBinary") if name in params
    }  # fmt: skip
    if "GridFileName" in params and _absolute(params, "GridFileName").exists():
        change["GridFileName"] = str(_absolute(params, "GridFileName"))  # it is read
    if "GlobalPosition" not in params:
        change["GlobalPositionFirstLayer"] = layer_position_um(params, layer)
    given: Mapping[str, Any] = {**params.given, **change}
    return NearfieldParams(given, params.path, params.lines)


def _absolute(params: NearfieldParams, name: str) -> Path:
    path = params.file(name)
    assert path is not None  # the caller looks
    return path.resolve()
