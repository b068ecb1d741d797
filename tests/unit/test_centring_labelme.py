"""Outlined pictures and mesh scans as data, and files of labelme that are wrong."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refimpl.centring.crops import CropRule, prepared
from refimpl.centring.datasets import open_samples
from refimpl.centring.datasets_made import FULL_COUNT, labelled_samples, mesh_samples
from refimpl.errors import ConfigError, FormatError
from refimpl.io.labelme import read_labelme

CRYSTAL = [[20.0, 10.0], [40.0, 10.0], [40.0, 30.0], [20.0, 30.0]]


def shape(label: str, points: Any, kind: str = "polygon") -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind}


def write(path: Path, outlines: list[dict[str, Any]], **others: Any) -> Path:
    memory = io.BytesIO()
    picture = np.random.default_rng(2).integers(0, 255, (50, 60, 3), dtype=np.uint8)
    Image.fromarray(picture).save(memory, "PNG")
    content: dict[str, Any] = {
        "version": "4.5.6", "shapes": outlines, "imagePath": "x.png",
        "imageData": base64.b64encode(memory.getvalue()).decode(), "imageHeight": 50,
        "imageWidth": 60,
    }  # fmt: skip
    path.write_text(json.dumps(content | others))
    return path


def test_outlines_become_masks(tmp_path: Path) -> None:
    shapes = [
        shape("crystal", CRYSTAL), shape("crystal", [[50, 40], [52, 42]], "rectangle"),
        shape("loop", [[30, 20], [30, 26]], "circle"), shape("user_click", [[31.5, 22.0]], "point"),
        shape("stem", [[0, 0], [9, 9]], "line"),
    ]  # fmt: skip
    got = read_labelme(write(tmp_path / "a.json", shapes))
    assert got.picture.shape == (50, 60, 3)
    assert got.labels == ("crystal", "loop", "stem", "user_click")
    assert got.click_px == (31.5, 22.0)
    want = np.zeros((50, 60), dtype=bool)
    want[10:30, 20:40] = True  # pixels whose middles are within the outline
    want[40:42, 50:52] = True
    np.testing.assert_array_equal(got.mask("crystal"), want)
    assert got.mask("loop").sum() == pytest.approx(np.pi * 36.0, rel=0.05)
    assert not got.mask("stem").any()
    assert not got.mask("ice").any()


def test_a_picture_beside_the_file(tmp_path: Path) -> None:
    Image.fromarray(np.full((50, 60), 9, dtype=np.uint8)).save(tmp_path / "x.png")
    path = write(tmp_path / "a.json", [], imageData=None)
    got = read_labelme(path)
    assert (got.picture == 9).all()
    assert got.click_px is None


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"shapes": None}, "no list shapes"),
        ({"shapes": [{}]}, r"shapes\[0\]: no label"),
        ({"shapes": [shape("a", "x")]}, r"shapes\[0\]: points: expected pairs"),
        ({"shapes": [shape("a", [[1, 2, 3]])]}, "points: expected pairs of numbers"),
        ({"shapes": [shape("a", [[1, 2], [3, 4]])]}, "2 points: a polygon has 3 or more"),
        ({"imageData": "!"}, "imageData: not base64"),
        ({"imageData": "aGVsbG8="}, r"a\.json: not a picture"),
        ({"imageData": None}, r"x\.png: cannot read the picture: No such file"),
        ({"imageData": None, "imagePath": 3}, "neither imageData nor imagePath"),
        ({"imageHeight": 51}, "imageHeight 51: the picture has 50"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, others: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        read_labelme(write(tmp_path / "a.json", [], **others))


def test_no_files_of_labelme(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot read: No such file"):
        read_labelme(tmp_path / "none.json")
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(FormatError, match="not JSON"):
        read_labelme(tmp_path / "b.json")
    (tmp_path / "b.json").unlink()
    with pytest.raises(FormatError, match=r"no \.json files of labelme"):
        open_samples(f"labelme:{tmp_path}")
    with pytest.raises(ConfigError, match="labelled pictures: no files"):
        labelled_samples([])


def test_outlines_become_counts(tmp_path: Path) -> None:
    write(tmp_path / "k_zoom_5_x.json", [shape("crystal", CRYSTAL)])
    write(tmp_path / "empty.json", [])
    got = open_samples(f"labelme:{tmp_path}", size=16, seed=3)
    assert len(got) == 80
    own = got.crystal == "k_zoom_5_x"
    assert not got.count[~own].any()
    assert got.count[own].max() > 0.95 * FULL_COUNT
    assert got.count[own].min() < 0.05 * FULL_COUNT
    assert (got.zoom[own] == 5.0).all()
    assert np.isnan(got.zoom[~own]).all()
    # a file's places do not depend on the others
    alone = labelled_samples([tmp_path / "k_zoom_5_x.json"], size=16, seed=3)
    np.testing.assert_array_equal(alone.count, got.count[own])
    np.testing.assert_array_equal(alone.images, got.images[own])
    with pytest.raises(FormatError, match=r"empty\.json: no zoom in the name"):
        open_samples(f"labelme:{tmp_path}", size=16, rule=CropRule(10.0, 2.0))


def test_a_mesh_scan_over_one_picture() -> None:
    picture = np.random.default_rng(0).random((40, 50))
    points, rule = np.array([[10.0, 20.0], [30.5, 5.0]]), CropRule(8.0, 4.0)
    got = mesh_samples(picture, points, [3, 500], crystal="m", rule=rule, zoom=2.0, size=16)
    assert got.count.tolist() == [3.0, 500.0]
    for row, (x, y) in enumerate(points):
        want = prepared(picture, 2.0, rule, size=16, centre_px=(x, y))
        np.testing.assert_allclose(got.images[row, 0], want, atol=1e-5)
    with pytest.raises(ConfigError, match=r"\(2, 2\) points and \(3,\) counts"):
        mesh_samples(picture, points, [1, 2, 3], crystal="m", rule=rule, zoom=2.0)
    with pytest.raises(ConfigError, match="a point is not finite"):
        mesh_samples(picture, points * np.nan, [1, 2], crystal="m", rule=rule, zoom=2.0)
    with pytest.raises(ConfigError, match="the picture has values that are not finite"):
        mesh_samples(picture * np.nan, points, [1, 2], crystal="m", rule=rule, zoom=2.0)
