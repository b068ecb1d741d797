"""``refimpl metrology`` with stills: each is an experiment and has a crystal of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from refimpl.cli.main import main
from refimpl.crystal.cell import b_matrix
from refimpl.forward.stills import predict_still
from refimpl.io.cbf import write_cbf
from refimpl.io.dials_files import read_expt, read_refl, write_expt
from refimpl.io.minicbf import experiment_from_minicbf

CELL = (62.0, 71.0, 83.0, 90.0, 90.0, 90.0)
SIZE = 900
N = 3
HEADER = """\
# Detector: PILATUS, simulated
# Pixel_size 172e-6 m x 172e-6 m
# Count_cutoff 100000 counts
# Wavelength 0.97 A
# Detector_distance 0.15 m
# Beam_xy (450.2, 448.7) pixels
# Start_angle 0.0000 deg.
# Angle_increment 0.0000 deg.
"""
WIDTH_RAD = 3e-3
"""Points this near the Ewald sphere are seen."""


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def images_of_crystals() -> list[np.ndarray]:
    """Spots of 3 x 3 pixels, each still of a crystal turned another way."""
    blank = np.random.default_rng(3).poisson(2.0, (N, SIZE, SIZE)).astype(np.int32)
    write_cbf("blank.cbf", blank[0], HEADER)
    experiment = experiment_from_minicbf("blank.cbf")
    h = np.stack(np.meshgrid(*[np.arange(-40, 41)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    q = h @ b_matrix(CELL).T
    length = np.linalg.norm(q, axis=1)
    q = q[(length > 0.02) & (length < 1.0 / 2.4)]
    for image, turn in zip(blank, Rotation.random(N, rng=8).as_matrix(), strict=True):
        points = q @ turn.T
        panel = np.zeros(len(points), dtype=np.int32)
        xyz, _, status = predict_still(
            points, panel, experiment.beam.s0, experiment.detector.inverse_d
        )
        seen = (status == 0) & (np.abs(xyz[:, 2]) < WIDTH_RAD)
        fast, slow = np.floor(xyz[seen, :2].T / 0.172).astype(int)
        for f, s in zip(fast, slow, strict=True):
            if 1 < f < SIZE - 2 and 1 < s < SIZE - 2:
                image[s - 1 : s + 2, f - 1 : f + 2] += 300
    Path("blank.cbf").unlink()
    return list(blank)


@pytest.fixture
def stills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Images, of which ``s_0001.cbf`` and so on were made."""
    monkeypatch.chdir(tmp_path)
    images = images_of_crystals()
    for k, image in enumerate(images):
        write_cbf(f"s_{k + 1:04d}.cbf", image, HEADER)
    return images


