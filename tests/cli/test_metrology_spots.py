"""``refimpl metrology index`` and ``find-spots`` on small simulated data."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.cli import metrology_images
from refimpl.cli.main import main
from refimpl.crystal.reduction import basis_of_cell
from refimpl.io.cbf import write_cbf
from refimpl.io.dials_files import read_expt, read_refl, write_expt, write_refl
from refimpl.io.spot_journal import SpotJournal
from refimpl.rotations import expmap
from refimpl.testing.lattice_spots import lattice_spots, small_experiment

CELL = (38.0, 47.0, 61.0, 82.0, 95.0, 104.0)
KNOWN = ("--unit-cell", "38,47,61,82,95,104", "--set", "n_grid=96", "--set", "macro_cycles=1")
BASIS = basis_of_cell(CELL) @ expmap(np.array([0.4, -1.1, 0.7]))


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 2) -> str:
    """The one line of stderr, without its beginning; nothing is made."""
    before = sorted(Path().rglob("*"))
    assert metrology(*arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("refimpl: ")
    assert said.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    return said.err.removeprefix("refimpl: ").rstrip("\n")


# --- index ----------------------------------------------------------------------------------------


@pytest.fixture
def two_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One crystal in two scans, and in each of them another one."""
    monkeypatch.chdir(tmp_path)
    other = BASIS @ expmap(np.array([-0.6, 0.3, 0.5]))
    first = small_experiment()
    scan = replace(first.scan, oscillation_deg=(80.0, 0.5))
    for name, experiment, seed in (("a", first, 0), ("b", replace(first, scan=scan), 2)):
        parts = [
            lattice_spots(basis, most=most, seed=seed + k, experiment=experiment).table
            for k, (basis, most) in enumerate([(BASIS, 300), (other, 180)])
        ]
        columns = {n: np.concatenate([p[n] for p in parts]) for n in parts[0].columns}
        write_expt(f"{name}.expt", [replace(experiment, identifier=name)])
        write_refl(f"{name}.refl", replace(parts[0], columns=columns))
    return tmp_path


def test_two_scans_and_two_crystals(two_scans, capsys) -> None:
    given = ("index", "a.expt", "a.refl", "b.expt", "b.refl", "--max-lattices", "2", *KNOWN)
    assert metrology(*given, "-o", "ix", "--threads", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_spots"] == 960
    assert [e["identifier"] for e in found["experiments"]][:2] == ["a", "b"]
    assert [e["n_indexed"] > 250 for e in found["experiments"]] == [True, True, False, False]
    assert sum(e["n_indexed"] for e in found["experiments"]) == found["n_indexed"] > 940
    assert found["notes"] == []
    experiments, table = read_expt("ix/indexed.expt"), read_refl("ix/indexed.refl")
    assert experiments[0].crystal is experiments[1].crystal
    assert experiments[2].crystal is experiments[3].crystal
    # equal in both files, so one from the start
    assert len({id(e.detector) for e in experiments}) == 1
    assert table.identifiers[1] == "b"
    assert np.bincount(table["imageset_id"]).tolist() == [480, 480]
    # 3e-3: 0.2 px of errors in 960 spots
    np.testing.assert_allclose(found["cell"], CELL, rtol=3e-3)
    log = Path("ix/index.log").read_text()
    assert "crystal 2: " in log
    assert metrology(*given, "-o", "ix", "--threads", "2", "--json") == 0
    assert "done before with the same input and settings" in capsys.readouterr().err


def test_each_scan_on_its_own(two_scans, capsys) -> None:
    spots = read_refl("b.refl")
    write_refl("few.refl", spots.select(np.arange(7)))
    given = ("index", "a.expt", "a.refl", "b.expt", "few.refl", *KNOWN, "--separate", "-o", "ix")
    assert metrology(*given) == 0
    said = capsys.readouterr().out
    assert "of 487 spots indexed" in said
    assert "experiment 1: 7 spots: indexing needs at least 20\n" in said
    assert len(read_expt("ix/indexed.expt")) == 1


def test_what_index_refuses(two_scans, capsys) -> None:
    said = refused(capsys, "index", "a.expt", "b.expt", "a.refl", "-o", "x")
    assert said == "2 experiment files and 1 of reflections: expected as many .expt as .refl"
    said = refused(capsys, "index", "a.expt", "a.refl", "--max-lattices", "0", "-o", "x")
    assert said == "max_lattices = 0: expected at least 1"
    said = refused(capsys, "index", "a.expt", "a.refl", "--threads", "0", "-o", "x")
    assert said.startswith("threads=0: expected a positive number")
    wrong = (*KNOWN[2:], "--unit-cell", "90,91,92,90,90,90")
    said = refused(capsys, "index", "a.expt", "a.refl", *wrong, "-o", "x", code=4)
    assert said.startswith("no lattice matches unit cell 90.00 91.00 92.00 90.00 90.00 90.00 ")
    write_refl("few.refl", read_refl("a.refl").select(np.arange(12)))
    said = refused(capsys, "index", "a.expt", "few.refl", "-o", "x")
    assert said == "few.refl: 12 spots: indexing needs at least 20"


def test_a_pickle_is_never_loaded(two_scans, capsys) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (Path("loaded"),))

    for name in ("bad.refl", "bad.npz"):
        Path(name).write_bytes(pickle.dumps(Trap()))
        assert refused(capsys, "index", "a.expt", name, "-o", "x").startswith(f"{name}: ")
    Path("bad.expt").write_bytes(pickle.dumps(Trap()))
    assert refused(capsys, "index", "bad.expt", "a.refl", "-o", "x").startswith("bad.expt: ")
    assert refused(capsys, "find-spots", "bad.expt", "-o", "x").startswith("bad.expt: ")
    assert not Path("loaded").exists()


