"""Files of the published panel refinement on a real Pilatus 2M frame: read, written, compared.

Golden values: outputs of MIDAS at the commit of the AutoCalibrate manual version 10 with 6 x 8
half-modules (`powder-golden`), and the shifts that an independent least-squares program found on
the published points in the gauge zero sum, zero rotation, zero expansion.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refimpl.detector.corrections import GAP, same_gauge, shift_map
from refimpl.detector.panel_boxes import published_order
from refimpl.detector.panel_grid import named_grid
from refimpl.interop.hexrd import detector_from_hexrd, read_hexrd
from refimpl.interop.midas import panel_grid
from refimpl.interop.panels import tilted_flat_from_panels
from refimpl.io.images import read
from refimpl.io.midas_params import read_params
from refimpl.io.panel_files import (
    read_corrections,
    read_panel_tif,
    write_corrections,
    write_shifts_tif,
)
from refimpl.io.panel_grids import resolve_grid

RealData = Callable[[str], Path]
GRID = named_grid("pilatus2m-half")
BOXES = GRID.boxes()
RUNS = ("panels-it10", "panels-full-it10")
FIXED = 20


@pytest.mark.parametrize("run", RUNS)
def test_the_parameter_file_describes_the_named_grid(real_data: RealData, run: str) -> None:
    params = read_params(real_data(f"powder-golden/{run}/ps.txt"))
    assert panel_grid(params) == GRID
    GRID.check((params["NrPixelsZ"], params["NrPixelsY"]))


@pytest.mark.parametrize("run", RUNS)
def test_panel_shifts_through_our_units_byte_for_byte(
    real_data: RealData, tmp_path: Path, run: str
) -> None:
    path = real_data(f"powder-golden/{run}/panelshifts.txt")
    table = read_corrections(path, len(GRID))
    assert not np.any(table[FIXED])
    write_corrections(tmp_path / "p.txt", table)
    assert (tmp_path / "p.txt").read_bytes() == path.read_bytes()


@pytest.fixture(scope="module")
def published_tif(real_data: RealData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    packed = real_data("powder-golden/panels-it10/panelshifts.txt.shifts.tif.gz")
    path = tmp_path_factory.mktemp("tif") / "published.shifts.tif"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


def test_the_published_map_of_shifts(published_tif: Path, real_data: RealData) -> None:
    published = read_panel_tif(published_tif, GRID.shape)
    ours = shift_map(BOXES, read_corrections(
        real_data("powder-golden/panels-it10/panelshifts.txt"), len(GRID)
    ), GRID.shape)  # fmt: skip
    np.testing.assert_array_equal(published == GAP, ours == GAP)
    # Row 0 is the lowest Z: upside down the panels that were never moved would be 19 and 27
    still = [n for n, (f0, s0, _, _) in enumerate(BOXES) if published[s0, f0] == 0.0]
    assert still == [FIXED, 28]  # 28 holds the beam and has too few points
    assert not np.any(ours[(published == 0.0)])
    # The two files are of different repetitions of one run, which does not repeat itself (mean
    # strain 92.7 and 95.9 microstrain): 0.02 px apart in the median, 0.23 px at most, with shifts
    # of up to 0.9 px. So the values are compared with bounds of that size, and exactly below.
    inside = published != GAP
    assert np.corrcoef(ours[inside], published[inside])[0, 1] > 0.94
    assert np.median(np.abs(ours - published)[inside]) < 0.023


def test_our_map_of_the_published_shifts_is_the_published_one(
    published_tif: Path, tmp_path: Path
) -> None:
    # No panel is turned in this run: its map holds one length a panel, in whatever direction
    published = read_panel_tif(published_tif)
    lengths = np.array([published[s0, f0] for f0, s0, _, _ in BOXES], dtype=float)
    table = np.zeros((len(GRID), 7))
    table[:, 0], table[:, 1] = 0.6 * lengths, -0.8 * lengths
    write_shifts_tif(tmp_path / "s.tif", BOXES, table, GRID.shape)
    # one float32 ulp: 0.36 + 0.64 is not exactly 1 in binary, nor is what a centre plus a shift
    # minus a pixel loses (1e-13 px)
    np.testing.assert_allclose(read_panel_tif(tmp_path / "s.tif"), published, rtol=1.2e-7, atol=0)


def test_three_programs_in_one_gauge(real_data: RealData) -> None:
    table = np.loadtxt(real_data("powder-golden/lm_gauge_panels.txt"))
    np.testing.assert_array_equal(table[:, 0], np.arange(len(GRID)))
    least_squares = table[:, 1:]
    runs = [read_corrections(real_data(f"powder-golden/{run}/panelshifts.txt"), 48) for run in RUNS]
    unchanged, first = same_gauge(least_squares, runs[0][:, :2], BOXES)
    # It is in this gauge already, but for the weight of its gauge rows (sums of 0.0017 px)
    np.testing.assert_allclose(unchanged, least_squares, rtol=0, atol=7e-4)
    second = same_gauge(runs[0], runs[1], BOXES)[1][:, :2]
    out = 0.5 * (BOXES[:, :2] + BOXES[:, 2:]) - (775.3, 871.4)
    radial = [np.sum(v * out, axis=1) / np.hypot(*out.T) for v in (unchanged, first, second)]
    correlation = np.corrcoef(radial)
    # Measured: 0.926, 0.897 and 0.962; 0.72 and 0.74 for the first two with the common modes in.
    # A wrong sign or a panel numbered otherwise gives about 0
    assert correlation[0, 1] > 0.92
    assert correlation[0, 2] > 0.89
    assert correlation[1, 2] > 0.96


def test_the_published_composite_as_one_model(real_data: RealData) -> None:
    """24 panels of six degrees of freedom each that HEXRD fitted to the frame, pixel by pixel."""
    instrument = read_hexrd(real_data("pilatus2m-ceria-hexrd/geometry_24panels.json"))
    places = {p.name: [int(n) for n in p.name.split("_")[-2:]] for p in instrument.panels}
    origins = {name: (494 * column, 212 * row) for name, (row, column) in places.items()}
    detector = detector_from_hexrd(instrument, (1679, 1475), origins)
    model = tilted_flat_from_panels(detector)
    assert model.image_transform == (2,)
    order = published_order(model.panel_boxes)
    np.testing.assert_array_equal(model.panel_boxes[order], named_grid("pilatus2m").boxes())
    again = model.detector()
    for panel, same in zip(detector.panels, again.panels, strict=True):
        f, s = np.meshgrid([0.5, 486.5], [0.5, 194.5])
        np.testing.assert_allclose(same.lab_mm(f, s), panel.lab_mm(f, s), rtol=0, atol=1e-9 * 0.172)
    # through the parametrised model itself: the image as stored is the model frame upside down
    for mine, theirs in zip(model.maps(), detector.maps(), strict=True):
        np.testing.assert_array_equal(np.isnan(mine[::-1]), np.isnan(theirs))
        # 3e-16 and 1e-13 rad measured; 1e-12 rad of eta is 1e-12 of a radius
        np.testing.assert_allclose(mine[::-1], theirs, rtol=0, atol=1e-12)
    # HEXRD's panels one by one: 1.5 mm high and 25 mrad tilted where its rings say little
    assert np.abs(model.panel_corrections[:, 3]).max() == pytest.approx(1.477, abs=1e-3)
    assert 739.5 < model.lsd_mm < 739.8


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        ("pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5", "pilatus2m-half"),  # CdTe
        ("pilatus1m-ceria-cpf/CeO2_Pil207_E30_2Nov2016_001.tif", "pilatus1m"),  # silicon
    ],
)
def test_named_grids_are_what_real_frames_show(real_data: RealData, frame: str, name: str) -> None:
    image = read(real_data(frame), transforms=(2,))
    shape = image.data.shape
    found, description = resolve_grid("auto", shape, usable=~np.asarray(image.mask))
    np.testing.assert_array_equal(found, resolve_grid(name, shape)[0])
    assert description == f"auto: {len(found)} panels between fully masked rows and columns"
