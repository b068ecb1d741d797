"""Every key of the near-field parameter file acts, is said to have no effect, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from refimpl.errors import ConfigError
from refimpl.io.nearfield_keys import NEARFIELD_KEYS
from refimpl.io.nearfield_params import NearfieldParams, read_nearfield_params
from refimpl.nearfield.config import config_of_params
from refimpl.nearfield.example import EXAMPLE

ROOT = Path(__file__).parents[2]
HERE = "tests/unit/test_nearfield_parameters_page.py"
ACTS = f"{HERE}::test_a_key_changes_the_run"
NO_EFFECT = f"{HERE}::test_a_key_without_effect_is_said"
REFUSED = f"{HERE}::test_a_key_of_another_program_is_refused"
CLI = "tests/cli/test_nearfield.py::"
IMAGES = "tests/unit/test_nearfield_images.py::"
IMAGE_FILES = "tests/unit/test_nearfield_image_files.py::"
PEAKS = "tests/unit/test_peak_images.py::"
CONFIG = "tests/unit/test_nearfield_config.py::"
GRID = "tests/unit/test_nearfield_grid.py::"
PARAMS = "tests/unit/test_io_nearfield_params.py::"
LOOPS = "tests/cli/test_nearfield_multires.py::"

CHANGES: dict[str, Any] = {
    "Lsd": (3100.0, 4500.0), "BC": ((250.0, 10.4), (256.1, 12.7)), "px": 2.1,
    "NrPixels": 513, "NrPixelsY": 500, "NrPixelsZ": 500, "tx": 1.0, "ty": 1.0, "tz": 1.0,
    "StartNr": 1, "EndNr": 10, "SpaceGroup": 229,
    "LatticeParameter": (4.1, 4.1, 4.1, 90.0, 90.0, 90.0), "Wavelength": 0.2, "MaxRingRad": 700.0,
    "RingsToUse": (2, 1), "NumPhases": 2, "PhaseNr": 2, "OmegaStart": -80.0, "OmegaStep": 0.25,
    "OmegaRange": ((-80.0, 90.0),), "BoxSize": ((-400.0, 450.0, 20.0, 900.0),),
    "ExcludePoleAngle": 7.0, "Wedge": 0.5, "GridSize": 5.0, "EdgeLength": 3.0, "Rsample": 50.0,
    "TomoImage": "t.bin", "TomoPixelSize": 2.0, "GridMask": (0.0, 1.0, 0.0, 1.0),
     "SeedOrientations": "s.txt", "GrainsFile": "g.csv",
    "MinFracAccept": 0.3, "OrientTol": 1.0, "SaveNSolutions": 2, "MinMisoNSaves": 2.0,
    "NearestMisorientation": 3.0,
     "GBAngle": 4.0, "LsdTol": 100.0,
    "LsdRelativeTol": 5.0, "BCTol": (1.0, 1.0), "TiltsTol": 0.5, "NumIterations": 7,
}  # fmt: skip
"""Another value of each key that becomes a setting."""

ELSEWHERE = {
    "DataDirectory": f"{PARAMS}test_paths_are_from_the_folder_of_the_run",
    "OutputDirectory": f"{PARAMS}test_paths_are_from_the_folder_of_the_run",
    "OrigFileName": f"{IMAGE_FILES}test_numbers_of_the_images",
    "ReducedFileName": f"{IMAGES}test_published_files",
    "extOrig": f"{CLI}test_numbered_images",
    "extReduced": f"{IMAGES}test_published_files",
    "RawStartNr": f"{IMAGE_FILES}test_numbers_of_the_images",
    "NrFilesPerDistance": f"{IMAGE_FILES}test_numbers_of_the_images",
    "WFImages": f"{IMAGE_FILES}test_numbers_of_the_images",
    "Ice9Input": f"{PEAKS}test_ice9input_in_a_parameter_file",
    "nDistances": "tests/cli/test_nearfield_bad_input.py::test_too_few_lines_of_lsd_or_bc",
    "SGNr": f"{PARAMS}test_fault_10_symmetry_of_grain_maps_is_that_of_the_space_group",
    "GridFileName": f"{CONFIG}test_a_grid_file_counts_where_it_is_there",
    "TomoImage": f"{GRID}test_an_image_goes_before_a_box",
    "TomoPixelSize": f"{GRID}test_an_image_goes_before_a_box",
    "GridMask": f"{GRID}test_a_box_keeps_its_border",
    "GridPoints": f"{GRID}test_grid_points_are_rows_of_a_map",
    "BlanketSubtraction": f"{IMAGES}test_filters_of_a_parameter_file",
    "MedFiltRadius": f"{IMAGES}test_filters_of_a_parameter_file",
    "DoLoGFilter": f"{IMAGES}test_filters_of_a_parameter_file",
    "LoGMaskRadius": f"{IMAGES}test_filters_of_a_parameter_file",
    "GaussFiltRadius": f"{IMAGES}test_filters_of_a_parameter_file",
    "WriteFinImage": f"{IMAGES}test_published_files",
    "Deblur": f"{HERE}::test_deblur_writes_the_reduced_images",
    "SeedOrientations": f"{CLI}test_published_switches",
    "GrainsFile": f"{CLI}test_published_switches",
    "NrOrientations": f"{CLI}test_published_switches",
    "GridRefactor": f"{LOOPS}test_every_file_of_the_output_map",
    "SeedOrientationsAll": f"{LOOPS}test_bad_points_are_searched_with_all_seeds",
    "MaxAngle": "tests/cli/test_nearfield_multires_options.py::"
    "test_max_angle_says_what_one_grain_is",
    "MicFileBinary": f"{CLI}test_the_map_has_all_its_files",
    "MicFileText": f"{CLI}test_the_map_has_all_its_files",
    "GlobalPosition": f"{CONFIG}test_layers_are_counted_from_the_first",
    "GlobalPositionFirstLayer": f"{CONFIG}test_layers_are_counted_from_the_first",
    "LayerThickness": f"{CONFIG}test_layers_are_counted_from_the_first",
    "MinConfidence": "tests/cli/test_nearfield_bad_input.py::test_a_sample_that_lights_nothing",
    "OnlySpotsInfo": f"{CLI}test_an_example_is_made",
    "WriteImage": f"{CLI}test_no_images_where_none_are_asked_for",
}
"""Test of each key that is no setting, or that something beyond its setting hangs on."""

NOTES = {
    "NrOrientations": "checked; where it is not the number of lines, the lines count and a note "
    "says so",
    "MinConfidence": "`simulate` leaves weaker voxels out, `view` does not show them; a "
    "coarse-to-fine run fits them again",
    "extOrig": "also h5, hdf5, zarr and zip: one file for the frames of all distances",
    "GridFileName": "where the file states it, read if it exists; `refimpl nearfield grid` and "
    "coarse-to-fine runs write it, and do not read it",
    "GridRefactor": "coarse to fine: StartingGridSize ScalingFactor NumLoops; GridSize does not "
    "count then, EdgeLength stays as it is",
    "SeedOrientationsAll": "all candidates, for the bad points of a coarse-to-fine run; another "
    "file than SeedOrientations",
    "MaxAngle": "points nearer than this are one grain, of coarse-to-fine runs and "
    "`refimpl nearfield grains`",
    "SGNr": "symmetry of the maps of grains; without it SpaceGroup, not 225",
}


def shown_by(name: str) -> str:
    """Test that shows what becomes of a key."""
    key = NEARFIELD_KEYS[name]
    if key.refused:
        return REFUSED
    if key.unused:
        return NO_EFFECT
    return ELSEWHERE.get(name, ACTS)


def markdown_table() -> str:
    """The table of the page, made of the registry."""
    lines = ["| Key | Default | Unit | What it does | Test |", "| :-- | :-- | :-- | :-- | :-- |"]
    for name, key in NEARFIELD_KEYS.items():
        if key.refused:
            continue
        default = f"that of {key.default_key}" if key.default_key else _shown(key.default)
        what = NOTES.get(name, f"no effect: {key.unused}" if key.unused else key.help)
        what = what[0].lower() + what[1:] if name in NOTES else what
        spelling = "`, `".join((name, *key.aliases))
        lines.append(f"| `{spelling}` | {default} | {key.unit} | {what} | `{shown_by(name)}` |")
    refused: dict[str, list[str]] = {}
    for name, key in NEARFIELD_KEYS.items():
        if key.refused:
            refused.setdefault(key.refused, []).append(f"`{name}`")
    lines += ["", "Refused by name:", ""]
    lines += [f"- {', '.join(names)}: {why}." for why, names in refused.items()]
    return "\n".join([*lines, "", f"Test of all of these: `{REFUSED}`.", ""])


def _shown(default: object) -> str:
    if default is None or default == ():
        return "none"
    return f"{default:g}" if isinstance(default, float) else str(default)


@pytest.mark.parametrize("name", CHANGES)
def test_a_key_changes_the_run(name: str) -> None:
    needs = {"TomoImage": {"TomoPixelSize": 1.0}, "PhaseNr": {"NumPhases": 2}}
    base = EXAMPLE | needs.get(name, {})
    before = config_of_params(NearfieldParams(base, Path("a/ps.txt")))
    after = config_of_params(NearfieldParams(base | {name: CHANGES[name]}, Path("a/ps.txt")))
    assert before != after


@pytest.mark.parametrize("name", [n for n, k in NEARFIELD_KEYS.items() if k.unused])
def test_a_key_without_effect_is_said(name: str) -> None:
    assert name in NearfieldParams({name: 1}).unused()
    assert name not in NearfieldParams({}).unused()


@pytest.mark.parametrize("name", [n for n, k in NEARFIELD_KEYS.items() if k.refused])
def test_a_key_of_another_program_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "ps.txt").write_text(f"px 1.48\n{name} 1\n")
    with pytest.raises(ConfigError, match=rf"ps\.txt:2: .*{name}"):
        read_nearfield_params(tmp_path / "ps.txt")


def test_deblur_writes_the_reduced_images(tmp_path: Path) -> None:
    from refimpl.nearfield.image_files import plan_of

    base = EXAMPLE | {"DataDirectory": str(tmp_path)}
    for extra, wanted in (({}, False), ({"Deblur": 1}, True), ({"WriteFinImage": 1}, True)):
        assert plan_of(NearfieldParams(base | extra)).write_images is wanted


def test_every_key_has_a_test() -> None:
    for name in NEARFIELD_KEYS:
        file, function = shown_by(name).split("::")
        assert f"def {function}(" in (ROOT / file).read_text(), (name, file, function)
        if shown_by(name) == ACTS:
            assert name in CHANGES


def test_the_page_of_the_docs_is_the_table() -> None:
    page = (ROOT / "docs" / "nearfield-parameters.md").read_text()
    assert page.endswith(markdown_table()), "write docs/nearfield-parameters.md anew"
    assert "nearfield-parameters" in (ROOT / "docs/howto/index.md").read_text()
