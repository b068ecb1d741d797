"""Configurations of near-field runs: read, written, made from published files, and made use of.

A published parameter file becomes a configuration in :func:`config_of_params`, where micrometres
turn into millimetres; :func:`setup_of` makes what the physics takes, where degrees turn into
radians. The settings are in :mod:`refimpl.nearfield.settings`. Keys for a coarse-to-fine run stay
with the parameter file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refimpl.crystal.hkls_csv import HklTable, nearfield_hkls
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import NearfieldDetector, OmegaScan, Reflections, Setup
from refimpl.io.nearfield_params import NearfieldParams
from refimpl.io.settings_files import SettingsFile
from refimpl.nearfield.settings import NearfieldConfig
from refimpl.units import DEG

__all__ = ["NearfieldConfig", "config_from", "config_of_params", "config_toml", "read_config"]
__all__ += ["layer_position_um", "published_key", "setting_names", "setup_of"]


_FILE = SettingsFile(NearfieldConfig)
setting_names, config_from, read_config, config_toml = _FILE.names, _FILE.of, _FILE.read, _FILE.toml

_UM_PER_MM = 1000.0  # divided by, not 1e-3 times: exact wherever the quotient is

# setting: key of the published file, what it is divided by to be in the setting's unit
_KEYS: dict[str, tuple[str, float]] = {
    "wavelength_angstrom": ("Wavelength", 1.0),
    "space_group": ("SpaceGroup", 1.0),
    "cell": ("LatticeParameter", 1.0),
    "max_ring_radius_mm": ("MaxRingRad", _UM_PER_MM),
    "rings": ("RingsToUse", 1.0),
    "phase": ("PhaseNr", 1.0),
    "n_phases": ("NumPhases", 1.0),
    "lsd_mm": ("Lsd", _UM_PER_MM),
    "beam_centre_px": ("BC", 1.0),
    "pixel_size_mm": ("px", _UM_PER_MM),
    "omega_start_deg": ("OmegaStart", 1.0),
    "omega_step_deg": ("OmegaStep", 1.0),
    "omega_ranges_deg": ("OmegaRange", 1.0),
    "boxes_mm": ("BoxSize", _UM_PER_MM),
    "exclude_pole_deg": ("ExcludePoleAngle", 1.0),
    "wedge_deg": ("Wedge", 1.0),
    "grid_size_mm": ("GridSize", _UM_PER_MM),
    "sample_radius_mm": ("Rsample", _UM_PER_MM),
    "edge_mm": ("EdgeLength", _UM_PER_MM),
    "tomo_pixel_mm": ("TomoPixelSize", _UM_PER_MM),
    "grid_mask_mm": ("GridMask", _UM_PER_MM),
    "min_confidence": ("MinFracAccept", 1.0),
    "orient_tol_deg": ("OrientTol", 1.0),
    "n_solutions": ("SaveNSolutions", 1.0),
    "min_solution_deg": ("MinMisoNSaves", 1.0),
    "nearest_misorientation_deg": ("NearestMisorientation", 1.0),
    "grain_boundary_deg": ("GBAngle", 1.0),
    "lsd_tol_mm": ("LsdTol", _UM_PER_MM),
    "lsd_relative_tol_mm": ("LsdRelativeTol", _UM_PER_MM),
    "beam_centre_tol_px": ("BCTol", 1.0),
    "tilts_tol_deg": ("TiltsTol", 1.0),
    "iterations": ("NumIterations", 1.0),
}
_NEEDED: tuple[str, ...] = (
    "wavelength_angstrom",
    "space_group",
    "cell",
    "max_ring_radius_mm",
    "lsd_mm",
)
_NEEDED += ("beam_centre_px", "pixel_size_mm", "omega_start_deg", "omega_step_deg")
_PATHS = {
    "tomo_image": "TomoImage",
    "seeds": "SeedOrientations",
    "grains": "GrainsFile",
}


def published_key(name: str) -> str:
    """Key of the published file that a setting is read from; other names as they are."""
    return _KEYS[name][0] if name in _KEYS else name


def _divided(value: Any, by: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_divided(item, by) for item in value)
    return value if by == 1.0 else value / by


def config_of_params(
    params: NearfieldParams, settings: Mapping[str, Any] | None = None
) -> NearfieldConfig:
    """Configuration of a published parameter file.

    Parameters
    ----------
    params
        The file.
    settings
        Flat settings that win over the file's; what they give need not stand in it.

    Raises
    ------
    ConfigError
        Keys are missing (they are all named), a value is out of range.
    """
    over = dict(settings or {})
    frames = () if "n_frames" in over else ("StartNr", "EndNr")
    params.require(*(_KEYS[name][0] for name in _NEEDED if name not in over), *frames)
    flat: dict[str, Any] = {
        name: _divided(params[key], by)
        for name, (key, by) in _KEYS.items()
        if params[key] is not None
    }
    flat["tilts_deg"] = tuple(params.number(name) for name in ("tx", "ty", "tz"))
    flat["shape_px"] = (int(params.number("NrPixelsY")), int(params.number("NrPixelsZ")))
    flat |= {name: str(path) for name, key in _PATHS.items() if (path := params.file(key))}
    grid_file = params.file("GridFileName") if "GridFileName" in params else None
    if grid_file is not None and grid_file.exists():  # else it is where the grid is written
        flat["grid_file"] = str(grid_file)
    if frames:
        flat["n_frames"] = params.n_frames
    return config_from(flat | over)


def layer_position_um(params: NearfieldParams, layer: int = 1) -> float:
    """Height of a layer [um]: GlobalPosition, or counted from the first layer in thicknesses."""
    if "GlobalPosition" in params:
        return params.number("GlobalPosition")
    first, step = params.number("GlobalPositionFirstLayer"), params.number("LayerThickness")
    return first + (layer - 1) * step


def setup_of(source: NearfieldConfig | NearfieldParams, hkls: HklTable | None = None) -> Setup:
    """What the physics takes: mm, rad, angstrom, px.

    Parameters
    ----------
    source
        A configuration or a published parameter file.
    hkls
        Reflections of an ``hkls.csv``; None: computed. The rings of the configuration are picked
        from them.

    Raises
    ------
    ConfigError
        Keys are missing; numbers of distances and beam centres differ; ranges of omega and boxes
        do not pair; a ring that is not there.
    GeometryError
        A geometry is impossible.
    """
    config = config_of_params(source) if isinstance(source, NearfieldParams) else source
    crystal, detector, scan = config.crystal, config.detector, config.scan
    for one, other, n, m in (
        ("lsd_mm", "beam_centre_px", len(detector.lsd_mm), len(detector.beam_centre_px)),
        ("omega_ranges_deg", "boxes_mm", len(scan.omega_ranges_deg), len(scan.boxes_mm)),
    ):
        if n != m:
            raise ConfigError(f"{n} {one} and {m} {other}: they go in pairs", key=other)
    ends = (scan.omega_start_deg, scan.omega_start_deg + scan.omega_step_deg * scan.n_frames)
    if min(ends) < -180.0 - 1e-6 or max(ends) > 180.0 + 1e-6:
        raise ConfigError(
            f"frames from omega {ends[0]:g} to {ends[1]:g} degrees: spots have omega from -180 to "
            "180, those of frames beyond would be lost; start the scan within, a full turn at "
            "-180 or 180 (move the seeds and the map by the same turn)",
            key="omega_start_deg",
        )
    table = hkls or nearfield_hkls(
        crystal.cell,
        crystal.space_group,
        config.beam.wavelength_angstrom,
        detector.lsd_mm[-1],
        crystal.max_ring_radius_mm,
    )
    if crystal.rings:
        table = table.of_rings(crystal.rings)
    return Setup(
        NearfieldDetector(
            lsd_mm=np.array(detector.lsd_mm),
            beam_centre_px=np.array(detector.beam_centre_px),
            tilts_rad=np.array(detector.tilts_deg) * DEG,
            pixel_size_mm=detector.pixel_size_mm,
            shape_px=detector.shape_px,
        ),
        OmegaScan(
            start_rad=scan.omega_start_deg * DEG,
            step_rad=scan.omega_step_deg * DEG,
            n_frames=scan.n_frames,
            ranges_rad=np.array(scan.omega_ranges_deg) * DEG,
            boxes_mm=np.array(scan.boxes_mm),
            exclude_pole_rad=scan.exclude_pole_deg * DEG,
            wedge_rad=scan.wedge_deg * DEG,
            published_wedge=scan.published_wedge,
        ),
        Reflections.of_table(table),
        config.beam.wavelength_angstrom,
        crystal.space_group,
        crystal.cell,
    )
