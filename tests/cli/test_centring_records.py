"""``refimpl centring count`` and ``match`` from files to files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import typer
from clock_logs import logs
from distl_listing import APPENDIX_B
from typer.testing import CliRunner

from refimpl.cli.centring_count import count
from refimpl.cli.centring_match import match
from refimpl.errors import ConfigError, ConvergenceError, FormatError

RUNNER = CliRunner()


def run(command: Callable[..., int], *words: object) -> str:
    app = typer.Typer()
    app.command()(command)
    found = RUNNER.invoke(app, [str(word) for word in words])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.stdout


def collection(folder: Path, scans: int = 20) -> tuple[Path, Path, Path]:
    log = logs(3, scans=scans)
    camera, detector, counts = (folder / f"{n}.csv" for n in ("camera", "detector", "counts"))
    names = [f"p{k:05d}.jpg" for k in range(len(log.picture_s))]
    pd.DataFrame({"image": names, "time_s": log.picture_s, "zoom": 3}).to_csv(camera, index=False)
    numbers = range(1, len(log.frame_s) + 1)
    pd.DataFrame({"frame": numbers, "time_s": log.frame_s}).to_csv(detector, index=False)
    pd.DataFrame({"frame": numbers, "rc": range(len(log.frame_s))}).to_csv(counts, index=False)
    return camera, detector, counts


def test_pairs_and_what_has_no_partner(tmp_path: Path) -> None:
    camera, detector, counts = collection(tmp_path)
    out, lost = tmp_path / "pairs.csv", tmp_path / "lost.csv"
    found = json.loads(run(
        match, camera, detector, "--counts", counts, "-o", out, "--unmatched", lost, "--json",
    ))  # fmt: skip
    assert found["offset_s"] == pytest.approx(0.35, abs=0.04)
    assert found["is_decided"]
    assert found["scans"] == 20
    pairs, without = pd.read_csv(out), pd.read_csv(lost)
    assert len(pairs) == found["pairs"]
    kinds = without["what"].value_counts()
    assert kinds.get("picture", 0) == found["pictures_without_frame"]
    assert kinds.get("frame", 0) == found["frames_without_picture"]
    assert len(pd.read_csv(camera)) == len(pairs) + kinds.get("picture", 0)
    assert pairs["residual_s"].abs().max() <= 0.0625
    text = run(match, camera, detector, "--counts", counts, "--offset-s", 0.35, "-o", out)
    assert text.startswith("offset 0.3500 +- 0.0000 s, drift 0; ")
    assert text.endswith(f"wrote {out}\n")


def test_counts_from_the_log_of_distl(tmp_path: Path) -> None:
    (tmp_path / "distl.log").write_text(APPENDIX_B)
    (tmp_path / "camera.csv").write_text("image,time\na.jpg,1544807001.0\nb.jpg,1544807001.125\n")
    log = tmp_path / "eiger.log"
    log.write_text("".join(f"2018-12-14 17:03:21.{k}00 frame {136 + k} written\n" for k in (1, 2)))
    run(
        match, tmp_path / "camera.csv", log, "--counts", tmp_path / "distl.log",
        "--offset-s", 0, "-o", tmp_path / "pairs.csv",
    )  # fmt: skip
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    assert pairs[["image", "rc", "frame"]].to_numpy().tolist() == [["b.jpg", 1707.0, 137]]


def test_what_is_not_decided_stops_unless_told(tmp_path: Path) -> None:
    camera, detector, counts = collection(tmp_path, scans=2)
    late = pd.read_csv(detector)
    late["time_s"] += 1000.0
    late.to_csv(detector, index=False)
    with pytest.raises(ConvergenceError, match=r"no offset within 10 s brings .*--undecided"):
        run(match, camera, detector, "--counts", counts)
    with pytest.raises(ConfigError, match="no frame of the detector's log has a count"):
        run(match, camera, detector, "--counts", _other(tmp_path), "--undecided")
    found = run(match, camera, detector, "--counts", counts, "--max-offset-s", 2000, "--json")
    assert json.loads(found)["offset_s"] == pytest.approx(1000.35, abs=0.1)


def _other(folder: Path) -> Path:
    path = folder / "other.csv"
    path.write_text("frame,rc\n100000,3\n")
    return path


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    camera, detector, _ = collection(tmp_path, scans=1)
    with pytest.raises(ConfigError, match="--drift is for an offset that is given"):
        run(match, camera, detector, "--drift", 1e-5)
    with pytest.raises(ConfigError, match="no counts: give them"):
        run(match, camera, detector, "--offset-s", 0.35)
    with pytest.raises(ConfigError, match="give images or --log, one of them"):
        run(count)
    with pytest.raises(ConfigError, match="--frames and --kind are for images"):
        run(count, "--log", detector, "--frames", "1:2")
    with pytest.raises(FormatError, match="no table of spots by image"):
        run(count, "--log", detector)


def test_logs_are_counted(tmp_path: Path) -> None:
    log, out = tmp_path / "distl.log", tmp_path / "counts.csv"
    log.write_text(APPENDIX_B)
    assert "1707" in run(count, "--log", log, "-o", out)
    assert pd.read_csv(out)[["frame", "rc", "good_bragg"]].to_numpy().tolist() == [
        [137, 1707, 1313]
    ]
    assert json.loads(run(count, "--log", log, "--json"))[0]["signal_max"] == 18020.4


def test_images_are_counted(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    image = real_data("thaumatin-grid") / "thau_3_2_0001.cbf.bz2"
    text = run(count, image, "-o", tmp_path / "c.csv")
    assert text.splitlines()[1].split() == ["1", "280", "279", "228", "212", "2"]
    assert pd.read_csv(tmp_path / "c.csv")["rc"].tolist() == [280]
