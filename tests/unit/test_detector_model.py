"""The parametrised detector: its vectors, its maps, its checks."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL
from refimpl.errors import GeometryError
from refimpl.io.transforms import apply_transforms
from refimpl.units import DEG

P = (1e-3, -5e-4, 8e-4, 44.0, 2e-4, -3e-4, 12.0, 4e-4, -70.0, 3e-4, 20.0, 1e-4, 5.0, -2e-4, 33.0)
BOXES = np.array([[0, 0, 17, 12], [19, 0, 40, 12], [0, 15, 17, 31], [19, 15, 40, 31]])
MOVES = np.array(
    [
        [0.3, -0.2, 0.01, 0.4, 1e-4, 0.0, 0.0],
        [-0.1, 0.5, -0.02, -0.3, -2e-4, 0.01, -0.02],
        [0.7, 0.1, 0.03, 0.0, 0.0, -0.005, 0.003],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
)


def model(panels: bool = False, **changes) -> TiltedFlat:
    values = dict(
        shape=(31, 40), pixel_size_mm=(0.3, 0.2), lsd_mm=50.0, beam_centre_px=(14.3, 19.8),
        tilts_rad=(0.4, 0.05, -0.07), rho_d_mm=9.0, p=P, parallax_mm=0.2,
    )  # fmt: skip
    if panels:
        values |= {"panel_boxes": BOXES, "panel_corrections": MOVES, "pixel_size_mm": (0.2, 0.2)}
    return TiltedFlat(**(values | changes))


@pytest.mark.parametrize("panels", [False, True])
@pytest.mark.parametrize("codes", DIHEDRAL)
def test_vectors_give_the_maps_of_the_parameters_in_the_files_order(codes, panels) -> None:
    """A picture of 2-theta laid down by the codes is the model's own picture, pixel by pixel."""
    m = model(panels, image_transform=codes)
    detector = m.detector()
    assert detector.image_shape == m.file_shape
    for stored, wanted in zip(detector.maps(), m.maps(), strict=True):
        assert stored.shape == m.file_shape
        # positions of 5 mm carry 1e-15; 0.1 mm from the beam that is 1e-14 of eta, some times over
        np.testing.assert_allclose(apply_transforms(stored, codes), wanted, rtol=0, atol=2e-13)


def test_a_turned_panel_of_oblong_pixels_has_no_vectors() -> None:
    """The published turn acts in pixels: it shears a panel whose pixels are not square."""
    with pytest.raises(GeometryError, match=r"^panel 'p0': fast_axis and slow_axis are not orth"):
        model(True, pixel_size_mm=(0.3, 0.2)).detector()


def test_gaps_are_nan_in_both_maps() -> None:
    two_theta, eta = model(True).maps()
    gap = np.ones((31, 40), dtype=bool)
    for f0, s0, f1, s1 in BOXES:
        gap[s0:s1, f0:f1] = False
    np.testing.assert_array_equal(np.isnan(two_theta), gap)
    np.testing.assert_array_equal(np.isnan(eta), gap)


def test_maps_are_those_of_pixel_centres() -> None:
    m = model(True)
    two_theta, eta = m.maps()
    t, e = m.two_theta_eta(np.array([20.5]), np.array([3.5]), np.array([1], dtype=np.int32))
    assert (two_theta[3, 20], eta[3, 20]) == (t[0], e[0])


def test_the_default_file_has_its_first_row_at_the_top() -> None:
    """Codes (2,): up is towards row 0, right is towards the last column, seen along the beam."""
    flat = TiltedFlat((20, 30), (0.1, 0.1), 100.0, (15.0, 10.0))
    _, eta = flat.detector().maps()
    assert abs(eta[0, 15]) < 10.0 * DEG  # first row: above the beam
    assert abs(eta[10, 29] - 90.0 * DEG) < 10.0 * DEG  # last column: right, towards -X
    assert flat.detector().panels[0].fast_axis == pytest.approx((-1.0, 0.0, 0.0))
    assert flat.detector().panels[0].slow_axis == pytest.approx((0.0, -1.0, 0.0))


