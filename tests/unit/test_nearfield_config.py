"""Configurations of near-field runs: from published files, as TOML, into the physics."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refimpl.crystal.hkls_csv import read_hkls_csv
from refimpl.errors import ConfigError, GeometryError
from refimpl.io.nearfield_params import NearfieldParams, read_nearfield_params
from refimpl.nearfield.config import (
    config_from,
    config_of_params,
    config_toml,
    layer_position_um,
    read_config,
    setting_names,
    setup_of,
)
from refimpl.nearfield.settings import NearfieldConfig
from refimpl.units import DEG

PARAMS = NearfieldParams({
    "Wavelength": 0.172979, "SpaceGroup": 225, "LatticeParameter": (4.08, 4.08, 4.08, 90, 90, 90),
    "MaxRingRad": 2800.0, "Lsd": (8289.0, 10290.0), "BC": ((985.4, 17.5), (985.2, 24.5)),
    "px": 1.48, "OmegaStart": 180.0, "OmegaStep": -0.25, "StartNr": 0, "EndNr": 1439,
    "OmegaRange": ((-180.0, 180.0),), "BoxSize": ((-1200.0, 1200.0, 100.0, 2500.0),),
})  # fmt: skip


def _with(**values: object) -> NearfieldParams:
    return NearfieldParams({**PARAMS.given, **values})  # type: ignore[dict-item]


def test_the_setup_of_the_published_example(real_data: Callable[[str], Path]) -> None:
    setup = setup_of(read_nearfield_params(real_data("nearfield-golden/ps_au.txt")))
    # um to mm by division: exact or nearest
    assert setup.detector.lsd_mm.tolist() == [8289.154576 / 1000.0, 10290.724494 / 1000.0]
    assert setup.detector.beam_centre_px.tolist() == [
        [985.415831, 17.510494],
        [985.161497, 24.51121],
    ]
    np.testing.assert_allclose(setup.detector.tilts_rad, np.radians([0.536238, 0.557035, 0.474936]))
    assert setup.detector.pixel_size_mm == 0.00148
    assert setup.detector.shape_px == (2048, 2048)
    assert (setup.scan.start_rad, setup.scan.n_frames) == (np.pi, 1440)
    assert setup.scan.step_rad == -0.25 * DEG
    assert setup.scan.boxes_mm.tolist() == [[-1.2, 1.2, 0.1, 2.5]]
    np.testing.assert_allclose(setup.scan.ranges_rad, [[-np.pi, np.pi]])
    assert setup.scan.exclude_pole_rad == 6.0 * DEG
    assert (setup.space_group, setup.wavelength_angstrom) == (225, 0.172979)


def test_the_published_reflections(real_data: Callable[[str], Path]) -> None:
    """Golden au_hkls.csv: 258 rows as a set, values to 1e-12."""
    setup = setup_of(read_nearfield_params(real_data("nearfield-golden/ps_au.txt")))
    golden = read_hkls_csv(real_data("nearfield-golden/au_hkls.csv"))
    ours, theirs = np.lexsort(setup.reflections.hkl.T), np.lexsort(golden.hkl.T)
    assert len(ours) == len(theirs) == 258
    np.testing.assert_array_equal(setup.reflections.hkl[ours], golden.hkl[theirs])
    np.testing.assert_array_equal(setup.reflections.ring[ours], golden.ring[theirs])
    np.testing.assert_allclose(setup.reflections.g[ours], golden.g[theirs], atol=1e-12)
    np.testing.assert_allclose(
        setup.reflections.theta_rad[ours], golden.theta_rad[theirs], atol=1e-12
    )
    read = setup_of(PARAMS, golden)
    np.testing.assert_array_equal(read.reflections.g, golden.g)


def test_rings_are_picked_in_their_order() -> None:
    reflections = setup_of(_with(RingsToUse=(2, 1))).reflections
    assert reflections.ring.tolist() == [2] * 6 + [1] * 8
    with pytest.raises(ConfigError, match="ring 99"):
        setup_of(_with(RingsToUse=(99,)))


def test_every_setting_of_a_published_file() -> None:
    params = _with(
        tx=0.5, NrPixelsZ=1024, SaveNSolutions=4,
        NearestMisorientation=5.0, GridSize=2.5, GridMask=(-10.0, 10.0, -20.0, 20.0), Wedge=0.5,
        BCTol=(3.0, 1.0), LsdTol=200.0, PhaseNr=2,
        NumPhases=2, GBAngle=4.0, MinMisoNSaves=2.0, MinFracAccept=0.1,
    )  # fmt: skip
    c = config_of_params(params)
    assert c.detector.tilts_deg == (0.5, 0.0, 0.0)
    assert c.detector.shape_px == (2048, 1024)
    assert (c.search.n_solutions, c.search.nearest_misorientation_deg) == (4, 5.0)
    assert (c.search.min_solution_deg, c.search.min_confidence) == (2.0, 0.1)
    assert (c.grid.grid_size_mm, c.grid.edge_mm) == (0.0025, 0.0025)
    assert c.grid.grid_mask_mm == (-0.01, 0.01, -0.02, 0.02)
    assert (c.scan.wedge_deg, c.scan.published_wedge) == (0.5, False)
    assert (c.calibration.beam_centre_tol_px, c.calibration.lsd_tol_mm) == ((3.0, 1.0), 0.2)
    assert (c.crystal.phase, c.output.grain_boundary_deg) == (2, 4.0)


def test_a_grid_file_counts_where_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "ps.txt").write_text("GridFileName g.txt\n")
    params = NearfieldParams({**PARAMS.given, "GridFileName": "g.txt"}, tmp_path / "ps.txt")
    assert config_of_params(params).grid.grid_file is None
    (tmp_path / "g.txt").write_text("0\n")
    assert config_of_params(params).grid.grid_file == str(tmp_path / "g.txt")


def test_missing_keys_are_all_named() -> None:
    params = NearfieldParams({k: v for k, v in PARAMS.given.items() if k not in ("px", "EndNr")})
    with pytest.raises(ConfigError, match="missing keys: px, EndNr"):
        config_of_params(params)
    config = config_of_params(params, {"pixel_size_mm": 0.002, "n_frames": 90})
    assert (config.detector.pixel_size_mm, config.scan.n_frames) == (0.002, 90)


def test_layers_are_counted_from_the_first() -> None:
    assert layer_position_um(NearfieldParams()) == 0.0
    layers = NearfieldParams({"GlobalPositionFirstLayer": 10.0, "LayerThickness": 2.0})
    assert layer_position_um(layers, 4) == 16.0
    assert layer_position_um(NearfieldParams({"GlobalPosition": 7.0, "LayerThickness": 2.0})) == 7.0


def test_toml_comes_back(tmp_path: Path) -> None:
    config = config_of_params(PARAMS)
    (tmp_path / "nf.toml").write_text(config_toml(config))
    assert read_config(tmp_path / "nf.toml") == config
    other = read_config(tmp_path / "nf.toml", {"wedge_deg": 0.5})
    assert other.scan.wedge_deg == 0.5
    assert config_from({"wedge_deg": 0.0}, base=other) == config
    assert setting_names()["wedge_deg"] == "scan"


def test_settings_that_are_none(tmp_path: Path) -> None:
    config = config_of_params(PARAMS)
    with pytest.raises(ConfigError, match=r"unknown setting 'wegde_deg'; did you mean 'wedge_deg'"):
        config_from({"wegde_deg": 1.0}, base=config)
    with pytest.raises(ConfigError, match=r"scan\.wedge_deg: .*less than 90.*got 95\.0"):
        config_from({"wedge_deg": 95.0}, base=config)
    with pytest.raises(ConfigError, match="wavelength_angstrom: missing: give it"):
        config_from({})
    text = config_toml(config).replace("n_frames = 1440", "n_frames = 0")
    (tmp_path / "nf.toml").write_text(text)
    line = text.splitlines().index("n_frames = 0") + 1
    with pytest.raises(ConfigError, match=rf"nf\.toml:{line}: scan\.n_frames: .*got 0"):
        read_config(tmp_path / "nf.toml")


def test_every_setting_has_help() -> None:
    for table in NearfieldConfig.model_fields.values():
        for name, field in getattr(table.annotation, "model_fields", {}).items():
            assert field.description, name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beam_centre_px": ((1.0, 2.0),)}, "2 lsd_mm and 1 beam_centre_px: they go in pairs"),
        ({"boxes_mm": ()}, "1 omega_ranges_deg and 0 boxes_mm: they go in pairs"),
        ({"omega_start_deg": 0.0}, "frames from omega 0 to -360 degrees: spots have omega from"),
    ],
)
def test_settings_that_contradict(change: dict[str, object], message: str) -> None:
    config = config_from(change, base=config_of_params(PARAMS))
    with pytest.raises(ConfigError, match=re.escape(message)):
        setup_of(config)


def test_impossible_geometry() -> None:
    config = config_from({"lsd_mm": (8.0, -1.0)}, base=config_of_params(PARAMS))
    with pytest.raises((GeometryError, ConfigError), match="positive"):
        setup_of(config)
