"""The clocks of a camera and a detector: the case of 0.35 s, what is not decided, tables."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from clock_logs import logs

from refimpl.centring.bursts import bursts, overlap_offset, paired_edges
from refimpl.centring.clock import Clock, fit_clock
from refimpl.centring.matching import match, match_tables
from refimpl.errors import ConfigError


def test_0_35_s_with_lost_frames_and_jitter() -> None:
    log = logs(0, offset_s=0.35, drift=5e-5, scans=40, lost_frames=0.1, lost_pictures=0.1)
    clock = fit_clock(log.picture_s, log.frame_s)
    assert clock.is_decided
    assert clock.n_bursts == 40
    assert clock.offset_s == pytest.approx(0.35, abs=0.03)
    assert clock.drift == pytest.approx(5e-5, abs=5e-5)
    found = match(log.picture_s, log.frame_s)
    truth = match(log.true_s, log.frame_s, Clock(0.0))
    same = found.picture == truth.picture
    assert same[(found.picture >= 0) & (truth.picture >= 0)].mean() > 0.8
    off = np.abs(found.picture - truth.picture)[(found.picture >= 0) & (truth.picture >= 0)]
    assert off.max() <= 1
    unaware = match(log.picture_s, log.frame_s, Clock(0.0))
    assert (unaware.picture == truth.picture).mean() < 0.1


def test_one_scan_of_pictures_taken_with_frames() -> None:
    rng = np.random.default_rng(5)
    frames = 1000.0 + 0.125 * np.arange(240)
    camera = frames - 0.35 + rng.normal(0.0, 0.005, 240)
    keep = rng.random(240) > 0.15
    keep[[0, -1]] = True
    clock = fit_clock(camera[keep], frames)
    assert clock.offset_s == pytest.approx(0.35, abs=0.003)
    found = match(camera[keep], frames, clock)
    assert np.array_equal(np.flatnonzero(keep), np.flatnonzero(found.picture >= 0))
    assert len(found.unmatched_frames) == (~keep).sum()
    assert not len(found.unmatched_pictures)


def test_what_is_not_decided_is_said() -> None:
    running = 1000.0 + 0.125 * np.arange(4000)
    frames = np.concatenate([1100.0 + 0.037 * np.arange(500), 1300.0 + 0.037 * np.arange(500)])
    clock = fit_clock(running, frames)
    assert not clock.is_decided
    assert "too few scans that begin and end in both" in clock.notes[0]
    far = fit_clock(running, frames + 1e5)
    assert not far.is_decided
    assert far.notes == ("no offset within 10 s brings pictures and frames together",)
    alike = np.concatenate([5.0 * k + 0.04 * np.arange(50) for k in range(60)])
    seen = np.concatenate([5.0 * k + 0.02 + 0.125 * np.arange(16) for k in range(60)])
    assert any("another offset" in note for note in fit_clock(seen, alike).notes)


def test_bad_times_and_limits_are_refused() -> None:
    log = logs(1, scans=2)
    with pytest.raises(ConfigError, match=r"1 times of pictures: expected two or more"):
        fit_clock(log.picture_s[:1], log.frame_s)
    with pytest.raises(ConfigError, match=r"times of frames: expected two or more, all finite"):
        fit_clock(log.picture_s, np.append(log.frame_s, np.nan))
    with pytest.raises(ConfigError, match=r"max_offset_s=0.0: expected > 0"):
        fit_clock(log.picture_s, log.frame_s, max_offset_s=0.0)
    with pytest.raises(ConfigError, match=r"0 times of pictures: expected some"):
        match(np.empty(0), log.frame_s)
    with pytest.raises(ConfigError, match=r"tolerance_s=-1.0: expected > 0"):
        match(log.picture_s, log.frame_s, tolerance_s=-1.0)
    found = match(log.picture_s, log.frame_s, Clock(0.35))
    with pytest.raises(ConfigError, match=r"combine='sum': expected one of median, mean"):
        found.combined(log.frame_s, "sum")
    with pytest.raises(ConfigError, match=r"\(3,\) counts: expected one for each"):
        found.combined(np.zeros(3))


def test_bursts_overlap_and_edges() -> None:
    times = np.array([0.0, 1.0, 2.0, 10.0, 11.0])
    ours = bursts(times, 3.0)
    assert ours.first_s.tolist() == [0.0, 10.0]
    assert ours.last_s.tolist() == [2.0, 11.0]
    assert overlap_offset(ours, bursts(times + 4.25, 3.0), 6.0) == (4.25, False)
    assert overlap_offset(ours, bursts(times + 100.0, 3.0), 6.0) == (None, False)
    # one scan that a gap has broken is put together
    broken = bursts(np.array([0.5, 0.7, 1.8, 10.5, 10.75]), 1.0)
    first, last = paired_edges(ours, broken, 0.0)
    assert first[1].tolist() == [0.5, 0.5]
    assert last[1] == pytest.approx([-0.2, -0.25])


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    camera = pd.DataFrame({
        "image": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], "time_s": [0.0, 0.125, 0.25, 5.0],
        "zoom": [3.0] * 4, "omega_deg": [0.0, 1.0, 2.0, 3.0],
    })  # fmt: skip
    detector = pd.DataFrame({
        "frame": [7, 8, 9, 10, 11], "time_s": 0.35 + np.array([0.0, 0.1, 0.13, 0.14, 1.0]),
        "crystal": ["x"] * 5,
    })  # fmt: skip
    return camera, detector, pd.DataFrame({"frame": [7, 8, 9, 10, 11], "rc": [5, 1, 2, 9, 4]})


@pytest.mark.parametrize(("how", "rc"), [("median", 2), ("mean", 4), ("max", 9), ("nearest", 2)])
def test_the_table_of_pairs(how: str, rc: float) -> None:
    camera, detector, counts = tables()
    found = match(camera["time_s"], detector["time_s"], Clock(0.35))
    table = match_tables(camera, detector, counts, matches=found, combine=how)
    assert table.columns.tolist() == [
        "image", "rc", "crystal", "zoom", "omega_deg", "time_s", "frame", "n_frames", "residual_s",
    ]  # fmt: skip
    assert table["image"].tolist() == ["a.jpg", "b.jpg"]
    assert table["rc"].tolist() == [5.0, rc]
    assert table["frame"].tolist() == [7, 9]
    assert table["n_frames"].tolist() == [1, 3]
    assert table["time_s"].tolist() == [0.35, 0.475]
    assert table["residual_s"].to_numpy() == pytest.approx([0.0, -0.005])
    assert found.unmatched_frames.tolist() == [4]
    assert found.unmatched_pictures.tolist() == [2, 3]
    by_frame = match_tables(camera, detector, {7: 5, 9: 2}, matches=found)
    assert by_frame["rc"].tolist() == [5.0, 2.0]


def test_counts_that_do_not_belong_are_refused() -> None:
    camera, detector, counts = tables()
    found = match(camera["time_s"], detector["time_s"], Clock(0.35))
    with pytest.raises(ConfigError, match="no frame of the detector's log has a count"):
        match_tables(camera, detector, {100: 1.0}, matches=found)
    with pytest.raises(ConfigError, match="no counts: give them"):
        match_tables(camera, detector, matches=found)
    with pytest.raises(ConfigError, match="frame 7 has two counts"):
        match_tables(camera, detector, pd.concat([counts, counts]), matches=found)
    detector["frame"], detector["series"] = [1, 2, 1, 2, 3], ["a", "a", "b", "b", "b"]
    with pytest.raises(ConfigError, match="the counts need a column series"):
        match_tables(camera, detector, counts, matches=found)
    counts = detector[["series", "frame"]].assign(rc=[1, 2, 3, 4, 5])
    assert match_tables(camera, detector, counts, matches=found)["rc"].tolist() == [1.0, 3.0]


def test_records_need_no_torch() -> None:
    barred = ("torch", "pytorch_lightning", "torchmetrics", "cv2", "onnx")
    lines = [
        "import sys",
        f"sys.modules.update(dict.fromkeys({barred!r}))",
        "from refimpl.centring import counts, matching",
        "from refimpl.cli import centring_count, centring_match",
        "from refimpl.io import camera_log, dials_spot_log, distl_log, eiger_log, eiger_master",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=60)