def test_from_stills_to_their_crystals(stills, refused, capsys) -> None:
    assert metrology("import", "s_####.cbf", "-o", "stills.expt") == 0
    models = read_expt("stills.expt")
    assert [e.imageset["images"] for e in models] == [[f"s_{k + 1:04d}.cbf"] for k in range(N)]
    assert all(e.is_still and e.detector is models[0].detector for e in models)
    capsys.readouterr()
    assert metrology("find-spots", "stills.expt", "-o", "spots", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    table = read_refl("spots/strong.refl")
    assert np.bincount(table["id"]).tolist() == found["spots_per_image"]
    assert min(found["spots_per_image"]) > 100
    cell = ",".join(str(v) for v in CELL)
    known = ("--space-group", "P222", "--unit-cell", cell)
    assert metrology("index", "stills.expt", "spots/strong.refl", *known, "-o", "indexed") == 0
    indexed = read_expt("indexed/indexed.expt")
    assert len(indexed) == N
    for k, experiment in enumerate(indexed):
        assert experiment.imageset["images"] == [f"s_{k + 1:04d}.cbf"]
        assert experiment.crystal.cell == pytest.approx(CELL, rel=3e-3)
    rows = read_refl("indexed/indexed.refl")
    for k in range(N):
        mine = rows["miller_index"][np.asarray(rows["imageset_id"]) == k]
        assert np.count_nonzero(np.any(np.asarray(mine) != 0, axis=1)) > 0.8 * len(mine)


def test_stills_are_looked_at_and_counted(stills, capsys) -> None:
    assert metrology("import", "s_####.cbf", "-o", "stills.expt") == 0
    assert metrology("find-spots", "stills.expt", "-o", "spots") == 0
    n = np.bincount(read_refl("spots/strong.refl")["id"])
    capsys.readouterr()
    assert metrology("view", "stills.expt", "spots/strong.refl", "--image", "2") == 0
    assert capsys.readouterr().out == f"{n[1]} found, 0 predicted\nwrote view.png\n"
    assert metrology("count-spots", "stills.expt", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    for k, row in enumerate(rows):
        write_expt("one.expt", [read_expt("stills.expt")[k]])
        assert metrology("count-spots", "one.expt", "--json") == 0
        (alone,) = json.loads(capsys.readouterr().out)
        assert alone | {"image": k + 1} == row


def test_a_search_of_stills_goes_on(stills, monkeypatch, capsys) -> None:
    """As of a scan: broken off and run again, the files are the same to the bit."""
    from refimpl.cli.metrology_images import Images
    from refimpl.io.spot_journal import SpotJournal

    assert metrology("import", "s_####.cbf", "-o", "stills.expt") == 0
    assert metrology("find-spots", "stills.expt", "-o", "whole") == 0
    monkeypatch.setattr(SpotJournal, "is_due", lambda self: True)
    plain = Images.__getitem__
    with monkeypatch.context() as broken:

        def pulled(self: Images, k: int) -> np.ndarray:
            if k == 2:
                raise RuntimeError("pulled the plug")
            return plain(self, k)

        broken.setattr(Images, "__getitem__", pulled)
        with pytest.raises(RuntimeError, match="pulled the plug"):
            metrology("find-spots", "stills.expt", "-o", "parts")
    assert metrology("find-spots", "stills.expt", "-o", "parts") == 0
    assert "going on after 2 of 3 images" in capsys.readouterr().err
    for path in Path("whole").iterdir():
        assert (Path("parts") / path.name).read_bytes() == path.read_bytes()


def test_stills_of_one_file(tmp_path, monkeypatch, nxmx, refused, capsys) -> None:
    """A NeXus file whose sample does not turn: each of its images is a still."""
    monkeypatch.chdir(tmp_path)
    nxmx(Path("stills.nxs"), np.full(3, 10.0))
    assert metrology("import", "stills.nxs", "-o", "stills.expt") == 0
    models = read_expt("stills.expt")
    assert [e.imageset["single_file_indices"] for e in models] == [[0], [1], [2]]
    assert all(e.imageset["images"] == ["stills.nxs"] for e in models)
    capsys.readouterr()
    assert metrology("find-spots", "stills.expt", "-o", "spots", "--json") == 0
    assert json.loads(capsys.readouterr().out)["spots_per_image"] == [1, 0, 1]
    assert np.asarray(read_refl("spots/strong.refl")["id"]).tolist() == [0, 2]
    write_expt("last.expt", models[2:])
    assert metrology("find-spots", "last.expt", "-o", "last", "--json") == 0
    assert json.loads(capsys.readouterr().out)["spots_per_image"] == [1]
    assert metrology("view", "last.expt", "last/strong.refl") == 0
    assert capsys.readouterr().out.startswith("1 found")
    beyond = {**models[2].imageset, "single_file_indices": [3]}
    write_expt("beyond.expt", [replace(models[2], imageset=beyond)])
    said = "stills.nxs: 3 images: the experiment has image 4 of it"
    assert refused("find-spots", "beyond.expt", "-o", "x") == said
    assert refused("view", "beyond.expt") == said
    for wrong in ([-1], [0, 1], [True], "0", [2.0]):
        write_expt(
            "odd.expt", [replace(models[2], imageset=beyond | {"single_file_indices": wrong})]
        )
        said = refused("find-spots", "odd.expt", "-o", "x")
        assert said == f"odd.expt: single_file_indices {wrong!r}: expected 1 numbers from 0"


def test_a_geometry_without_images_is_imported(stills, refused, capsys) -> None:
    assert metrology("import", "s_0001.cbf", "-o", "one.expt") == 0
    assert main(["convert", "one.expt", "one.nxs", "--lossy"]) == 0
    assert metrology("import", "one.nxs", "-o", "geometry.expt") == 0
    (made,) = read_expt("geometry.expt")
    assert made.is_still
    one = read_expt("one.expt")[0].detector.d
    np.testing.assert_allclose(np.abs(made.detector.d), np.abs(one), atol=1e-9)  # X and Z turn
    capsys.readouterr()
    assert refused("find-spots", "geometry.expt", "-o", "x").startswith("one.nxs: no 2-D or 3-D ")


def test_two_crystals_on_each_still_are_one_list_of_images(stills, capsys) -> None:
    assert metrology("import", "s_####.cbf", "-o", "stills.expt") == 0
    models = read_expt("stills.expt")
    write_expt("pairs.expt", [e for e in models for _ in range(2)])
    for number in ("2", "3"):
        for name in ("stills", "pairs"):
            assert metrology("view", f"{name}.expt", "--image", number, "-o", f"{name}.png") == 0
        from PIL import Image

        one, two = (np.asarray(Image.open(f"{n}.png").convert("L")) for n in ("stills", "pairs"))
        below = slice(one.shape[0] // 8, None)  # the title has the name of the list
        assert np.array_equal(one[below], two[below])


def test_lists_that_are_no_stills_of_one_detector(stills, refused, capsys) -> None:
    assert metrology("import", "s_####.cbf", "-o", "stills.expt") == 0
    capsys.readouterr()
    a, b, c = read_expt("stills.expt")

    def said(*models: object) -> str:
        write_expt("odd.expt", models)
        return refused("find-spots", "odd.expt", "-o", "x")

    both = replace(b, imageset={**b.imageset, "images": ["s_0002.cbf", "s_0003.cbf"]})
    assert said(a, both).startswith("odd.expt: experiment 1 of 2: expected one image, as refimpl ")
    masked = replace(c, imageset={**c.imageset, "mask": "m.pickle"})
    assert said(a, b, masked) == (
        "odd.expt: the image of experiment 2 has another mask, gain or kind of file than the "
        "first: take them apart"
    )
    (first, *others) = c.detector.modules
    nearer = replace(first, origin_mm=(*first.origin_mm[:2], -140.0))
    moved = replace(c, detector=replace(c.detector, modules=(nearer, *others)))
    assert said(a, b, moved) == (
        "odd.expt: experiment 2 is a still on another detector than the first: take them apart"
    )
    assert said(replace(a, imageset={**a.imageset, "images": 7})) == (
        "odd.expt: images 7: expected a list"
    )
    dim = replace(c, beam=replace(c.beam, wavelength_angstrom=1.1))
    write_expt("odd.expt", [a, b, dim])
    assert (
        refused("count-spots", "odd.expt") == "odd.expt: stills in several beams: count them apart"
    )
