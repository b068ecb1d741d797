"""From one format to another and back: every pixel stays where it is, whatever the geometry."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.cli.convert_files import Options
from refimpl.cli.convert_formats import FORMATS
from refimpl.cli.convert_run import largest_difference, read_setup, write_setup
from refimpl.crystal.crystal_model import Crystal
from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL
from refimpl.detector.panel_grid import PanelGrid
from refimpl.forward.experiment import Goniometer, Scan
from refimpl.interop.crystfel import crystfel_frame
from refimpl.interop.nexus_write import turned
from refimpl.interop.setup import Setup, experiment_of, setup_from_experiments, setup_from_model
from refimpl.rotations import expmap

NAMES = {
    "geometry": "g.json", "midas": "m.txt", "dials": "d.expt", "poni": "p.poni",
    "hexrd": "h.yml", "crystfel": "c.geom", "imaged11": "i.par", "xds": "XPARM.XDS",
    "nxmx": "n.nxs", "pyfai": "n.poni",
}  # fmt: skip
if importlib.util.find_spec("yaml") is None:  # comes with the extra "interop"
    del NAMES["hexrd"]
MM, RAD = 1e-9, 1e-10
"""What a round trip may change: the least that the formats promise."""

tilt = st.floats(-0.3, 0.3)
small = st.floats(-0.5, 0.5)


@st.composite
def planes(draw):
    size = draw(st.floats(0.05, 0.2))
    return setup_from_model(
        TiltedFlat(
            shape=(draw(st.integers(50, 1500)), draw(st.integers(50, 1500))),
            pixel_size_mm=(size, size),
            lsd_mm=draw(st.floats(80.0, 900.0)),
            beam_centre_px=(draw(st.floats(-300.0, 1500.0)), draw(st.floats(-300.0, 1500.0))),
            tilts_rad=(draw(tilt), draw(tilt), draw(tilt)),
            image_transform=draw(st.sampled_from(DIHEDRAL)),
        ),
        draw(st.floats(0.15, 2.0)),
    )


@st.composite
def grids(draw):
    across, up = draw(st.sampled_from(((1, 2), (2, 1), (2, 3), (3, 2))))
    grid = PanelGrid(across, up, 90, 60, (7,) * (across - 1), (17,) * (up - 1))
    boxes = grid.boxes()
    moves = np.array([[draw(small) for _ in range(7)] for _ in boxes])
    moves *= [2.0, 2.0, 0.01, 0.5, 0.0, 0.01, 0.01]
    shape = int(boxes[:, 3].max()), int(boxes[:, 2].max())
    model = TiltedFlat(
        shape=shape, pixel_size_mm=(0.172, 0.172), lsd_mm=draw(st.floats(100.0, 400.0)),
        beam_centre_px=(draw(st.floats(0.0, 200.0)), draw(st.floats(0.0, 200.0))),
        tilts_rad=(draw(tilt), draw(tilt), draw(tilt)), panel_boxes=boxes,
        panel_corrections=moves, image_transform=draw(st.sampled_from(((), (2,), (1, 2)))),
    )  # fmt: skip
    return setup_from_model(model, draw(st.floats(0.15, 2.0)))


@st.composite
def rotations(draw):
    """Grid with a goniometer, a scan and a crystal, in a frame whose beam is anywhere."""
    e = experiment_of(draw(grids()))
    axis = expmap(np.array([0.0, draw(small), draw(small)])) @ [1.0, 0.0, 0.0]
    start, width = draw(st.floats(-90.0, 90.0)), draw(st.floats(0.05, 1.0))
    cell = expmap(np.array([draw(tilt), draw(tilt), draw(tilt)])) @ np.diag([57.0, 58.0, 150.0])
    e = replace(
        e, goniometer=Goniometer(axis), scan=Scan((1, 3), (start, width)), crystal=Crystal(cell.T)
    )
    e = turned(e, expmap(np.array([draw(small), draw(small), 0.0])))
    return setup_from_experiments((e,))


def there(setup: Setup, folder: str, kind: str) -> Setup:
    """Setup after it was written and read."""
    path = Path(folder) / NAMES[kind]
    _, written, _, _, _, _ = write_setup(path, setup, kind, lossy=True)
    shape = None if len(written) > 1 else setup.detector.image_shape
    return read_setup(path, None, Options(shape=shape))[0]


def same(got: Setup, expected: Setup) -> None:
    mm, rad = largest_difference(expected, got)
    assert mm < MM
    assert rad < RAD
    np.testing.assert_allclose(
        got.wavelength_angstrom, expected.wavelength_angstrom, rtol=1e-11, atol=0
    )  # 1e-9 eV in a photon energy


PLANES = sorted(set(NAMES) - {"pyfai"})  # 4 corners of each of 1e6 pixels: panels below are small


@settings(max_examples=15)
@given(planes(), st.sampled_from(PLANES), st.sampled_from(PLANES))
def test_a_plane_there_and_back(setup, first, second):
    with tempfile.TemporaryDirectory() as folder:
        source = there(setup, folder, first)
        same(source, setup)
        same(there(there(source, folder, second), folder, first), source)


HOLD_PANELS = sorted(name for name in NAMES if "panels" in FORMATS[name].holds)


@settings(max_examples=15)
@given(grids(), st.sampled_from(HOLD_PANELS), st.sampled_from(HOLD_PANELS))
def test_panels_there_and_back(setup, first, second):
    with tempfile.TemporaryDirectory() as folder:
        source = there(setup, folder, first)
        same(source, setup)
        same(there(there(source, folder, second), folder, first), source)


@settings(max_examples=15)
@given(rotations(), st.sampled_from(("dials", "xds", "nxmx", "imaged11")))
def test_rotations_there_and_back(setup, kind):
    with tempfile.TemporaryDirectory() as folder:
        got = there(setup, folder, kind)
    (old,), (new,) = setup.experiments, got.experiments
    frames = [crystfel_frame(e.beam.s0) for e in (old, new)]
    axes = [
        turn @ e.goniometer.setting @ e.goniometer.rotation_axis
        for turn, e in zip(frames, (old, new), strict=True)
    ]
    np.testing.assert_allclose(axes[1], axes[0], rtol=0, atol=RAD)
    if kind == "imaged11":
        return
    same(got, setup)
    np.testing.assert_allclose(new.scan.oscillation_deg, old.scan.oscillation_deg, atol=1e-12)
    if kind == "nxmx":
        assert new.scan.n_images == old.scan.n_images
        return
    np.testing.assert_allclose(frames[1] @ new.crystal.A, frames[0] @ old.crystal.A, atol=1e-12)


@given(planes(), st.lists(st.floats(-0.01, 0.01), min_size=15, max_size=15))
@settings(max_examples=15)
def test_distortion_there_and_back(setup, p):
    model = setup.model.replace(p=tuple(p), parallax_mm=0.03)
    setup = setup_from_model(model, setup.wavelength_angstrom)
    with tempfile.TemporaryDirectory() as folder:
        for first, second in (("geometry", "midas"), ("midas", "geometry")):
            source = there(setup, folder, first)
            same(source, setup)
            same(there(there(source, folder, second), folder, first), source)


def test_every_format_is_here():
    read_only = {name for name, format_ in FORMATS.items() if format_.write is None}
    assert read_only == {"gsas"}
    assert {*NAMES, "hexrd"} == set(FORMATS) - read_only


def test_pyfai_puts_pixels_where_we_do(tmp_path):
    pyfai = pytest.importorskip("pyFAI", reason="pyFAI is in an environment of its own")
    rng = np.random.default_rng(9)
    for k in range(8):
        lsd, centre, tilts = rng.uniform(80, 900), rng.uniform(-200, 1200, 2), rng.normal(0, 0.2, 3)
        model = TiltedFlat(
            shape=(1043, 981), pixel_size_mm=(0.172, 0.1), lsd_mm=lsd, tilts_rad=tuple(tilts),
            beam_centre_px=tuple(centre), image_transform=DIHEDRAL[k],
        )  # fmt: skip
        setup = setup_from_model(model, 0.2)
        write_setup(tmp_path / "a.poni", setup)
        fast, slow = (
            rng.uniform(0, 1, (2, 50)) * np.array(setup.detector.image_shape[::-1])[:, None]
        )
        found = pyfai.load(str(tmp_path / "a.poni")).tth(slow - 0.5, fast - 0.5)
        here = setup.detector.two_theta_eta(fast, slow, 0)[0]
        np.testing.assert_allclose(found, here, rtol=0, atol=1e-12)  # 1e4 px times eps


def test_imaged11_puts_pixels_where_we_do(tmp_path):
    transform = pytest.importorskip("ImageD11.transform", reason="ImageD11 is not installed")
    from ImageD11.parameters import parameters

    rng = np.random.default_rng(10)
    for k in range(8):
        model = TiltedFlat(
            shape=(1043, 981), pixel_size_mm=(0.172, 0.1), lsd_mm=rng.uniform(80, 900),
            beam_centre_px=tuple(rng.uniform(-200, 1200, 2)), image_transform=DIHEDRAL[k],
            tilts_rad=tuple(rng.normal(0, 0.2, 3)),
        )  # fmt: skip
        setup = setup_from_model(model, 0.2)
        write_setup(tmp_path / "a.par", setup)
        pars = parameters()
        pars.loadparameters(str(tmp_path / "a.par"))
        fast, slow = (
            rng.uniform(0, 1, (2, 50)) * np.array(setup.detector.image_shape[::-1])[:, None]
        )
        found = transform.compute_tth_eta([slow - 0.5, fast - 0.5], **pars.parameters)
        here = setup.detector.two_theta_eta(fast, slow, 0)
        np.testing.assert_allclose(np.radians(found[0]), here[0], rtol=0, atol=1e-12)