# --- find-spots -----------------------------------------------------------------------------------

N_IMAGES = 9
HEADER = (
    "# Detector: PILATUS3 100K-A, S/N 1-0001\n# Pixel_size 172e-6 m x 172e-6 m\n"
    "# Silicon sensor, thickness 0.000320 m\n# Count_cutoff 1048500 counts\n"
    "# Wavelength 0.97625 A\n# Detector_distance 0.18000 m\n# Beam_xy (240.00, 100.00) pixels\n"
    "# Start_angle {start:.4f} deg.\n# Angle_increment 0.5000 deg.\n"
)


def pictures() -> Iterator[np.ndarray]:
    """Background with spots that go on from image to image."""
    rng = np.random.default_rng(3)
    centres = rng.uniform([15, 15, 0], [180, 470, N_IMAGES], (60, 3))
    s, f = np.mgrid[:195, :487]
    for k in range(N_IMAGES):
        bright = np.zeros((195, 487))
        for slow, fast, z in centres:
            away = ((s - slow) ** 2 + (f - fast) ** 2) / 2.0 + (k + 0.5 - z) ** 2
            bright += 200.0 * np.exp(-0.5 * away)
        yield rng.poisson(1.0 + bright).astype(np.int32)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for k, image in enumerate(pictures()):
        write_cbf(folder / f"x_{k + 1:04d}.cbf", image, HEADER.format(start=10.0 + 0.5 * k))
    assert metrology("import", folder / "x_####.cbf", "-o", folder / "imported.expt") == 0
    return folder


@pytest.fixture
def here(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return images


def results(folder: Path | str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(Path(folder).iterdir())}


@pytest.mark.parametrize(("after", "every"), [(0, False), (1, True), (6, False), (8, True)])
def test_an_interrupted_search_goes_on(here, monkeypatch, capsys, after, every) -> None:
    expt = here / "imported.expt"
    assert metrology("find-spots", expt, "-o", "whole", "--threads", "1") == 0
    assert len(read_refl("whole/strong.refl")) > 30
    capsys.readouterr()
    plain = metrology_images.Images.__getitem__

    def counted(self, k):
        if k == after:
            raise RuntimeError("pulled the plug")
        return plain(self, k)

    monkeypatch.setattr(metrology_images.Images, "__getitem__", counted)
    monkeypatch.setattr(SpotJournal, "is_due", lambda self: every)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        metrology("find-spots", expt, "-o", "parts", "--threads", "2")
    capsys.readouterr()
    names = [p.name for p in sorted(Path("parts/find-spots.parts").glob("*"))]
    steps = [f"{k:06d}-{k + 1:06d}.npz" for k in range(after)]
    assert names == (steps if every or not after else [f"000000-{after:06d}.npz"])
    seen: list[int] = []
    monkeypatch.setattr(
        metrology_images.Images, "__getitem__", lambda self, k: seen.append(k) or plain(self, k)
    )
    assert metrology("find-spots", expt, "-o", "parts", "--threads", "2") == 0
    said = capsys.readouterr().err
    assert ("going on after" in said) == (after > 0)
    assert seen == list(range(after, N_IMAGES))
    assert results("parts") == results("whole")  # to the bit, and nothing else is left


def test_broken_parts_and_parts_of_another_search_are_done_again(here, capsys) -> None:
    expt = here / "imported.expt"
    assert metrology("find-spots", expt, "-o", "whole") == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpotJournal, "is_due", lambda self: True)
        patch.setattr(SpotJournal, "remove", lambda self: None)
        assert metrology("find-spots", expt, "-o", "parts") == 0
    folder = Path("parts/find-spots.parts")
    assert len(list(folder.iterdir())) == N_IMAGES
    (folder / "000004-000005.npz").write_bytes(b"PK\x03\x04 cut")
    (folder / "notes.txt").write_text("not ours")
    Path("parts/done.json").unlink()
    capsys.readouterr()
    assert metrology("find-spots", expt, "-o", "parts") == 0
    assert "going on after 4 of 9 images" in capsys.readouterr().err
    assert results("parts") == results("whole")
    journal = SpotJournal(folder, "another")
    journal.write({"first": np.array(0), "strong": np.array([1, 2])})
    assert len(journal.read()) == 1
    assert metrology("find-spots", expt, "-o", "parts", "--again") == 0
    assert "going on" not in capsys.readouterr().err
    assert not folder.exists()


