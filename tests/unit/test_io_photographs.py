"""Photographs: modes, depths, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refimpl.errors import FormatError
from refimpl.io.photographs import read_photograph

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8)


def test_grey_and_colour(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_photograph(tmp_path / "grey.png"), RAMP)
    colour = np.stack([RAMP, RAMP + 50, RAMP + 100], axis=-1)
    for suffix in ("png", "tif", "bmp"):
        Image.fromarray(colour).save(tmp_path / f"colour.{suffix}")
        np.testing.assert_array_equal(read_photograph(tmp_path / f"colour.{suffix}"), colour)
    Image.fromarray(colour).save(tmp_path / "colour.jpg", quality=95)
    assert read_photograph(tmp_path / "colour.jpg").shape == (6, 8, 3)


def test_transparency_is_left_out_and_a_palette_looked_up(tmp_path: Path) -> None:
    clear = np.dstack([RAMP, RAMP, RAMP, np.zeros_like(RAMP)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(read_photograph(tmp_path / "clear.png")[..., 1], RAMP)
    Image.fromarray(RAMP).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_photograph(tmp_path / "palette.png")[..., 2], RAMP)


def test_values_stay_as_they_are_stored(tmp_path: Path) -> None:
    deep = RAMP.astype(np.uint16) * 1000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_photograph(tmp_path / "deep.png"), deep)
    data = (tmp_path / "deep.png").read_bytes()
    np.testing.assert_array_equal(read_photograph("within.json", data), deep)


def test_files_that_are_no_photographs(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.png: cannot read the picture: No such file"):
        read_photograph(tmp_path / "none.png")
    with pytest.raises(FormatError, match="cannot read the picture: Is a directory"):
        read_photograph(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(FormatError, match=r"text\.png: not a picture .JPEG, PNG"):
        read_photograph(tmp_path / "text.png")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match=r"torn\.png: cannot read the picture"):
        read_photograph(tmp_path / "torn.png")
