"""Scans, the logs of two clocks, windows for the classifier: against the truth they carry."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from refimpl.centring.simulate import BACKGROUND, Scene, scene
from refimpl.centring.simulate_scans import helical_scan, mesh_scan, rotational_scan
from refimpl.centring.simulate_stream import Stream, StreamSettings, stream
from refimpl.centring.simulate_windows import sliding_windows, windows
from refimpl.errors import ConfigError


@pytest.fixture(scope="module")
def seen() -> Scene:
    return scene(7)


@pytest.fixture(scope="module")
def taken() -> Stream:
    scans = [helical_scan(scene(k), 100, omega_rad=0.5 * k) for k in range(8)]
    return stream(scans, StreamSettings(offset_s=0.35, drift=3e-5, dropped=0.2), seed=3)


def test_a_helical_scan_runs_through_crystal_and_background(seen: Scene) -> None:
    scan = helical_scan(seen, 200, omega_rad=0.8)
    assert len(scan) == 200
    assert scan.expected[[0, -1]] == pytest.approx(BACKGROUND, abs=1e-6)
    assert scan.expected.max() > 0.4 * seen.crystals[0].quality
    steps = np.diff(scan.at_um, axis=0)
    assert steps == pytest.approx(np.tile(steps[0], (199, 1)))
    # it stays in the plane of the view: nothing along the line of sight
    assert steps[0] @ [0.0, -math.sin(0.8), math.cos(0.8)] == pytest.approx(0.0, abs=1e-12)
    assert np.linalg.norm(scan.at_um[-1] - scan.at_um[0]) > 200.0


def test_a_helical_scan_may_turn(seen: Scene) -> None:
    scan = helical_scan(seen, 5, omega_rad=1.0, turn_rad=0.4, length_um=80.0)
    assert scan.omega_rad == pytest.approx([1.0, 1.1, 1.2, 1.3, 1.4])
    assert np.linalg.norm(scan.at_um[-1] - scan.at_um[0]) == pytest.approx(80.0)


def test_a_rotational_scan_stays_on_the_crystal() -> None:
    hits = []
    for number in range(10):
        seen = scene(number)
        scan = rotational_scan(seen, 24)
        assert (scan.at_um == scan.at_um[0]).all()
        assert np.ptp(scan.omega_rad) == pytest.approx(2.0 * math.pi * 23 / 24)
        hits.append(scan.expected.min() / seen.crystals[0].quality)
    assert np.median(hits) > 0.3


def test_a_mesh_is_the_map_on_a_raster(seen: Scene) -> None:
    scan = mesh_scan(seen, omega_rad=0.6, step_um=10.0, grid=(31, 41))
    assert scan.grid == (31, 41)
    view = seen.view(2.0, 0.6, tuple(seen.mount.offset_um))
    middles = view.project(scan.at_um)
    assert middles[0] == pytest.approx([300.0 - 200.0 * 0.75, 240.0 - 150.0 * 0.75])
    assert middles[1] == pytest.approx(middles[0] + [7.5, 0.0])
    assert middles[41] == pytest.approx(middles[0] + [0.0, 7.5])
    counts = seen.rc_px(middles, 2.0, 0.6, at_um=tuple(seen.mount.offset_um))
    assert scan.expected == pytest.approx(counts)


def test_a_mesh_covers_the_loop_unless_told_otherwise(seen: Scene) -> None:
    rows, columns = mesh_scan(seen, step_um=25.0).grid or (0, 0)
    assert columns * 25.0 >= 2.0 * seen.mount.half_um[0]
    assert rows * 25.0 >= 2.0 * seen.mount.half_um[1]
    narrow = mesh_scan(seen, omega_rad=math.pi / 2.0, step_um=25.0).grid
    assert narrow is not None
    assert narrow[0] < rows


def test_scans_follow_their_seeds(seen: Scene) -> None:
    one, two, other = (helical_scan(seen, 50, seed=s) for s in (1, 1, 2))
    assert (one.rc == two.rc).all()
    assert (one.at_um == two.at_um).all()
    assert (one.at_um != other.at_um).any()


def test_pictures_of_a_stream_stand_where_the_stage_was(taken: Stream) -> None:
    own = taken.settings
    for scan in range(8):
        at = taken.picture_at_um[taken.picture_scan == scan]
        times = taken.picture_s[taken.picture_scan == scan]
        # a line at constant speed, but for half a frame at both ends
        speed = np.linalg.norm(np.diff(at, axis=0), axis=1)[1:-1] / np.diff(times)[1:-1]
        assert speed == pytest.approx(np.full(len(speed), speed[0]))
        assert np.ptp(times) <= 100 / own.frame_hz
    expected = 8 * 100 / own.frame_hz * own.camera_hz * (1.0 - own.dropped)
    assert len(taken.picture_s) == pytest.approx(expected, rel=0.15)
    assert np.median(np.diff(taken.picture_s)) == pytest.approx(1.0 / own.camera_hz, abs=0.01)


def test_the_pairs_of_a_stream_are_true(taken: Stream) -> None:
    own = taken.settings
    row = taken.true_frame
    assert (row >= 0).all()
    # back to the camera's clock: within half a frame, but for the delay of the log
    first = taken.picture_s[0]
    logged = taken.frame_s[row]
    camera = (logged - own.offset_s + own.drift * first) / (1.0 + own.drift)
    away = camera - taken.picture_s
    assert np.abs(away).max() < 0.5 / own.frame_hz + 10.0 * own.latency_s
    assert (taken.frame_scan[row] == taken.picture_scan).all()
    assert (np.diff(taken.frame_s) >= 0.0).all()


def test_pictures_without_a_frame_have_none() -> None:
    scans = [rotational_scan(scene(1), 40)]
    made = stream(scans, StreamSettings(lost=0.7, frame_hz=8.0), seed=1)
    assert len(made.frame_s) < 30
    assert (made.true_frame == -1).any()
    assert (made.true_frame >= 0).any()


def test_a_stream_without_faults_is_regular() -> None:
    settings = StreamSettings(jitter_s=0.0, dropped=0.0, latency_s=0.0, offset_s=-2.0)
    made = stream([rotational_scan(scene(1), 100)], settings)
    assert np.diff(made.picture_s) == pytest.approx(np.full(39, 0.125), abs=1e-6)
    assert np.diff(made.frame_s) == pytest.approx(np.full(99, 0.05), abs=1e-6)
    assert made.frame_number.tolist() == list(range(1, 101))
    assert stream(
        [rotational_scan(scene(1), 1)], replace(settings, camera_hz=40.0)
    ).true_frame.any()


def test_windows_of_an_empty_loop_lie_on_a_raster() -> None:
    seen = scene(5, crystals=0, mount="loop")
    view = seen.view(2.0, 0.0)
    places = sliding_windows(view, seen, 50.0)
    x = np.unique(places[:, 0].round(6))
    assert np.diff(x) == pytest.approx(np.full(len(x) - 1, 37.5))
    a, b = seen.mount.half_um
    assert len(places) == (int(2 * a / 50.0) + 1) * (int(2 * b / 50.0) + 1)


def test_windows_of_both_classes() -> None:
    made = windows(5, 2, 4, size_px=24, seed=1, empty=0.4)
    assert made.image.shape == (len(made.label), 24, 24)
    by_scene = [set(made.label[made.crystal == k].tolist()) for k in range(5)]
    assert by_scene == [{0}, {0}, {1}, {0}, {1}]
    assert (made.image == windows(5, 2, 4, size_px=24, seed=1, empty=0.4).image).all()
    assert set(windows(3, 1, 2, 24, empty=1.0).label) == {1}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: helical_scan(scene(0), 0), "scan of 0 shots"),
        (lambda: mesh_scan(scene(0), step_um=0.0), "step_um 0.0: expected more than 0"),
        (lambda: mesh_scan(scene(0), grid=(0, 3)), "grid .0, 3.: expected 1 or more"),
        (lambda: stream([]), "expected one scan or more"),
        (lambda: StreamSettings(camera_hz=0.0), "camera_hz = 0.0: expected more than 0"),
        (lambda: StreamSettings(dropped=1.0), "dropped = 1.0: expected 0 to 1"),
        (lambda: StreamSettings(jitter_s=-1.0), "jitter_s = -1.0: expected 0 or more"),
        (lambda: StreamSettings(pause_s=(2.0, 1.0)), "expected 0 <= least <= most"),
        (lambda: stream([helical_scan(scene(0), 1)], StreamSettings(camera_hz=1e-3)), "no picture"),
        (lambda: windows(0), "windows: 0 scenes"),
        (lambda: sliding_windows(scene(0).view(1.0, 0.0), scene(0), 0.0), "stride 0.0 um"),
    ],
)
def test_bad_input_is_refused(call, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        call()
