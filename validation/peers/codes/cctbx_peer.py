"""cctbx: distl.signal_strength on images that are in memory.

Its spot finder is compiled in the wheel of PyPI; what reads images is not, so that the pixels are
handed over, and a header of the few lines that its Pilatus reader looks for is written.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import spotfinder.diffraction.imagefiles as imagefiles
from iotbx.detectors.pilatus_minicbf import PilatusImage
from scitbx.array_family import flex
from spotfinder.command_line import signal_strength

HEADER = """###CBF: VERSION 1.5
_array_data.header_contents
;
# Detector: PILATUS3, S/N 00-0000
# Pixel_size 172e-6 m x 172e-6 m
# Count_cutoff {overload:d} counts
# Wavelength {wavelength:.9f} A
# Detector_distance {distance:.9f} m
# Beam_xy ({fast:.9f}, {slow:.9f}) pixels
# Start_angle 0.0 deg.
# Angle_increment 0.0 deg.
# Detector_2theta 0.0 deg.
# Phi 0.0 deg.
# Oscillation_axis OMEGA
;
_array_data.data
;
X-Binary-Size-Fastest-Dimension: {columns:d}
X-Binary-Size-Second-Dimension: {rows:d}
"""


class _Held(PilatusImage):
    """An image whose pixels are here already."""

    pixels: np.ndarray

    def read(self, algorithm: Any = None) -> None:
        self.readHeader()
        self.bin_safe_set_data(flex.int(np.ascontiguousarray(self.pixels, dtype=np.int32)))


def distl_listing(given: dict[str, Any]) -> tuple[Callable[[], str], Callable[[str], Any]]:
    """List one still with distl's defaults."""
    image = given["image"]
    folder = tempfile.mkdtemp()  # the process ends with its task
    path = Path(folder, "still_1_0001.cbf")
    path.write_text(HEADER.format(
        overload=int(given["overload"]), wavelength=float(given["wavelength_angstrom"]),
        distance=1e-3 * float(given["lsd_mm"]), fast=float(given["beam_px"][0]),
        slow=float(given["beam_px"][1]), columns=image.shape[1], rows=image.shape[0],
    ))  # fmt: skip

    def held(name: str, optional_index: int | None = None) -> _Held:
        found = _Held(name)
        found.pixels = image
        found.readHeader()
        return found

    imagefiles.ImageFactory = held  # its own wants dxtbx, which is not on PyPI

    def run() -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            signal_strength.run(args=[str(path)])
        return said.getvalue()

    return run, listing


def listing(text: str) -> dict[str, Any]:
    """The twelve lines from Spot Total on, without the file's name."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.strip().startswith("Spot Total"))
    return {"lines": np.array(lines[first : first + 11])}
