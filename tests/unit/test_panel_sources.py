"""Panels of an image: by name, from a description file, from its gaps; and every refusal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.detector.orientation import DIHEDRAL, model_from_file, transformed_shape
from refimpl.detector.panel_boxes import boxes_in_model_frame, check_boxes
from refimpl.detector.panel_grid import PanelGrid, named_grid
from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.io.panel_grids import resolve_grid

SHAPE = (40, 60)
PANELS = """# two panels of unequal size
[[panel]]
name = "left"
fast0 = 0
slow0 = 5
n_fast = 20
n_slow = 30

[[panel]]
name = "right"
fast0 = 22
slow0 = 0
n_fast = 38
n_slow = 40
"""
BOXES = [[0, 5, 20, 35], [22, 0, 60, 40]]
GRID = """n_fast = 2
n_slow = 3
size_fast_px = 29
size_slow_px = 12
gaps_fast_px = [2]
gaps_slow_px = 2
"""


def written(folder: Path, text: str, name: str = "panels.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


# --- names ---------------------------------------------------------------------------------------


def test_by_name() -> None:
    boxes, description = resolve_grid("pilatus2m-half", (1679, 1475))
    np.testing.assert_array_equal(boxes, named_grid("pilatus2m-half").boxes())
    assert description == "pilatus2m-half: 6 x 8 panels of 243 x 195 px"


def test_a_detector_on_its_side() -> None:
    boxes, description = resolve_grid("Pilatus 2M", (1475, 1679))
    assert boxes[0].tolist() == [0, 0, 195, 487]
    assert boxes[1].tolist() == [0, 494, 195, 981]
    assert description == "Pilatus 2M, turned by 90 degrees: 8 x 3 panels of 195 x 487 px"
    assert len(resolve_grid("eiger500k", (1030, 514))[0]) == 1


def test_a_name_that_does_not_fit() -> None:
    message = (
        r"panel grid 'eiger16m': the grid of 4 x 8 panels .* spans 4150 x 4371 px, the image has "
        r"1475 x 1679; pilatus2m or pilatus2m-half would fit$"
    )
    with pytest.raises(GeometryError, match=message):
        resolve_grid("eiger16m", (1679, 1475))
    with pytest.raises(GeometryError, match=r"the image has 11 x 10$"):
        resolve_grid("eiger16m", (10, 11))


def test_a_name_that_is_none() -> None:
    message = r"unknown panel grid 'pilatus2': did you mean .*; or auto, or the path of a \.toml"
    with pytest.raises(ConfigError, match=message):
        resolve_grid("pilatus2", SHAPE)


# --- gaps ----------------------------------------------------------------------------------------


def test_from_the_gaps() -> None:
    usable = np.ones(SHAPE, dtype=bool)
    usable[:, 28:31] = False
    usable[19] = False
    boxes, description = resolve_grid("auto", SHAPE, usable=usable)
    assert boxes.tolist() == [
        [0, 0, 28, 19], [0, 20, 28, 40], [31, 0, 60, 19], [31, 20, 60, 40],
    ]  # fmt: skip
    assert description == "auto: 4 panels between fully masked rows and columns"


def test_gaps_that_are_none() -> None:
    with pytest.raises(GeometryError, match="'auto': no row or column is masked from end to end"):
        resolve_grid("auto", SHAPE, usable=np.ones(SHAPE, dtype=bool))
    with pytest.raises(ConfigError, match=r"needs the mask of the image of \(40, 60\), got none"):
        resolve_grid("auto", SHAPE)
    with pytest.raises(ConfigError, match=r"\(40, 60\), got one of \(60, 40\)"):
        resolve_grid("auto", SHAPE, usable=np.ones((60, 40), dtype=bool))


# --- files ---------------------------------------------------------------------------------------


def test_a_list_of_panels(tmp_path: Path) -> None:
    boxes, description = resolve_grid(written(tmp_path, PANELS), SHAPE)
    assert boxes.tolist() == BOXES
    assert boxes.dtype == np.int64
    assert description == "panels.toml: 2 panels"


@pytest.mark.parametrize("whole", [True, False])
def test_the_same_as_json(tmp_path: Path, whole: bool) -> None:
    panels = [
        {"fast0": f0, "slow0": s0, "n_fast": f1 - f0, "n_slow": s1 - s0} for f0, s0, f1, s1 in BOXES
    ]
    text = json.dumps(panels if whole else {"frame": "model", "panel": panels})
    boxes, _ = resolve_grid(str(written(tmp_path, text, "p.json")), SHAPE)
    assert boxes.tolist() == BOXES


def test_the_keys_of_a_grid(tmp_path: Path) -> None:
    boxes, description = resolve_grid(written(tmp_path, GRID), SHAPE)
    expected = PanelGrid(2, 3, 29, 12, (2,), (2, 2))
    np.testing.assert_array_equal(boxes, expected.boxes())
    assert description == "panels.toml: 2 x 3 panels of 29 x 12 px"


@pytest.mark.parametrize("codes", DIHEDRAL)
def test_pixels_counted_as_in_the_file(tmp_path: Path, codes: tuple[int, ...]) -> None:
    path = written(tmp_path, 'frame = "file"\n' + PANELS)
    model_shape = transformed_shape(codes, SHAPE)
    boxes, _ = resolve_grid(path, model_shape, image_transform=codes)
    # by hand: an image of panel numbers is laid onto the detector as the codes say
    image = np.full(SHAPE, -1)
    for n, (f0, s0, f1, s1) in enumerate(BOXES):
        image[s0:s1, f0:f1] = n
    for code in codes:
        image = {1: np.fliplr, 2: np.flipud, 3: np.transpose}[code](image)
    for n, (f0, s0, f1, s1) in enumerate(boxes):
        assert np.all(image[s0:s1, f0:f1] == n)
        assert (f1 - f0) * (s1 - s0) == np.count_nonzero(image == n)


def test_a_grid_counted_as_in_the_file_is_numbered_in_the_model(tmp_path: Path) -> None:
    text = 'frame = "file"\n' + GRID.replace("gaps_slow_px = 2", "gaps_slow_px = [1, 3]")
    path = written(tmp_path, text)
    boxes, _ = resolve_grid(path, SHAPE, image_transform=(2,))
    expected = PanelGrid(2, 3, 29, 12, (2,), (3, 1))  # upside down
    np.testing.assert_array_equal(boxes, expected.boxes())


@given(
    st.lists(st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 30)] * 2), max_size=5),
    st.sampled_from(DIHEDRAL),
)
def test_boxes_cover_the_same_pixels_in_both_frames(
    panels: list[tuple[int, int, int, int]], codes: tuple[int, ...]
) -> None:
    boxes = np.array([(f, s, f + n, s + m) for f, s, n, m in panels], dtype=np.int64).reshape(-1, 4)
    moved = boxes_in_model_frame(boxes, codes, (64, 61))
    matrix, offset = model_from_file(codes, (64, 61))
    middle = (0.5 * (boxes[:, :2] + boxes[:, 2:])) @ matrix.T + offset
    np.testing.assert_array_equal(0.5 * (moved[:, :2] + moved[:, 2:]), middle)
    area, again = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, moved))
    np.testing.assert_array_equal(again, area)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", FormatError, r"panels\.toml: no panels: expected the keys of a grid"),
        ("a = = 1\n", FormatError, r"panels\.toml:1: not TOML: "),
        ("panel = []\n", FormatError, "panel is empty"),
        ("panel = [3]\n", FormatError, "panel 0: expected the keys fast0, .*, got 3"),
        ('frame = "lab"\n' + PANELS, ConfigError, r"toml:1: frame = 'lab': expected 'model' or"),
        ('frame = "file"\n' + PANELS, ConfigError, r"toml:1: frame = 'file' needs the image"),
        (
            PANELS + "fast_0 = 3\n",
            ConfigError,
            r"toml:15: unknown key 'fast_0': did you mean fast0",
        ),
        (GRID + "n_panels = 6\n", ConfigError, r"toml:7: unknown key 'n_panels': did you mean"),
        (GRID + "xyz = 6\n", ConfigError, r"toml:7: unknown key 'xyz': expected n_fast, n_slow, "),
        ("n_fast = 2\n", ConfigError, "the panel grid: n_slow is missing"),
        (GRID.replace("29", "29.5"), ConfigError, r"toml:3: the panel grid: size_fast_px = 29\.5"),
        (GRID.replace("[2]", "[true]"), ConfigError, r"toml:5: gaps_fast_px = \[True\]: expected"),
        (GRID.replace("[2]", "[2, 2]"), GeometryError, r"toml:5: .* have 1 gaps between them"),
        (GRID.replace("29", "0"), GeometryError, r"toml:3: panel grid: size_fast_px = 0"),
        (GRID.replace("29", "28"), GeometryError, r"panels\.toml: the grid of 2 x 3 .* 58 x 40 px"),
        (PANELS.replace("n_slow = 40\n", ""), ConfigError, r"toml:9: panel right: n_slow is mis"),
        (PANELS.replace("= 38", '= "38"'), ConfigError, r"toml:13: panel right: n_fast = '38': ex"),
        (PANELS.replace("right", "left"), ConfigError, r"toml:9: two panels are called left"),
        (
            PANELS.replace("= 22", "= 19"),
            GeometryError,
            r"toml:9: panel right overlaps panel left in fast 19 to 20, slow 5 to 35",
        ),
        (
            PANELS.replace("= 22", "= 23"),
            GeometryError,
            r"toml:9: panel right spans fast 23 to 61 and slow 0 to 40, outside the image of 60 x",
        ),
        (PANELS.replace("= 20", "= 0"), GeometryError, r"toml:2: panel left has 0 x 30 px"),
    ],
)
def test_files_refused(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        resolve_grid(written(tmp_path, text), SHAPE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"panel": \n 3', r"p\.json:2: not JSON: "),
        ("3", r"p\.json: no panels: expected"),
        ('{"panel": [{"fast0": 1}]}', r"p\.json: panel 0: slow0 is missing"),
        ('{"panel": 7}', r"p\.json: panel is empty"),
    ],
)
def test_json_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises((FormatError, ConfigError), match=message):
        resolve_grid(written(tmp_path, text, "p.json"), SHAPE)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no\.toml: cannot be read: No such file"):
        resolve_grid(str(tmp_path / "no.toml"), SHAPE)
    with pytest.raises(FormatError, match="no such panel description file"):
        resolve_grid("here/grid", SHAPE)
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match="cannot be read: not UTF-8"):
        resolve_grid(path, SHAPE)


def test_a_panel_inside_another_is_an_overlap() -> None:
    with pytest.raises(GeometryError, match="panel 1 overlaps panel 0 in fast 2 to 3, slow 2 to 4"):
        check_boxes(np.array([[0, 0, 9, 9], [2, 2, 3, 4]]), (9, 9))
    check_boxes(np.array([[0, 0, 4, 9], [4, 0, 9, 9]]), (9, 9))  # side by side is none
