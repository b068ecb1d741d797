"""The simulator of loops and crystals: geometry by hand, counts, what the pictures show."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from refimpl.centring.simulate import (
    BACKGROUND,
    SHAPE,
    SIDES,
    View,
    crop_rule,
    px_per_um,
    samples,
    scene,
    scene_seed,
)
from refimpl.centring.simulate_crystal import Crystal, rc_field
from refimpl.centring.simulate_mount import MOUNTS, random_mount
from refimpl.errors import ConfigError

SQUARE = np.array([[-50.0, -50.0], [50.0, -50.0], [50.0, 50.0], [-50.0, 50.0]])


def block(half_um: float = 50.0, thickness_um: float = 40.0, quality: float = 800.0) -> Crystal:
    return Crystal(np.zeros(3), SQUARE * (half_um / 50.0), 1.0, thickness_um, quality)


def test_the_magnification_is_linear_in_the_zoom() -> None:
    assert [px_per_um(z) for z in (1.0, 3.0, 7.0)] == [0.5, 1.0, 2.0]
    # a crop of 240 um is as many pixels as it should be at every zoom
    assert [crop_rule(240.0).edge_px(z) for z in (1.0, 3.0, 7.0)] == [120.0, 240.0, 480.0]


def test_places_by_hand() -> None:
    view = View(1.0, math.radians(90.0), (10.0, 0.0, 4.0))
    # at 90 degrees z is across; the point that stands in the middle is at the outer corner of the
    # middle pixels, (300, 240)
    assert view.project([10.0, 99.0, 4.0]) == pytest.approx([300.0, 240.0])
    assert view.project([110.0, 0.0, 44.0]) == pytest.approx([350.0, 260.0])
    assert View(3.0, 0.0).project([20.0, -7.0, 99.0]) == pytest.approx([320.0, 233.0])


@pytest.mark.parametrize(
    ("side", "tip"),
    [("left", (350, 240)), ("top", (300, 290)), ("right", (250, 240)), ("bottom", (300, 190))],
)
def test_the_tip_points_away_from_the_pin(side: str, tip: tuple[float, float]) -> None:
    view = View(1.0, 0.0, side=side)
    assert view.project([100.0, 0.0, 0.0]) == pytest.approx(tip)
    assert view.to_um(tip) == pytest.approx([100.0, 0.0])


def test_sides_are_turned_not_mirrored() -> None:
    for side in SIDES:
        view = View(1.0, 0.0, side=side)
        x, y = (view.to_px([1.0, 0.0]), view.to_px([0.0, 1.0])) - view.to_px([0.0, 0.0])
        assert x[0] * y[1] - x[1] * y[0] == pytest.approx(0.25)


def test_the_best_count_face_on_is_the_quality() -> None:
    field = rc_field(block(), 0.0)
    assert field.above.max() == pytest.approx(800.0)
    middle = field.at(np.array([0.0, 0.0]))
    assert float(middle) == pytest.approx(800.0, rel=1e-6)
    # two beam widths outside of the edge there is nothing of the crystal left
    assert float(field.at(np.array([50.0 + 40.0, 0.0]))) < 0.01
    assert float(field.at(np.array([1e4, 0.0]))) == 0.0


def test_counts_are_those_of_the_definition() -> None:
    """Root of the distance to the edge, times a Gaussian beam: summed up by brute force."""
    x = np.arange(-120.0, 120.5, 0.5)
    s, t = np.meshgrid(x, x)
    thick = np.sqrt(np.maximum(50.0 - np.maximum(np.abs(s), np.abs(t)), 0.0))
    sigma = 20.0 / 2.354820045

    def hit(at: tuple[float, float]) -> float:
        beam = np.exp(-((s - at[0]) ** 2 + (t - at[1]) ** 2) / (2.0 * sigma**2))
        return float((thick * beam).sum())

    field = rc_field(block(quality=1000.0), 0.0)
    for at in ((30.0, 0.0), (45.0, -20.0), (55.0, 55.0), (0.0, 62.0)):
        expected = 1000.0 * hit(at) / hit((0.0, 0.0))
        assert float(field.at(np.array(at))) == pytest.approx(expected, rel=0.01, abs=0.5)


def test_a_plate_on_edge_is_as_narrow_as_it_is_thick() -> None:
    outline = block(thickness_um=40.0).silhouette_um(math.radians(90.0))
    assert np.ptp(outline, axis=0) == pytest.approx([100.0, 40.0])
    # 45 degrees: the 100 um face and the 40 um side, both seen at cos 45
    outline = block(thickness_um=40.0).silhouette_um(math.radians(45.0))
    assert np.ptp(outline, axis=0) == pytest.approx([100.0, 140.0 / math.sqrt(2.0)])


def test_an_empty_loop_gives_background_only() -> None:
    seen = scene(3, crystals=0)
    assert seen.is_empty
    assert (seen.rc_map(2.0, 0.4) == BACKGROUND).all()
    assert not seen.crystal_mask(2.0, 0.4).any()


def test_two_crystals_add_up() -> None:
    seen = scene(4, crystals=2)
    one, two = (rc_field(c, 0.3).at(np.zeros(2)) for c in seen.crystals)
    assert float(seen.rc_um(np.zeros(2), 0.3)) == pytest.approx(float(BACKGROUND + one + two))


def test_pictures_are_what_the_contract_says() -> None:
    picture = scene(1).picture(2.0, 0.5)
    assert picture.shape == SHAPE == (480, 600)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("kind", MOUNTS)
def test_the_loop_is_where_the_geometry_says(kind: str) -> None:
    """Darker along the rim than outside of it, at each side of the pin."""
    for number, side in enumerate(SIDES):
        seen = scene(40 + number, mount=kind, side=side)
        picture = seen.picture(1.0, 0.0).astype(float)
        view = seen.view(1.0, 0.0)

        def grey(scale: float, view: View = view, picture=picture, seen=seen) -> float:
            rim = seen.mount.rim_um(scale)[8:-8]
            where = np.column_stack([rim, np.zeros(len(rim))]) + seen.mount.offset_um
            x, y = np.floor(view.project(where)).astype(int).T
            return float(np.median(picture[y, x]))

        outside = grey(1.0 + 40.0 / min(seen.mount.half_um))
        assert grey(1.0) < 0.9 * outside, (kind, side)


def test_a_loop_gets_narrow_as_it_turns() -> None:
    mount = random_mount(np.random.default_rng(0), "loop")
    wide = np.ptp(mount.rim_um()[:, 1])
    for omega in (0.0, 0.7, 1.3, 2.0):
        assert abs(mount.flattened(omega)) * wide == pytest.approx(abs(math.cos(omega)) * wide)
    # the drop in it does not vanish
    assert mount.flattened(math.pi / 2.0, thick=True) * mount.half_um[1] == pytest.approx(
        mount.bulge_um
    )


def test_the_crystal_shows_where_the_counts_are() -> None:
    """With and without its crystal a scene differs there and nowhere else."""
    from dataclasses import replace

    for number in range(6):
        seen = scene(60 + number)
        bare = replace(seen, crystals=(), looks=())
        differs = seen.picture(2.0, 0.6).astype(float) - bare.picture(2.0, 0.6)
        depth = seen.crystal_depth_um(2.0, 0.6)
        assert np.abs(differs[depth > 0.0]).mean() > 2.0
        assert not differs[depth < -30.0].any()


def test_noise_is_new_for_each_exposure_only() -> None:
    seen = scene(2)
    first = seen.picture(1.5, 0.2)
    assert (first == seen.picture(1.5, 0.2)).all()
    assert (first != seen.picture(1.5, 0.2, frame=1)).mean() > 0.5


def test_samples_have_the_counts_of_their_scenes() -> None:
    made = samples(4, views=2, crops=5, size_px=32, seed=9)
    assert made.image.shape == (40, 32, 32)
    assert made.image.dtype == np.uint8
    assert (np.unique(made.crystal, return_counts=True)[1] == 10).all()
    assert made.scene_seed[0] == scene_seed(9, 0)
    assert ((made.xy_px >= 0) & (made.xy_px <= [600, 480])).all()
    assert (made.expected >= BACKGROUND).all()
    assert made.rc.dtype == np.int64


def test_samples_do_not_depend_on_how_many_there_are() -> None:
    few, many = samples(2, 1, 3, 16, seed=5), samples(4, 1, 3, 16, seed=5)
    assert (few.image == many.image[:6]).all()
    assert (few.rc == many.rc[:6]).all()


def test_brightness_alone_does_not_tell_the_count() -> None:
    """A net that looks for bright spots, dark spots or contrast in the middle shall not get far."""
    made = samples(60, 2, 6, 32, seed=11)
    rank = np.argsort(np.argsort(made.expected))
    image = made.image.astype(float)
    middle = image[:, 12:20, 12:20]
    for cheat in (image.mean((1, 2)), middle.mean((1, 2)), middle.max((1, 2)), image.max((1, 2))):
        assert abs(np.corrcoef(rank, np.argsort(np.argsort(cheat)))[0, 1]) < 0.4


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: px_per_um(0.1), "zoom 0.1: expected 0.5 to 10"),
        (lambda: scene(0).picture(1.0, math.nan), "omega nan: expected a number"),
        (lambda: scene(0).picture(1.0, 0.0, at_um=(0.0, 1.0)), "expected three numbers"),
        (lambda: scene(-1), "seed -1, 1 crystals: expected 0 or more"),
        (lambda: scene(0, mount="pin"), "mount 'pin': expected one of loop, teardrop, mesh"),
        (lambda: scene(0, side="up"), "side 'up': expected one of left, top, right, bottom"),
        (lambda: samples(0), "samples: 0 crystals, 2 views, 10 crops, 64 px: expected 1 or more"),
        (lambda: View(1.0, 0.0, shape=(0, 5)), "expected 1 px or more"),
        (lambda: rc_field(block(), 0.0, 0.0), "beam of 0.0 um: expected a width"),
    ],
)
def test_bad_input_is_refused(call, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        call()


def test_it_works_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['cv2'] = None\n"
        "from refimpl.centring.simulate import samples\n"
        "assert samples(1, 1, 1, 16).rc.shape == (1,)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
