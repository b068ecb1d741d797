"""Near-field parameter files: every key known, every contradiction named with its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.io.nearfield_keys import NEARFIELD_KEYS, find_nearfield_key
from refimpl.io.nearfield_params import (
    NearfieldParams,
    read_nearfield_params,
    write_nearfield_params,
)

# Section 4 of the manual, version 7.0.
MANUAL = """DataDirectory ReducedFileName StartNr EndNr nDistances Lsd BC px Wavelength SpaceGroup
    LatticeParameter OmegaStart OmegaStep OmegaRange BoxSize ExcludePoleAngle GridSize MaxRingRad
    OrientTol MinFracAccept MicFileBinary MicFileText SeedOrientations tx ty tz GridRefactor
    SeedOrientationsAll MinConfidence MaxAngle RingsToUse SaveNSolutions Wedge Ice9Input
    NearestMisorientation TomoImage TomoPixelSize GridMask GrainsFile GridFileName GridPoints"""
# Sections 1.2 to 1.13 and 2 of the specification, beside these.
SPEC = """LatticeConstant RhoD Rsample EdgeLength OutputDirectory NrOrientations OrigFileName
    extOrig extReduced RawStartNr NrFilesPerDistance WFImages BlanketSubtraction MedFiltRadius
    DoLoGFilter LoGMaskRadius GaussFiltRadius Deblur WriteFinImage WriteLegacyBin MinMisoNSaves
    SGNr GBAngle NrPixels NrPixelsY NrPixelsZ LsdTol LsdRelativeTol BCTol TiltsTol NumIterations
    OnlySpotsInfo NumPhases PhaseNr GlobalPosition"""


def _read(tmp_path: Path, text: str) -> NearfieldParams:
    path = tmp_path / "ps.txt"
    path.write_text(text)
    return read_nearfield_params(path)


@pytest.mark.parametrize("name", [*MANUAL.split(), *SPEC.split()])
def test_every_key_is_known(name: str) -> None:
    key = find_nearfield_key(name)
    assert key.help
    assert name in (key.name, *key.aliases)


def test_spellings_are_unique() -> None:
    spellings = [s for key in NEARFIELD_KEYS.values() for s in (key.name, *key.aliases)]
    assert len(spellings) == len(set(spellings))


def test_only_these_keys_do_nothing() -> None:
    """NearestMisorientation and Ice9Input act here, whatever the published programs do."""
    idle = {name for name, key in NEARFIELD_KEYS.items() if key.unused}
    assert idle == {"WriteLegacyBin", "SimulationBatches"}


def test_keys_of_loops_act_with_gridrefactor_alone() -> None:
    given = {"SeedOrientationsAll": "all.txt", "MaxAngle": 2.0, "GridSize": 5.0}
    idle = NearfieldParams(given).unused()
    assert set(idle) == {"SeedOrientationsAll", "MaxAngle"}
    assert all("GridRefactor" in why for why in idle.values())
    assert NearfieldParams(given | {"GridRefactor": (5.0, 2.0, 2.0)}).unused() == {}
    idle = NearfieldParams(given | {"GridRefactor": (10.0, 2.0, 2.0)}).unused()
    assert idle == {"GridSize": "GridRefactor states the sizes, from 10 um"}


@pytest.mark.parametrize("spelling", ["./a", "b/../a", "link"])
def test_one_list_of_seeds_by_two_names(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "a").write_text("1,0,0,0\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"ps\.txt:2: SeedOrientationsAll .* are one file"):
        _read(tmp_path, f"SeedOrientations a\nSeedOrientationsAll {spelling}\n")


def test_reading(tmp_path: Path) -> None:
    params = _read(
        tmp_path,
        "# Au\nnDistances\t2\nLsd 8289.15 # um\nLsd\t10290.7\nBC 985.4 17.5\nBC 985.2 24.5\n"
        "OmegaRange -180 -10\nOmegaRange 10 180\nBoxSize -1200 1200 100 2500\n"
        "BoxSize -1000 1000 100 2500\nRingsToUse 3\nRingsToUse 1\nWedge 1\nWedge 0.5\n"
        "RhoD 2800\nStartNr 0\nEndNr 1439\n",
    )
    assert params.rows("Lsd") == (8289.15, 10290.7)
    assert params.rows("BC") == ((985.4, 17.5), (985.2, 24.5))
    assert params["OmegaRange"] == ((-180.0, -10.0), (10.0, 180.0))
    assert params["RingsToUse"] == (3, 1)
    assert params["Wedge"] == 0.5  # the last line wins
    assert params.lines["Wedge"] == 14
    assert params["MaxRingRad"] == params["RhoD"] == 2800.0
    assert (params.n_frames, params.n_distances) == (1440, 2)
    assert params.rows("GridPoints") == ()


@pytest.mark.parametrize("line", ["Ice9Input", "Ice9Input ", "Ice9Input\t", "Ice9Input 1"])
def test_ice9_with_and_without_a_trailing_blank(tmp_path: Path, line: str) -> None:
    assert _read(tmp_path, f"px 1.48\n{line}\nLsd 5\n")["Ice9Input"] == 1


def test_ice9_can_be_off(tmp_path: Path) -> None:
    assert _read(tmp_path, "Ice9Input 0\n")["Ice9Input"] == 0
    assert NearfieldParams()["Ice9Input"] == 0


def test_fault_10_symmetry_of_grain_maps_is_that_of_the_space_group() -> None:
    """Published: SGNr, cubic where it is not given."""
    assert NearfieldParams({"SpaceGroup": 194})["SGNr"] == 194
    assert NearfieldParams({"SpaceGroup": 194, "SGNr": 167})["SGNr"] == 167


def test_fault_11_what_is_absent_has_a_stated_value() -> None:
    """Published: tx, ty, tz, ExcludePoleAngle, NumPhases and PhaseNr are left uninitialised."""
    params = NearfieldParams()
    names = ("tx", "ty", "tz", "ExcludePoleAngle", "NumPhases", "PhaseNr")
    assert [params[name] for name in names] == [0.0, 0.0, 0.0, 0.0, 1, 1]


def test_defaults_follow_other_keys() -> None:
    params = NearfieldParams({"GridSize": 2.5, "DataDirectory": "/data", "NrPixelsZ": 1024})
    assert params["EdgeLength"] == 2.5
    assert params["OutputDirectory"] == "/data"
    assert (params["NrPixelsY"], params["NrPixelsZ"]) == (2048, 1024)
    assert params["MinConfidence"] == 0.5
    assert params["MaxAngle"] == params["MinMisoNSaves"] == 1.0
    assert params["SaveNSolutions"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Lsd 1\nOmgaStart 3\n", "ps.txt:2: unknown key 'OmgaStart'; did you mean 'OmegaStart'?"),
        ("SpotDetect log\n", "ps.txt:1: SpotDetect is not accepted: only the successor programs"),
        ("DenoiseMethod nlm\n", "DenoiseMethod is not accepted: denoising is a program of its own"),
        ("nDistances 2\nLsd 5\nBC 1 2\n", "ps.txt:2: 1 lines of Lsd, but nDistances is 2"),
        ("nDistances 1\nLsd 5\nBC 1 2\nBC 1 2\n", "ps.txt:4: 2 lines of BC, but nDistances is 1"),
        ("Lsd 5\nBC 1 2\nBC 3 4\n", "ps.txt:3: 2 lines of BC, but there are 1 of Lsd"),
        ("OmegaRange -1 1\n", "ps.txt:1: 1 OmegaRange and 0 BoxSize lines: they go in pairs"),
        ("BoxSize 0 1 0 1\n", "ps.txt:1: 0 OmegaRange and 1 BoxSize lines: they go in pairs"),
        ("BoxSize 0 1 0 1\nOmegaRange 1 -1\n", "ps.txt:2: OmegaRange 1.0 -1.0: expected low, then"),
        ("OmegaRange 0 1\nBoxSize 1 0 0 1\n", "ps.txt:2: BoxSize 1.0 0.0 0.0 1.0: expected ylo"),
        ("OmegaStep 0\n", "ps.txt:1: OmegaStep is 0: expected the width of a frame"),
        ("StartNr 5\nEndNr 4\n", "ps.txt:2: EndNr 4 is before StartNr 5"),
        ("ExcludePoleAngle 90\n", "ps.txt:1: ExcludePoleAngle 90.0: expected below 90 deg"),
        ("Wedge -95\n", "ps.txt:1: Wedge -95.0: expected less than 90 deg"),
        ("TomoImage a.bin\n", "ps.txt:1: TomoImage needs TomoPixelSize"),
        ("GridMask 1 0 0 1\n", "ps.txt:1: GridMask (1.0, 0.0, 0.0, 1.0): expected xmin <= xmax"),
        ("GridRefactor 5 1 2\n", "ps.txt:1: GridRefactor (5.0, 1.0, 2.0): expected a size, a"),
        ("MinFracAccept 1.5\n", "ps.txt:1: MinFracAccept 1.5: a confidence is 0 to 1"),
        ("SeedOrientations a\nSeedOrientationsAll a\n", "ps.txt:2: SeedOrientationsAll and Seed"),
        ("PhaseNr 2\n", "ps.txt:1: PhaseNr 2 of NumPhases 1"),
        ("GridSize 0\n", "ps.txt:1: GridSize must be above zero, got 0"),
        ("px -1.48\n", "ps.txt:1: px must be above zero, got -1.48"),
        ("OrientTol -2\n", "ps.txt:1: OrientTol must be above zero, got -2"),
        ("StartNr -1\n", "ps.txt:1: StartNr must not be negative, got -1"),
        ("SpaceGroup 231\n", "ps.txt:1: SpaceGroup must be 1 to 230, got 231"),
        ("Ice9Input 2\n", "ps.txt:1: Ice9Input must be 0 to 1, got 2"),
        ("BC 985\n", "ps.txt:1: BC needs 2 values"),
        ("GridPoints 1 2 3\n", "ps.txt:1: GridPoints needs 12 values"),
        ("Lsd 5 6\n", "ps.txt:1: Lsd needs 1 value"),
    ],
)
def test_slips(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        _read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert caught.value.line is not None
    assert caught.value.key is not None


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_nearfield_params(tmp_path / "no.txt")
    (tmp_path / "ps.txt").write_bytes(b"Lsd 1\x00\x00")
    with pytest.raises(FormatError, match="not a text file; a near-field parameter file is needed"):
        read_nearfield_params(tmp_path / "ps.txt")


def test_missing_keys_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ps\.txt: missing key: EndNr"):
        _ = _read(tmp_path, "StartNr 0\n").n_frames


def test_paths_are_from_the_folder_of_the_run(tmp_path: Path) -> None:
    params = _read(tmp_path, "SeedOrientations seeds.txt\nGrainsFile /ff/Grains.csv\n")
    assert params.file("SeedOrientations") == tmp_path / "seeds.txt"
    assert params.file("GrainsFile") == Path("/ff/Grains.csv")
    assert params.file("TomoImage") is None
    assert _read(tmp_path, "DataDirectory d\n").folder == tmp_path / "d"
    assert NearfieldParams().folder == Path(".")


def test_write_then_read(tmp_path: Path) -> None:
    values = {
        "Lsd": (8289.154576, 10290.724494), "BC": ((985.4, 17.5), (985.2, 24.5)), "px": 1.48,
        "LatticeParameter": (4.08, 4.08, 4.08, 90.0, 90.0, 90.0), "Ice9Input": 1, "TomoImage": None,
    }  # fmt: skip
    write_nearfield_params(tmp_path / "ps.txt", values)
    back = read_nearfield_params(tmp_path / "ps.txt")
    assert dict(back.given) == {k: v for k, v in values.items() if v is not None}
    with pytest.raises(ConfigError, match="unknown key 'Lds'; did you mean 'Lsd'"):
        write_nearfield_params(tmp_path / "ps.txt", {"Lds": 1.0})


@pytest.mark.parametrize("name", ["ps_au", "ps_e1", "ps_e5", "ps_e5w"])
def test_parameter_files_of_published_runs(real_data: Callable[[str], Path], name: str) -> None:
    params = read_nearfield_params(real_data(f"nearfield-golden/{name}.txt"))
    assert params.rows("Lsd") == (8289.154576, 10290.724494)
    assert params.n_frames == 1440
    assert params["Wedge"] == (0.5 if name == "ps_e5w" else 0.0)
    assert params["EdgeLength"] == 1.0
    assert list(params.unused()) == ([] if name == "ps_au" else ["SimulationBatches"])