def test_geometry_vector_and_back() -> None:
    m = model(True)
    back = m.with_geometry(m.geometry)
    assert (back.lsd_mm, back.beam_centre_px, back.tilts_rad) == (50.0, (14.3, 19.8), m.tilts_rad)
    assert back.p == pytest.approx(P, rel=1e-12)
    np.testing.assert_array_equal(back.panel_corrections, MOVES)
    changed = m.geometry
    changed[0] = 51.0
    assert m.with_geometry(changed).lsd_mm == 51.0


def test_positions_invert_on_each_panel() -> None:
    m = model(True)
    fast, slow = np.array([3.0, 25.0, 8.0, 30.0]), np.array([4.0, 7.0, 20.0, 30.0])
    panel = m.panel_index(fast, slow)
    assert panel.tolist() == [0, 1, 2, 3]
    radius, eta = m.ring_coordinates(fast, slow)
    back = m.pixel_position(radius, eta, panel)
    np.testing.assert_allclose(back, (fast, slow), rtol=0, atol=1e-11)  # 40 px, some ulp


def test_the_two_tilts_may_be_left_out() -> None:
    m = model(True, panel_corrections=MOVES[:, :5])
    np.testing.assert_array_equal(m.panel_corrections[:, :5], MOVES[:, :5])
    np.testing.assert_array_equal(m.panel_corrections[:, 5:], np.zeros((4, 2)))


def test_the_map_of_panels_is_their_index_pixel_by_pixel() -> None:
    m = model(True)
    f, s = np.meshgrid(np.arange(40) + 0.5, np.arange(31) + 0.5)
    index = m.panel_index(f.ravel(), s.ravel()).reshape(31, 40)
    np.testing.assert_array_equal(m.panel_map(), index)
    assert set(np.unique(index)) == {-1, 0, 1, 2, 3}
    assert np.all(model().panel_map() == -1)


def test_panel_index_is_half_open() -> None:
    m = model(True)
    fast = np.array([0.0, 17.0, 18.9, 19.0, 40.0])
    assert m.panel_index(fast, np.full(5, 1.0)).tolist() == [0, -1, -1, 1, -1]
    assert model().panel_index(fast, fast).tolist() == [-1] * 5


def test_rho_d_defaults_to_the_farthest_corner_and_then_stays() -> None:
    m = TiltedFlat((30, 40), (0.1, 0.1), 100.0, (10.0, 30.0))
    assert m.rho_d_mm == pytest.approx(0.1 * np.hypot(30.0, 30.0), rel=1e-15)
    assert m.replace(beam_centre_px=(0.0, 0.0)).rho_d_mm == m.rho_d_mm


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"lsd_mm": 0.0}, r"^lsd_mm = 0\.0: expected a positive distance$"),
        ({"lsd_mm": np.nan}, r"^lsd_mm = nan: expected a positive distance$"),
        ({"lsd_mm": np.inf}, r"^lsd_mm = inf: expected a positive distance$"),
        ({"pixel_size_mm": (0.1, -0.1)}, r"^pixel_size_mm = \(0\.1, -0\.1\): expected positive si"),
        ({"panel_corrections": MOVES}, r"^panel_corrections without panel_boxes: the panels are"),
        (
            {"panels": True, "panel_corrections": MOVES[:3]},
            r"^panel_corrections has shape \(3, 7\): expected \(4, 7\), one row a panel$",
        ),
        (
            {"panels": True, "panel_corrections": MOVES[:, :6]},
            r"^panel_corrections has shape \(4, 6\): expected \(4, 7\), one row a panel$",
        ),
    ],
)
def test_an_impossible_detector_is_refused(changes, text) -> None:
    with pytest.raises(GeometryError, match=text):
        model(**changes)