def test_a_bad_image_leaves_what_was_done(here, tmp_path, capsys) -> None:
    for path in here.glob("*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert metrology("import", "x_####.cbf", "-o", "imported.expt") == 0
    whole = Path("x_0005.cbf").read_bytes()
    Path("x_0005.cbf").write_bytes(whole[: len(whole) // 2])
    assert metrology("find-spots", "imported.expt", "-o", "spots") == 2
    assert "x_0005.cbf: " in capsys.readouterr().err
    assert [p.name for p in Path("spots/find-spots.parts").iterdir()] == ["000000-000004.npz"]


def nexus_file(path: Path) -> None:
    """The same images in an HDF5 file: two modules side by side, uint32, and a pixel mask."""
    import hdf5plugin

    def field(file, name, value, kind, units, vector, on):
        node = file.create_dataset(name, data=value)
        node.attrs.update(transformation_type=kind, units=units, vector=vector, depends_on=on)

    def group(file, name, nx_class):
        node = file.require_group(name)
        node.attrs["NX_class"] = nx_class
        return node

    detector, steps = "/entry/instrument/detector", "/entry/sample/transformations"
    with h5py.File(path, "w") as file:
        group(file, "/entry", "NXentry")
        group(file, "/entry/instrument", "NXinstrument")
        base = group(file, detector, "NXdetector")
        base["saturation_value"], base["sensor_material"] = 100000, "Si"
        base["sensor_thickness"] = 320e-6
        base["sensor_thickness"].attrs["units"] = "m"
        bad = np.zeros((195, 487), dtype=np.uint32)
        bad[:, 240:247] = 1
        base["pixel_mask"] = bad
        group(file, f"{detector}/transformations", "NXtransformations")
        away = f"{detector}/transformations/distance"
        field(file, away, 0.18, "translation", "m", (0, 0, 1), ".")
        for k, (first, size) in enumerate([(0, 240), (247, 240)]):
            module = group(file, f"{detector}/module{k}", "NXdetector_module")
            module["data_origin"], module["data_size"] = (0, first), (195, size)
            offset = f"{detector}/module{k}/module_offset"
            field(file, offset, 0.172 * first, "translation", "mm", (-1, 0, 0), away)
            for name, vector in (("fast", (-1, 0, 0)), ("slow", (0, -1, 0))):
                place = f"{detector}/module{k}/{name}_pixel_direction"
                field(file, place, 172e-6, "translation", "m", vector, offset)
        beam = group(file, "/entry/instrument/beam", "NXbeam")
        beam["incident_wavelength"] = 0.97625
        beam["incident_wavelength"].attrs["units"] = "angstrom"
        group(file, "/entry/sample", "NXsample")["depends_on"] = f"{steps}/omega"
        group(file, steps, "NXtransformations")
        angles = 10.0 + 0.5 * np.arange(N_IMAGES)
        field(file, f"{steps}/omega", angles, "rotation", "deg", (-1, 0, 0), ".")
        stack = np.stack(list(pictures())).astype(np.uint32)
        stack[:, bad != 0] = np.iinfo(np.uint32).max
        data = group(file, "/entry/data", "NXdata")
        data.create_dataset("data", data=stack, chunks=(1, 195, 487), **hdf5plugin.Bitshuffle())


def test_nexus_images_give_the_spots_of_cbf_images(here, capsys) -> None:
    nexus_file(Path("series.nxs"))
    assert metrology("import", "series.nxs", "-o", "h5.expt") == 0
    assert metrology("find-spots", "h5.expt", "-o", "h5", "--json") == 0
    found = read_refl("h5/strong.refl")
    assert metrology("find-spots", here / "imported.expt", "-o", "cbf") == 0
    whole = read_refl("cbf/strong.refl")
    box = whole["bbox"]
    apart = (box[:, 1] < 240 - 6) | (box[:, 0] > 247 + 6)  # away from the gap nothing changes
    place = found["xyzobs.px.value"] + found["panel"][:, None] * np.array([247.0, 0.0, 0.0])
    ours = {tuple(np.round(row, 9)) for row in place}
    theirs = {tuple(np.round(row, 9)) for row in whole["xyzobs.px.value"][apart]}
    assert len(theirs) > 30
    assert theirs <= ours
    assert set(found["panel"].tolist()) == {0, 1}
    with h5py.File("series.nxs", "r+") as file:
        stack = file["/entry/data/data"][:5]
        del file["/entry/data/data"]
        file["/entry/data/data"] = stack
    capsys.readouterr()
    assert refused(capsys, "find-spots", "h5.expt", "-o", "x") == (
        "series.nxs: 5 images: the scan has 9"
    )


def test_masks_and_gains(here, tmp_path, capsys) -> None:
    expt = here / "imported.expt"
    (experiment,) = read_expt(expt)
    template = {"template": str(here / "x_####.cbf")}
    assert metrology("find-spots", expt, "-o", "plain") == 0
    centres = read_refl("plain/strong.refl")["xyzobs.px.value"]
    capsys.readouterr()

    named = dict(experiment.imageset) | template | {"mask": "pixels.mask"}
    write_expt("named.expt", [replace(experiment, imageset=named)])
    said = refused(capsys, "find-spots", "named.expt", "-o", "x")
    assert said.startswith("named.expt: the experiment names a mask, pixels.mask, which is a pick")
    assert metrology("find-spots", "named.expt", "--mask", "none", "-o", "a") == 0
    assert len(read_refl("a/strong.refl")) == len(centres)
    half = np.ones((195, 487), dtype=np.uint8)
    half[:, :200] = 0
    np.save("half.npy", half)
    assert metrology("find-spots", "named.expt", "--mask", "half.npy", "-o", "b") == 0
    assert read_refl("b/strong.refl")["bbox"][:, 0].min() >= 200
    np.save("small.npy", half[:10])
    capsys.readouterr()
    said = refused(capsys, "find-spots", "named.expt", "--mask", "small.npy", "-o", "x")
    assert said == "small.npy: a mask of 487 x 10 pixels (fast x slow): the images have 487 x 195"

    maps = dict(experiment.imageset) | template | {"gain": "gain.map"}
    write_expt("map.expt", [replace(experiment, imageset=maps)])
    said = refused(capsys, "find-spots", "map.expt", "-o", "x")
    assert said.startswith("the experiment names a map of gains, gain.map, which is not read; ")
    assert metrology("find-spots", "map.expt", "--set", "gain=2.5", "-o", "c") == 0
    (module,) = experiment.detector.modules
    area = replace(module, gain=2.5, mask=((0, 0, 200, 195),))
    detector = replace(experiment.detector, modules=(area,))
    set_ = dict(experiment.imageset) | template
    write_expt("own.expt", [replace(experiment, detector=detector, imageset=set_)])
    assert metrology("find-spots", "own.expt", "-o", "d") == 0
    ours, theirs = read_refl("d/strong.refl"), read_refl("c/strong.refl")
    # a higher bar: fewer pixels
    assert 0 < theirs["n_signal"].sum() < 0.9 * read_refl("plain/strong.refl")["n_signal"].sum()
    away = [read["xyzobs.px.value"][read["bbox"][:, 0] >= 206].tolist() for read in (ours, theirs)]
    assert away[0] == away[1] != []
    assert ours["bbox"][:, 0].min() >= 200
    capsys.readouterr()
    said = refused(capsys, "find-spots", expt, "--set", "gain=[1.0,2.0]", "-o", "x")
    assert said == "gain: 2 values for 1 panels: expected one for each, or one for all"
    two = replace(experiment, detector=replace(detector, modules=(
        replace(module, size_px=(240, 195)),
        replace(module, size_px=(240, 195), raw_image_offset=(247, 0), trusted_range=(0.0, 9.0)),
    ), root=None), imageset=set_)  # fmt: skip
    write_expt("two.expt", [two])
    said = refused(capsys, "find-spots", "two.expt", "-o", "x")
    assert said.startswith("panel 1 has the trusted range (0.0, 9.0), panel 0 (")


# --- count-spots ----------------------------------------------------------------------------------


def test_counts_are_the_published_ones(real_data, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    images = [real_data(f"thaumatin-grid/thau_3_2_{k:04d}.cbf.bz2") for k in (1, 2)]
    assert metrology("import", *images, "--multi-panel") == 0
    capsys.readouterr()
    assert metrology("count-spots", "imported.expt", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    wanted = ("spot_total", "remove_ice", "in_resolution", "good_bragg", "ice_rings")
    assert [first[k] for k in wanted] == [280, 279, 228, 212, 2]
    assert [second[k] for k in wanted] == [977, 977, 872, 739, 0]
    assert round(first["method1_angstrom"], 2) == 2.34
    assert round(first["max_cell_angstrom"], 1) == 239.7


def test_an_interrupted_count_goes_on(here, monkeypatch, capsys) -> None:
    expt = here / "imported.expt"
    options = ("--set", "scanbox_windows=[41,31,31]", "--kind", "pilatus")
    assert metrology("count-spots", expt, *options) == 0
    whole = capsys.readouterr().out
    assert whole.startswith(
        " image  spots   dry  in-res   good  ice  method 1  method 2  max cell\n"
    )
    assert whole.count("\n") == N_IMAGES + 1
    assert sum(int(line.split()[1]) for line in whole.splitlines()[1:]) > 30
    plain = metrology_images.Images.__getitem__

    def fails(self, k):
        if k == 5:
            raise RuntimeError("pulled the plug")
        return plain(self, k)

    monkeypatch.setattr(metrology_images.Images, "__getitem__", fails)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        metrology("count-spots", expt, *options, "-o", "counts")
    seen: list[int] = []
    monkeypatch.setattr(
        metrology_images.Images, "__getitem__", lambda self, k: seen.append(k) or plain(self, k)
    )
    capsys.readouterr()
    assert metrology("count-spots", expt, *options, "-o", "counts") == 0
    said = capsys.readouterr()
    assert seen == [5, 6, 7, 8]
    assert said.err == "counts: 5 images done before, kept\n"
    assert said.out == whole
    assert metrology("count-spots", expt, *options, "--again", "-o", "counts") == 0
    assert len(seen) == 4 + N_IMAGES


def test_what_a_count_refuses(here, capsys) -> None:
    (experiment,) = read_expt(here / "imported.expt")
    said = refused(capsys, "count-spots", here / "imported.expt", "--set", "speed=1")
    assert said.startswith("unknown setting 'speed': expected some of ")
    said = refused(capsys, "count-spots", here / "imported.expt", "--kind", "ccd")
    assert said == "detector kind 'ccd': expected one of pilatus, eiger, other"
    write_expt("bare.expt", [replace(experiment, detector=None)])
    said = refused(capsys, "count-spots", "bare.expt")
    assert said == "counting spots needs an experiment with a beam and a detector"
    said = refused(capsys, "find-spots", "bare.expt", "-o", "x")
    assert said == "bare.expt: the experiment has no detector"
    write_expt("two.expt", [experiment, experiment])
    assert refused(capsys, "count-spots", "two.expt") == "two.expt: 2 experiments: expected one"

    def with_modules(*modules) -> str:
        detector = replace(experiment.detector, modules=modules, root=None)
        write_expt("odd.expt", [replace(experiment, detector=detector)])
        return refused(capsys, "count-spots", "odd.expt")

    (module,) = experiment.detector.modules
    tilted = replace(module, fast_axis=(np.cos(0.1), 0.0, np.sin(0.1)))
    assert with_modules(tilted) == (
        "the detector is tilted by 0.1000 rad to the beam: a count takes one that faces it, within "
        "0.002 rad"
    )
    assert with_modules(replace(module, pixel_size_mm=(0.172, 0.1))) == (
        "counting spots needs square pixels, the same on all panels"
    )
    left, right = (replace(module, size_px=(240, 195)) for _ in range(2))
    assert with_modules(left, replace(right, raw_image_offset=(247, 0))) == (
        "panel 1 does not lie on the grid of panel 0: a count takes one flat detector"
    )
