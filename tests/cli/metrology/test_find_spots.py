"""``refimpl metrology find-spots``: broken off, from HDF5, with masks and gains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.cli import metrology_images
from refimpl.cli.main import main
from refimpl.io.dials_files import read_expt, read_refl, write_expt
from refimpl.io.spot_journal import SpotJournal


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def results(folder: Path | str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(Path(folder).iterdir())}


@pytest.mark.parametrize(("after", "every"), [(0, False), (1, True), (6, False), (8, True)])
def test_an_interrupted_search_goes_on(
    image_folder, pictures, monkeypatch, capsys, after, every
) -> None:
    expt = image_folder / "imported.expt"
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
    assert seen == list(range(after, len(pictures)))
    assert results("parts") == results("whole")  # to the bit, and nothing else is left


def test_broken_parts_and_parts_of_another_search_are_done_again(
    image_folder, pictures, capsys
) -> None:
    expt = image_folder / "imported.expt"
    assert metrology("find-spots", expt, "-o", "whole") == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpotJournal, "is_due", lambda self: True)
        patch.setattr(SpotJournal, "remove", lambda self: None)
        assert metrology("find-spots", expt, "-o", "parts") == 0
    folder = Path("parts/find-spots.parts")
    assert len(list(folder.iterdir())) == len(pictures)
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
    journal.write({"first": np.array(0), "strong": np.array([1, 2])})
    assert metrology("find-spots", expt, "-o", "parts") == 0  # done before, but killed at its end
    assert not folder.exists()


def test_a_bad_image_leaves_what_was_done(image_folder, tmp_path, capsys) -> None:
    for path in image_folder.glob("*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert metrology("import", "x_####.cbf", "-o", "imported.expt") == 0
    whole = Path("x_0005.cbf").read_bytes()
    Path("x_0005.cbf").write_bytes(whole[: len(whole) // 2])
    assert metrology("find-spots", "imported.expt", "-o", "spots") == 2
    assert "x_0005.cbf: " in capsys.readouterr().err
    assert [p.name for p in Path("spots/find-spots.parts").iterdir()] == ["000000-000004.npz"]


def nexus_file(path: Path, pictures: list[np.ndarray]) -> None:
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
        angles = 10.0 + 0.5 * np.arange(len(pictures))
        field(file, f"{steps}/omega", angles, "rotation", "deg", (-1, 0, 0), ".")
        stack = np.stack(pictures).astype(np.uint32)
        stack[:, bad != 0] = np.iinfo(np.uint32).max
        data = group(file, "/entry/data", "NXdata")
        data.create_dataset("data", data=stack, chunks=(1, 195, 487), **hdf5plugin.Bitshuffle())


def test_nexus_images_give_the_spots_of_cbf_images(image_folder, pictures, refused, capsys) -> None:
    nexus_file(Path("series.nxs"), pictures)
    assert metrology("import", "series.nxs", "-o", "h5.expt") == 0
    assert metrology("find-spots", "h5.expt", "-o", "h5", "--json") == 0
    found = read_refl("h5/strong.refl")
    assert metrology("find-spots", image_folder / "imported.expt", "-o", "cbf") == 0
    whole = read_refl("cbf/strong.refl")
    box = whole["bbox"]
    apart = (box[:, 1] < 240 - 6) | (box[:, 0] > 247 + 6)  # away from the gap nothing changes
    place = found["xyzobs.px.value"] + found["panel"][:, None] * np.array([247.0, 0.0, 0.0])
    ours = {tuple(np.round(row, 9)) for row in place}
    theirs = {tuple(np.round(row, 9)) for row in whole["xyzobs.px.value"][apart]}
    assert len(theirs) > 30
    assert theirs <= ours
    assert set(found["panel"].tolist()) == {0, 1}
    # images 2 to 8 alone: of the same file, or of one that holds no others
    (one,) = read_expt("h5.expt")
    part = replace(one, scan=replace(one.scan, image_range=(2, 8), oscillation_deg=(10.5, 0.5)))
    own = {**one.imageset, "template": "part.nxs", "single_file_indices": list(range(7))}
    nexus_file(Path("part.nxs"), pictures[1:8])
    for name, made in (("slice", part), ("apart", replace(part, imageset=own))):
        write_expt(f"{name}.expt", [made])
        assert metrology("find-spots", f"{name}.expt", "-o", name) == 0
    sliced, apart = (read_refl(f"{name}/strong.refl") for name in ("slice", "apart"))
    assert len(sliced) > 10
    assert np.array_equal(sliced["xyzobs.px.value"], apart["xyzobs.px.value"])
    inside = (found["bbox"][:, 4] >= 1) & (found["bbox"][:, 5] <= 8)
    places = {tuple(row) for row in found["xyzobs.px.value"][inside].tolist()}
    assert len(places) > 3
    assert places <= {tuple(row) for row in sliced["xyzobs.px.value"].tolist()}
    with h5py.File("series.nxs", "r+") as file:
        stack = file["/entry/data/data"][:5]
        del file["/entry/data/data"]
        file["/entry/data/data"] = stack
    capsys.readouterr()
    assert refused("find-spots", "h5.expt", "-o", "x") == (
        "series.nxs: 5 images: the experiment has image 9 of it"
    )


def test_masks_and_gains(image_folder, tmp_path, refused, capsys) -> None:
    expt = image_folder / "imported.expt"
    (experiment,) = read_expt(expt)
    template = {"template": str(image_folder / "x_####.cbf")}
    assert metrology("find-spots", expt, "-o", "plain") == 0
    centres = read_refl("plain/strong.refl")["xyzobs.px.value"]
    capsys.readouterr()

    named = dict(experiment.imageset) | template | {"mask": "pixels.mask"}
    write_expt("named.expt", [replace(experiment, imageset=named)])
    said = refused("find-spots", "named.expt", "-o", "x")
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
    said = refused("find-spots", "named.expt", "--mask", "small.npy", "-o", "x")
    assert said == "small.npy: a mask of 487 x 10 pixels (fast x slow): the images have 487 x 195"

    maps = dict(experiment.imageset) | template | {"gain": "gain.map"}
    write_expt("map.expt", [replace(experiment, imageset=maps)])
    said = refused("find-spots", "map.expt", "-o", "x")
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
    said = refused("find-spots", expt, "--set", "gain=[1.0,2.0]", "-o", "x")
    assert said == "gain: 2 values for 1 panels: expected one for each, or one for all"
    two = replace(experiment, detector=replace(detector, modules=(
        replace(module, size_px=(240, 195)),
        replace(module, size_px=(240, 195), raw_image_offset=(247, 0), trusted_range=(0.0, 9.0)),
    ), root=None), imageset=set_)  # fmt: skip
    write_expt("two.expt", [two])
    said = refused("find-spots", "two.expt", "-o", "x")
    assert said.startswith("panel 1 has the trusted range (0.0, 9.0), panel 0 (")
