"""``refimpl metrology`` from images to a picture, and images that are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.io.cbf import write_cbf
from refimpl.io.dials_files import read_expt, read_refl, write_refl
from refimpl.io.xds_tables import write_corrections
from refimpl.metrology.pixels import mm_to_pixels, pixels_to_mm


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    captured = capsys.readouterr()
    return json.loads(captured.out)


HEADER = """\
# Detector: PILATUS, simulated
# Pixel_size 172e-6 m x 172e-6 m
# Silicon sensor, thickness 0.000320 m
# Exposure_time 0.1 s
# Count_cutoff 100000 counts
# Wavelength 0.97 A
# Detector_distance 0.2 m
# Beam_xy (250.0, 100.0) pixels
# Start_angle {start:.4f} deg.
# Angle_increment 0.5000 deg.
"""

SPOTS = ((40, 60, 1), (120, 300, 2), (33, 471, 0))
"""First slow and fast pixel, and image, of squares of 3 x 3 pixels."""


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images of a single module with three spots on a flat background."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(6)
    for k in range(3):
        image = rng.poisson(4.0, (195, 487)).astype(np.int32)
        for slow, fast, where in SPOTS:
            if where == k:
                image[slow : slow + 3, fast : fast + 3] += 300
        write_cbf(f"x_{k + 1:04d}.cbf", image, HEADER.format(start=10.0 + 0.5 * k))
    return tmp_path


def test_from_images_to_a_picture(scan, capsys) -> None:
    assert metrology("import", "x_####.cbf") == 0
    assert "image_range               1, 3" in capsys.readouterr().out
    find = ("find-spots", "imported.expt", "-o", "spots", "--json")
    assert metrology(*find) == 0
    found = printed(capsys)
    assert found["spots_per_image"] == [1, 1, 1]
    table = read_refl("spots/strong.refl")
    expected = sorted((f + 1.5, s + 1.5, k + 0.5) for s, f, k in SPOTS)
    # px, images: the background of 4 in 300 pulls by nothing, its noise by some 0.01
    np.testing.assert_allclose(sorted(table["xyzobs.px.value"].tolist()), expected, atol=0.05)
    assert metrology(*find) == 0
    assert "spots: done before with the same input and settings, kept" in capsys.readouterr().err
    both = table.with_columns({"xyzcal.px": table["xyzobs.px.value"]})
    write_refl("both.refl", both)
    assert metrology("view", "imported.expt", "both.refl", "--image", "2") == 0
    assert capsys.readouterr().out == "1 found, 1 predicted\nwrote view.png\n"
    assert Path("view.png").read_bytes()[:4] == b"\x89PNG"


def test_tables_of_corrections_are_imported(scan, refused, capsys) -> None:
    """A maker's tables say that all is 1 px on along fast and half a pixel back along slow."""
    one = np.ones((195, 487))
    write_corrections(".", one, -0.5 * one)
    tables = ("--x-corrections", "x_geo_corr.cbf", "--y-corrections", "y_geo_corr.cbf")
    assert metrology("import", "x_####.cbf", *tables) == 0
    (plain,), (made,) = (read_expt("imported.expt") for _ in range(2))
    assert made.detector.modules[0].parallax
    at = np.array([0]), np.array([40.5]), np.array([60.5])
    x, y = plain.detector.pixel_to_mm(*at)
    x_too, y_too = pixels_to_mm(made, *at)
    # along the ray, so but for the parallax's change over a pixel
    np.testing.assert_allclose([x_too - x, y_too - y], [[0.172], [-0.086]], rtol=0, atol=1e-3)
    back = mm_to_pixels(made, at[0], x_too, y_too)
    np.testing.assert_allclose(np.array(back).ravel(), [40.5, 60.5], rtol=0, atol=2e-3)
    write_corrections(".", one, one, "xds")
    tables = ("--x-corrections", "X-CORRECTIONS.cbf", "--y-corrections", "Y-CORRECTIONS.cbf")
    assert metrology("import", "x_####.cbf", *tables, "-o", "xds.expt") == 0
    assert not read_expt("xds.expt")[0].detector.modules[0].parallax  # it is in the tables
    capsys.readouterr()
    said = refused("import", "x_####.cbf", *tables[:2], "-o", "no.expt")
    assert said == "--x-corrections and --y-corrections: give both or neither"
    other = ("--x-corrections", "none.cbf", "--y-corrections", "none.cbf")
    said = refused("import", "x_####.cbf", *other, "-o", "no.expt")
    assert said.endswith("none.cbf: no such table of corrections")
    said = refused("import", "x_####.cbf", "--x-corrections", "x_0001.cbf", "--y-corrections",
        "X-CORRECTIONS.cbf", "-o", "no.expt",
    )  # fmt: skip
    assert said.endswith("X-CORRECTIONS.cbf: a table of layout xds beside one of geometry")


