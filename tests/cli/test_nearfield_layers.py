"""Two layers of a sample in one folder: neither reads the lit pixels of the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.nearfield_files import lit_pixels, load
from refimpl.errors import FormatError
from refimpl.io.lit_files import FramePixels, stream_spots_info, write_frame_pixels
from refimpl.nearfield.example import SMALL, write_example
from refimpl.nearfield.image_result import lit_path


def test_a_layer_reads_its_own_lit_pixels(tmp_path: Path) -> None:
    job = load(write_example(tmp_path, n_grains=2, **SMALL).parameters)
    shape_px, n = job.setup.detector.shape_px, job.setup.scan.n_frames

    def process(layer: int) -> None:
        """What process-images leaves: the files of a layer, and the published bits last."""
        lit = np.arange(layer, dtype=np.uint16)  # as many pixels as the layer's number
        ptr = np.array([0] + [layer] * n)
        found = [FramePixels(shape_px, lit, lit, ptr) for _ in range(2)]
        for distance, one in enumerate(found):
            write_frame_pixels(lit_path(tmp_path, distance, layer), one)
        stream_spots_info(tmp_path / "SpotsInfo.bin", found)

    process(1)
    with pytest.raises(FormatError, match="neither lit_pixels"):
        lit_pixels(job, tmp_path, 2)
    process(2)
    assert [lit_pixels(job, tmp_path, layer).n_lit for layer in (1, 2)] == [2, 4]
    for distance in range(2):
        lit_path(tmp_path, distance, 1).unlink()
    with pytest.raises(FormatError, match="neither lit_pixels"):
        lit_pixels(job, tmp_path, 1)
