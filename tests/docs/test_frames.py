"""The pictures of the frames are what the code answers, and what the pages say in words."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from refimpl.frames import BEAM

DOCS = Path(__file__).parents[2] / "docs"
NUMBER = re.compile(r"-?\d+\.\d+")
UP, LEFT, ALONG = np.eye(3)[1], np.eye(3)[0], np.eye(3)[2]

# what the pages say in words: axes of each code, the image's fast and slow, its first centre
WORDS = {
    "lab": ((LEFT, UP, ALONG), -LEFT, -UP, "(0.5, 0.5)"),
    "midas": ((ALONG, LEFT, UP), -LEFT, UP, "(0, 0)"),
    "nearfield": ((ALONG, LEFT, UP), -LEFT, -UP, "(7.5, 5.5)"),
    "dials": ((-LEFT, UP, -ALONG), -LEFT, -UP, "(0.5, 0.5)"),
    "pyfai": ((UP, -LEFT, ALONG), -LEFT, UP, "(0.5, 0.5) pixels"),
    "hexrd": ((-LEFT, UP, -ALONG), -LEFT, -UP, "(−3.5, 2.5) pixels from the panel's centre"),
    "imaged11": ((ALONG, LEFT, UP), -LEFT, UP, "(0, 0)"),
    "xds": ((-LEFT, -UP, ALONG), -LEFT, -UP, "(1, 1)"),
    "crystfel": ((LEFT, UP, ALONG), -LEFT, -UP, "(0.5, 0.5)"),
    "nxmx": ((LEFT, UP, ALONG), -LEFT, -UP, "(0.5, 0.5)"),
}


@pytest.fixture(scope="module")
def drawn() -> Iterator[tuple[ModuleType, ModuleType, dict[str, Any]]]:
    sys.path.insert(0, str(DOCS))
    try:
        import frame_svg
        import frames

        yield frames, frame_svg, {name: frame() for name, frame in frames.FRAMES.items()}
    finally:
        sys.path.remove(str(DOCS))


def different(stored: str, made: str) -> str:
    """What differs beyond a rounding of the last digit; nothing where they are one picture."""
    if NUMBER.sub("#", stored) != NUMBER.sub("#", made):
        return "other words or elements"
    pairs = zip(NUMBER.findall(stored), NUMBER.findall(made), strict=True)
    return ", ".join(f"{a} for {b}" for a, b in pairs if abs(float(a) - float(b)) > 0.11)


def test_pictures_are_up_to_date(drawn: Any) -> None:
    frames, frame_svg, all_of_them = drawn
    files = {path.stem for path in frames.FOLDER.glob("*.svg")}
    assert files == set(all_of_them)
    for name, frame in all_of_them.items():
        stored = (frames.FOLDER / f"{name}.svg").read_text(encoding="utf-8")
        assert different(stored, frame_svg.svg(frame, BEAM)) == "", (
            f"{name}.svg: python docs/frames.py"
        )


@pytest.mark.parametrize("name", WORDS)
def test_axes_and_pixels_lie_as_the_pages_say(drawn: Any, name: str) -> None:
    axes, fast, slow, first = WORDS[name]
    frame = drawn[2][name]
    np.testing.assert_allclose(list(frame.axes.values()), axes, atol=1e-9)
    np.testing.assert_allclose(frame.panel.fast_axis, fast, atol=1e-9)
    np.testing.assert_allclose(frame.panel.slow_axis, slow, atol=1e-9)
    assert frame.first == first
    matrix = np.array(list(frame.axes.values()))
    assert np.linalg.det(matrix) == pytest.approx(1.0)  # right-handed


def test_what_turns(drawn: Any) -> None:
    _, _, frames = drawn
    for name in ("lab", "midas"):  # 0 at the top, clockwise seen along the beam: to the right
        _, axis, zero, sixty = frames[name].turning
        assert axis is None
        np.testing.assert_allclose(zero, UP, atol=1e-12)
        assert sixty @ -LEFT > 0.8
    _, axis, first, second = frames["nearfield"].turning
    assert np.cross(first, second) @ axis > 0.8  # right-handed


def test_every_picture_is_on_a_page(drawn: Any) -> None:
    pages = "".join((DOCS / f"{p}.md").read_text() for p in ("conventions", "geometry_conversion"))
    assert set(re.findall(r"\]\(pictures/frames/(\w+)\.svg\)", pages)) == set(drawn[2])


def test_a_changed_picture_is_seen(drawn: Any) -> None:
    _, frame_svg, frames = drawn
    one = frame_svg.svg(frames["pyfai"], BEAM)
    assert different(one, one) == ""
    assert different(one, one.replace("pyFAI", "pyfai")) != ""
    number = NUMBER.findall(one)[20]
    assert different(one, one.replace(number, f"{float(number) + 0.3:.1f}")) != ""