def test_nexus_is_imported(scan, nxmx, refused, capsys) -> None:
    """A small NXmx file: beam, detector, goniometer and scan as it states them."""
    nxmx(Path("small.nxs"), 10.0 + 0.2 * np.arange(3))
    assert metrology("import", "small.nxs", "-o", "nexus.expt") == 0
    assert "image_range               1, 3" in capsys.readouterr().out
    (made,) = read_expt("nexus.expt")
    assert made.beam.wavelength_angstrom == pytest.approx(0.97625)
    assert made.scan.oscillation_deg == pytest.approx((10.0, 0.2))
    assert abs(made.detector.d[0, 2, 2]) == pytest.approx(100.0)
    assert metrology("find-spots", "nexus.expt", "-o", "spots", "--json") == 0
    assert printed(capsys)["spots_per_image"] == [1, 0, 1]
    said = refused("import", "small.nxs", "x_0001.cbf", "-o", "no.expt")
    assert said == "small.nxs: a NeXus file states its own panels and images: give it alone"
    Path("cut.nxs").write_bytes(Path("small.nxs").read_bytes()[:1000])
    assert refused("import", "cut.nxs", "-o", "no.expt").startswith("cut.nxs: ")


def test_images_beside_their_experiment(scan, capsys) -> None:
    """A folder that was moved is found by the place of its .expt file."""
    assert metrology("import", str(scan / "x_####.cbf"), "-o", "imported.expt") == 0
    moved = scan.parent / f"{scan.name}-moved"
    scan.rename(moved)
    try:
        assert metrology("find-spots", moved / "imported.expt", "-o", moved / "spots") == 0
    finally:
        moved.rename(scan)


def test_images_of_another_detector(scan, refused, capsys) -> None:
    assert metrology("import", "x_####.cbf") == 0
    capsys.readouterr()
    write_cbf("x_0001.cbf", np.zeros((100, 100), dtype=np.int32), HEADER.format(start=10.0))
    said = refused("find-spots", "imported.expt", "-o", "spots")
    assert said == (
        "x_0001.cbf: an image of 100 x 100 pixels (fast x slow): the detector has 487 x 195; it "
        "is of another one"
    )
    said = refused("view", "imported.expt", "--image", "9")
    assert said == "image 9: the scan has images 1 to 3"
    said = refused("view", "imported.expt", "--image", "2", "--window", "600:700,0:9")
    assert said == "window (600, 0, 700, 9): an image of 487 x 195 px (fast x slow)"
    said = refused("find-spots", "imported.expt", "--set", "gain=-1", "-o", "spots")
    assert said == "gain=-1: expected a positive number or None"


@pytest.mark.slow
def test_import_find_and_view(real_data, tmp_path, monkeypatch, capsys) -> None:
    """Two images of thaumatin: spots as published counts say, a picture with circles."""
    monkeypatch.chdir(tmp_path)
    images = [real_data(f"thaumatin-grid/thau_3_2_{k:04d}.cbf.bz2") for k in (2, 3)]
    assert metrology("import", *images, "--multi-panel") == 0
    assert "panels                    60" in capsys.readouterr().out
    find = ("find-spots", "imported.expt", "--min-spot-size", "3", "-o", "spots", "--json")
    assert metrology(*find) == 0
    found = printed(capsys)
    assert found["images"] == 2
    table = read_refl("spots/strong.refl")
    assert len(table) == found["spots"] > 2000
    assert metrology(*find) == 0
    assert "kept" in capsys.readouterr().err
    window = ("--window", "1000:1300,1000:1200")
    assert metrology("view", "imported.expt", "spots/strong.refl", *window, "-o", "v.png") == 0
    said = capsys.readouterr().out
    assert said.endswith("wrote v.png\n")
    assert int(said.split()[0]) == int(np.count_nonzero(table["xyzobs.px.value"][:, 2] < 1.0))
    assert Path("v.png").read_bytes()[:4] == b"\x89PNG"


def test_images_that_are_none(real_data, here, refused, capsys) -> None:
    image = real_data("thaumatin-grid/thau_3_2_0001.cbf.bz2").read_bytes()
    import bz2

    whole = bz2.decompress(image)
    Path("cut_0001.cbf").write_bytes(whole[: len(whole) // 2])
    assert metrology("import", "cut_0001.cbf") == 0  # its header is whole
    capsys.readouterr()
    said = refused("find-spots", "imported.expt", "-o", "spots")
    assert said.startswith("cut_0001.cbf: ")
    said = refused("view", "imported.expt", "-o", "v.png")
    assert "cut_0001.cbf: truncated: the pixels have" in said
    Path("head_0001.cbf").write_bytes(whole[:1500])
    said = refused("import", "head_0001.cbf")
    assert said == "head_0001.cbf: truncated before its pixels"
    write_corrections(".", np.zeros((8, 8)), np.zeros((8, 8)))  # CBF without a header that tells
    said = refused("import", "x_geo_corr.cbf", "-o", "no.expt")
    assert said.startswith("x_geo_corr.cbf: ")
    Path("text_0001.cbf").write_text("this is no image")
    assert refused("import", "text_0001.cbf").startswith("text_0001.cbf: ")
    Path("cut_0001.cbf").unlink()
    assert refused("find-spots", "imported.expt", "-o", "x") == "cut_0001.cbf: no such image"
