"""``refimpl centring loop``: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main

cv2 = pytest.importorskip("cv2")


def run(*arguments: object) -> int:
    return main(["centring", "loop", *(str(a) for a in arguments)])


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    """A dark pin from the left that ends in a ring."""
    image = np.full((600, 800), 200, np.uint8)
    cv2.rectangle(image, (0, 250), (250, 350), 5, -1)
    cv2.line(image, (250, 300), (400, 300), 20, 9)
    cv2.ellipse(image, (450, 300), (50, 35), 0, 0, 360, 20, 7)
    path = tmp_path_factory.mktemp("loop") / "ring.png"
    assert cv2.imwrite(str(path), image)
    return path


def test_json(picture: Path, capsys) -> None:
    assert run(picture, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"x", "y"}
    # the corrected point lies in the ring: 50 x 35 px about (450.5, 300.5)
    assert abs(found["x"] - 450.5) < 40
    assert abs(found["y"] - 300.5) < 3


def test_published_mode_prints_whole_numbers(picture: Path, capsys) -> None:
    assert run(picture, "--mode", "lucid3", "--json") == 0
    published = json.loads(capsys.readouterr().out)
    assert all(isinstance(v, int) for v in published.values())
    assert run(picture, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "x": published["x"] + 0.5,
        "y": published["y"] + 10.5,
    }


def test_empty_picture_has_no_loop(tmp_path: Path, capsys) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((600, 800), 128, np.uint8))
    for mode in ("corrected", "lucid3", "lucid2"):
        assert run(tmp_path / "empty.png", "--mode", mode, "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"x": None, "y": None}
    assert run(tmp_path / "empty.png") == 0
    assert capsys.readouterr().out == "no loop detected\n"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--mode", "lucid4"), "mode 'lucid4': expected corrected, lucid3, lucid2"),
        (("--pin-side", "up"), "pin side 'up': expected left, right, top, bottom"),
        (("--um-per-px", "0"), "um/px = 0: expected a positive number"),
        (("--um-per-px", "nan"), "um/px = nan: expected a positive number"),
        (("--um-per-px", "0.01"), "is too small for lucid"),
        (("--um-per-px", "1", "--mode", "lucid3"), "lucid3 knows one scale"),
    ],
)
def test_refusals(options: tuple[str, ...], text: str, picture: Path, capsys) -> None:
    assert run(picture, *options) == 2
    assert text in capsys.readouterr().err


def test_files_that_are_no_pictures(tmp_path: Path, capsys) -> None:
    assert run(tmp_path / "none.png") == 2
    assert "none.png: cannot be read" in capsys.readouterr().err
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_text("")
    for name in ("text.png", "empty.png"):
        assert run(tmp_path / name) == 2
        assert "is not a picture that OpenCV reads" in capsys.readouterr().err
