"""There and back, for any geometry, to 1e-12 of the scale."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL
from refimpl.interop.hexrd import hexrd_from_tilted_flat, parse_hexrd, tilted_flat_from_hexrd
from refimpl.interop.midas import midas_from_tilted_flat, tilted_flat_from_midas
from refimpl.interop.pyfai import (
    format_poni,
    parse_poni,
    poni_from_tilted_flat,
    tilted_flat_from_poni,
)
from refimpl.testing.compare import assert_close
from refimpl.testing.tolerances import roundtrip

tilt = st.floats(-0.3, 0.3)


@st.composite
def models(draw, codes=DIHEDRAL, square=False):
    size = draw(st.floats(0.02, 0.3))
    return TiltedFlat(
        shape=(draw(st.integers(50, 3000)), draw(st.integers(50, 3000))),
        pixel_size_mm=(size, size if square else draw(st.floats(0.02, 0.3))),
        lsd_mm=draw(st.floats(50.0, 900.0)),
        beam_centre_px=(draw(st.floats(-500.0, 3000.0)), draw(st.floats(-500.0, 3000.0))),
        tilts_rad=(draw(tilt), draw(tilt), draw(tilt)),
        image_transform=draw(st.sampled_from(codes)),
    )


def _same(got: TiltedFlat, expected: TiltedFlat) -> None:
    assert (got.shape, got.image_transform) == (expected.shape, expected.image_transform)
    assert_close(got.lsd_mm, expected.lsd_mm, roundtrip("mm"), column="lsd", unit="mm")
    for name, unit in (("beam_centre_px", "px"), ("tilts_rad", "rad"), ("pixel_size_mm", "mm")):
        bound = roundtrip(unit)
        assert_close(getattr(got, name), getattr(expected, name), bound, column=name, unit=unit)


@given(models(codes=((), (1,), (2,), (1, 2))))
def test_poni(model):
    _same(tilted_flat_from_poni(parse_poni(format_poni(poni_from_tilted_flat(model)))), model)


@given(models())
def test_hexrd(model):
    text = json.dumps(hexrd_from_tilted_flat(model, 0.2))
    instrument = parse_hexrd(json.loads(text))
    assert abs(instrument.wavelength_angstrom - 0.2) < 1e-15  # two divisions
    _same(tilted_flat_from_hexrd(instrument), model)


@given(models(square=True), st.lists(st.floats(-0.1, 0.1), min_size=15, max_size=15))
def test_midas(model, p):
    full = model.replace(p=tuple(p), parallax_mm=0.05, rho_d_mm=123.4)
    again = tilted_flat_from_midas(midas_from_tilted_flat(full))
    _same(again, full)
    assert again.p == full.p
    np.testing.assert_allclose(again.geometry, full.geometry, rtol=1e-14, atol=1e-15)  # units


@given(models(codes=((2,),)), st.floats(0.0, 49.0), st.floats(0.0, 49.0))
def test_codes_agree_with_each_other(model, column, row):
    # one pixel of the stored file, through two other codes and back: one scattering angle
    here = np.array([column]), np.array([row])
    direct = model.detector().two_theta_eta(*here, 0)
    poni = tilted_flat_from_poni(poni_from_tilted_flat(model)).detector()
    hexrd = tilted_flat_from_hexrd(parse_hexrd(hexrd_from_tilted_flat(model, 0.2))).detector()
    for other in (poni, hexrd):
        found = other.two_theta_eta(*here, 0)
        # 1e-12 rad: the round-trip scale of an angle
        np.testing.assert_allclose(found[0], direct[0], rtol=0, atol=1e-12)
