"""Where a crystal's spots lie on every detector, and the parameters that move them."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.nearfield.calibrate_fit import contrasts
from refimpl.nearfield.calibrate_hexomap import hexomap_geometry
from refimpl.nearfield.calibrate_model import Crystal, Geometry, place, spots_of
from refimpl.nearfield.calibrate_parameters import CalibrateSettings, Parameters
from refimpl.rotations import rotation_vector, rx, rz
from refimpl.testing.nearfield_gold import RECORD, U


def test_model_agrees_with_the_published_projection(gold_setup, gold_start) -> None:
    """Equations (3) to (5) of the spec, for a source on the axis and one 36 um away.

    The published ray is turned about the origin, so that it is off by about 36 um times the tilt
    (0.009) times tan 2 theta (0.3): 0.1 um or 0.07 px.
    """
    d = gold_setup.detector
    for position, within in ([0.0, 0.0], 1e-9), ([0.03, -0.02], 0.1):
        crystal = Crystal(U, np.array(position))
        spots = spots_of(gold_start, gold_setup, [crystal])
        c, s = np.cos(spots.omega_rad), np.sin(spots.omega_rad)
        xa, ya = c * position[0] - s * position[1], s * position[0] + c * position[1]
        straight = gold_start.changed(
            tilts_rad=np.zeros((2, 3)),
            lsd_mm=np.full(2, d.lsd_mm[0]),
            beam_centre_px=np.zeros((2, 2)),
        )
        flat = place(
            straight, gold_setup, [Crystal(U, np.zeros(2))], spots.crystal, spots.row, spots.root
        )
        y, z = flat.yz_px[:, 0].T * d.pixel_size_mm
        t = 1.0 - xa / d.lsd_mm[0]
        point = np.stack([np.zeros(len(t)), ya + y * t, z * t], axis=1)
        q = point @ d.rotation.T - d.foot_mm
        for i, ratio in enumerate(d.lsd_mm / d.lsd_mm[0]):
            seen = (d.foot_mm[1:] - q[:, 1:] * d.foot_mm[0] / q[:, :1]) / d.pixel_size_mm
            if i == 0:
                here = seen + d.beam_centre_px[0]
                assert np.abs(here - spots.yz_px[:, 0]).max() < within
            elif position == [0.0, 0.0]:  # (5): the centre is scaled
                assert seen * ratio + d.beam_centre_px[i] == pytest.approx(spots.yz_px[:, i])


@pytest.mark.parametrize("wedge_deg", [0.0, 0.7])
def test_model_has_the_spots_of_the_forward_simulation(gold_setup, wedge_deg) -> None:
    leaning = gold_setup.changed(wedge_rad=np.radians(wedge_deg), exclude_pole_rad=0.1)
    theirs = spots_of_setup(leaning, U[None])
    wide = leaning.changed(shape_px=(200000, 200000), beam_centre_px=np.full((2, 2), 1e5))
    ours = spots_of(Geometry.of(wide), wide, [Crystal(U, np.zeros(2))])
    assert len(ours) == len(theirs)
    order, other = (
        np.lexsort([ours.omega_rad, ours.row]),
        np.lexsort([theirs.omega_rad, theirs.hkl_row]),
    )
    np.testing.assert_array_equal(ours.row[order], theirs.hkl_row[other])
    # rounding of acos near its ends
    np.testing.assert_allclose(ours.omega_rad[order], theirs.omega_rad[other], atol=1e-9)


def test_published_hexomap_geometry() -> None:
    geometry = hexomap_geometry(RECORD)
    for i, turn in enumerate(geometry.rotations):
        a, b, c = np.radians(RECORD["detRot_ZXZ_deg"][i])
        theirs = rz(a) @ rx(b) @ rz(c)
        np.testing.assert_allclose(turn[1], theirs @ [1, 0, 0], atol=1e-14)  # J grows along +y
        np.testing.assert_allclose(turn[2], theirs @ [0, 1, 0], atol=1e-14)  # K against z
    assert geometry.beam_centre_px[1] == pytest.approx([1031.60, 33.67])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"detL_mm": [4.0]}, "numbers of detectors differ: {'detL_mm': 1"),
        ({"npix": None}, "HEXOMAP geometry without npix"),
    ],
)
def test_hexomap_geometry_refuses(change, said) -> None:
    record = {k: v for k, v in (RECORD | change).items() if v is not None}
    with pytest.raises(FormatError, match=said):
        hexomap_geometry(record)


def test_setup_has_one_set_of_tilts(gold_setup, gold_start) -> None:
    moved = gold_start.changed(lsd_mm=np.array([5.0, 7.0]), wedge_rad=0.01)
    assert Geometry.of(moved.into(gold_setup)).lsd_mm.tolist() == [5.0, 7.0]
    assert moved.into(gold_setup).scan.wedge_rad == 0.01
    with pytest.raises(ConfigError, match="tilts differ between the distances"):
        hexomap_geometry(RECORD).into(gold_setup)


def test_contrasts_are_orthonormal() -> None:
    for d in (1, 2, 4):
        np.testing.assert_allclose(contrasts(d) @ contrasts(d).T, np.eye(d), atol=1e-15)
        np.testing.assert_allclose(contrasts(d)[0], d**-0.5)


def test_parameters_move_what_they_name(gold_start) -> None:
    crystals = [Crystal(U, np.zeros(2)), Crystal(np.eye(3), np.ones(2))]
    p = Parameters.of(
        gold_start, crystals, CalibrateSettings(tilts="each", wedge=True, fix=("tx",))
    )
    x = np.zeros(len(p.names))
    for name, value in {
        "Lsd": 0.1, "dLsd[1]": 0.02, "BC_Z[1]": 3.0, "ty[1]": 0.01, "wedge": 0.002,
        "position_y[1]": 0.5, "orientation_x[0]": 0.03,
    }.items():  # fmt: skip
        x[p.names.index(name)] = value
    g, (one, two) = p.geometry(x), p.moved(x)
    np.testing.assert_allclose(g.lsd_mm - gold_start.lsd_mm, [0.1, 0.12])
    np.testing.assert_allclose(
        g.beam_centre_px - gold_start.beam_centre_px, [[0, 0], [0, 3]], atol=1e-9
    )
    np.testing.assert_allclose(g.tilts_rad - gold_start.tilts_rad, [[0, 0, 0], [0, 0.01, 0]])
    assert g.wedge_rad == 0.002
    np.testing.assert_allclose(two.position_mm, [1.0, 1.5])
    np.testing.assert_allclose(rotation_vector(one.u_matrix @ U.T), [0.03, 0, 0], atol=1e-12)
    assert p.lower[p.names.index("tx[0]")] == p.upper[p.names.index("tx[1]")] == 0.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tilts": "none"}, "tilts 'none': expected 'shared' or 'each'"),
        ({"capture_px": 0.0}, "capture_px 0.0: expected > 0"),
        ({"rounds": 0}, "rounds 0: expected 1 or more"),
        ({"lsd_tol_mm": -1.0}, r"tolerances \[.*-1.0.*\]: expected 0 \(held\) or more"),
    ],
)
def test_settings_refuse(settings, said) -> None:
    with pytest.raises(ConfigError, match=said):
        CalibrateSettings(**settings)


def test_unknown_parameter_to_hold(gold_start) -> None:
    with pytest.raises(ConfigError, match="fix 'Lst': parameters are Lsd, dLsd"):
        Parameters.of(gold_start, [], CalibrateSettings(fix=("Lst",)))
