"""A simulated collection as a folder: what stands in it is the truth that it tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from refimpl.centring.simulate import scene
from refimpl.centring.simulate_collection import Collection, Plan, collect
from refimpl.centring.simulate_files import write_collection
from refimpl.centring.simulate_sheet import sheet_of
from refimpl.centring.simulate_stream import StreamSettings
from refimpl.errors import ConfigError

PLAN = Plan(crystals=2, empty=1, seconds=1.0, side="any", scans=("helical", "rotational", "mesh"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Collection]:
    made = collect(PLAN, StreamSettings(drift=1e-5), seed=4)
    folder = tmp_path_factory.mktemp("centring") / "loops"
    seen: list[tuple[int, int]] = []
    n = write_collection(made, folder, suffix="png", progress=lambda *done: seen.append(done))
    assert seen == [(k + 1, n) for k in range(n)]
    assert n == len(made.stream.picture_s)
    return folder, made


def test_every_picture_is_there(written: tuple[Path, Collection]) -> None:
    folder, _ = written
    camera = pd.read_csv(folder / "camera.csv")
    assert list(camera) == ["image", "time_s", "crystal", "zoom", "omega_deg", "series"]
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*.png")}
    assert set(camera["image"]) == files
    assert camera["time_s"].is_monotonic_increasing
    assert set(camera["crystal"]) == {"c0001", "c0002", "c0003"}


def test_counts_and_pairs_agree(written: tuple[Path, Collection]) -> None:
    folder, _ = written
    counts = pd.read_csv(folder / "counts.csv")
    table = pd.read_csv(folder / "table.csv")
    both = table.merge(counts, on=["series", "frame"], suffixes=("", "_counted"))
    assert len(both) == len(table)
    assert (both["rc"] == both["rc_counted"]).all()
    detector = pd.read_csv(folder / "detector.csv")
    assert len(detector) == len(counts) == 6 * 20


def test_a_picture_is_made_again_from_the_truth(written: tuple[Path, Collection]) -> None:
    folder, _ = written
    truth = json.loads((folder / "truth.json").read_text())
    camera = pd.read_csv(folder / "camera.csv").set_index("image")
    row = len(truth["images"]) // 2
    line = camera.loc[truth["images"][row]]
    one = next(s for s in truth["scenes"] if s["crystal"] == line["crystal"])
    again = scene(one["seed"], crystals=one["crystals"], mount=one["mount"], side=one["side"])
    at = truth["at_um"][row]
    omega = np.radians(line["omega_deg"])
    # numbers in files are rounded and so the noise is another one
    picture = again.picture(one["zoom"], omega, at_um=at).astype(float)
    with Image.open(folder / truth["images"][row]) as file:
        stored = np.asarray(file).astype(float)
    assert stored.shape == (480, 600)
    assert np.corrcoef(picture.ravel(), stored.ravel())[0, 1] > 0.9
    assert float(again.rc_px([300.0, 240.0], one["zoom"], omega, at_um=at)) == pytest.approx(
        truth["expected"][row], rel=1e-3, abs=1e-2
    )
    assert truth["offset_s"] == 0.35
    assert truth["drift"] == 1e-5
    assert truth["reference_s"] == pytest.approx(line["time_s"].min(), abs=200.0)


def test_a_mesh_is_a_table(written: tuple[Path, Collection]) -> None:
    folder, made = written
    mesh = pd.read_csv(folder / "mesh.csv")
    for number, scan in made.meshes:
        part = mesh[mesh["crystal"] == made.shown[number].name]
        assert (part["row"].max() + 1, part["column"].max() + 1) == scan.grid
        assert part["rc"].tolist() == scan.rc.tolist()
        assert np.diff(part["s_um"].to_numpy()[:2]) == pytest.approx(20.0)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    plan = Plan(crystals=1, seconds=0.4)
    for name in ("a", "b"):
        write_collection(collect(plan, seed=8), tmp_path / name)
    files = [sorted((tmp_path / name).rglob("*.*")) for name in ("a", "b")]
    assert len(files[0]) == len(files[1]) > 5
    for one, two in zip(*files, strict=True):
        assert one.is_dir() or one.read_bytes() == two.read_bytes()


def test_readers_take_the_logs(written: tuple[Path, Collection]) -> None:
    from refimpl.io.camera_log import read_camera_log
    from refimpl.io.eiger_log import read_eiger_log

    folder, made = written
    camera, detector = (
        read_camera_log(folder / "camera.csv"),
        read_eiger_log(folder / "detector.csv"),
    )
    assert camera["time_s"].to_numpy() == pytest.approx(made.stream.picture_s, abs=1e-6)
    assert detector["time_s"].to_numpy() == pytest.approx(made.stream.frame_s, abs=1e-6)


def test_a_sheet_shows_pictures_beside_their_maps(written: tuple[Path, Collection]) -> None:
    sheet = sheet_of(written[1].shown)
    assert sheet.shape == (3 * 240, 6 * 300)
    assert sheet[:240, 300:600].max() == 255


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("mine")
    with pytest.raises(ConfigError, match="expected a folder that is new or empty"):
        write_collection(collect(Plan(crystals=1, seconds=0.5)), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Plan(crystals=0), "0 crystals and 0 empty loops: expected 1 or more"),
        (lambda: Plan(scans=("helical", "spiral")), "scans helical, spiral: expected helical"),
        (lambda: Plan(scans=("mesh",)), "scans mesh: expected helical"),
        (lambda: Plan(scans=()), "scans none: expected helical"),
        (lambda: Plan(seconds=0.0), "seconds 0.0: expected more than 0"),
        (lambda: Plan(seconds=float("inf")), "seconds inf: expected more than 0, finite"),
        (lambda: StreamSettings(frame_hz=float("inf")), "frame_hz = inf: expected finite numbers"),
        (lambda: StreamSettings(pause_s=(1.0, float("nan"))), "pause_s = .*: expected finite"),
        (lambda: collect(Plan(), StreamSettings(frame_hz=1e300)), "seconds times frame_hz = 5e"),
        (lambda: collect(Plan(), StreamSettings(camera_hz=1e300)), "seconds times camera_hz = 5e"),
        (lambda: write_collection(collect(Plan(crystals=1, seconds=0.5)), "x", suffix="bmp"),
         "pictures as 'bmp': expected one of jpg, png"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        call()
