"""Folders of simulated sessions: read back as they were, broken where they should be."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refimpl.epu.session import Session, read_session
from refimpl.epu.simulate import Simulated, SimulationSettings, simulate
from refimpl.epu.simulate_files import Artefacts, Written, write_session
from refimpl.epu.simulate_images import specimen_of
from refimpl.epu.simulate_xml import epu_session_xml, exposure_xml, fractions_xml, grid_square_xml
from refimpl.errors import ConfigError, FormatError
from refimpl.io.epu_dm import read_grid, read_targets
from refimpl.io.epu_names import exposure_name
from refimpl.io.epu_xml import read_strict
from refimpl.io.whole_folder import whole_folder

SMALL = SimulationSettings(
    squares=2, groups=4, pattern="3x3", shots=2, overlaps=1, revisits=1, singles=3, near_misses=2,
    first_hole=9_999_950,
)  # fmt: skip


@pytest.fixture(scope="module")
def made() -> Simulated:
    return simulate(SMALL, seed=1)


@pytest.fixture(scope="module")
def written(made: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("simulated") / "session"
    return write_session(made, folder, image_px=64, seed=5)


@pytest.fixture(scope="module")
def session(written: Written) -> Session:
    return read_session(written.folder)


def test_the_session_is_read_back_as_it_was(made: Simulated, session: Session) -> None:
    expected = made.session.table
    assert len(session) == len(expected)
    for name in expected.columns:
        if name == "path":
            continue
        got, want = session.table[name].to_numpy(), expected[name].to_numpy()
        if want.dtype == object or want.dtype == np.int64:
            assert (got == want).all(), name
        else:
            # seconds: the reader drops digits beyond the microsecond; metres: one rounding more
            np.testing.assert_allclose(got, want, rtol=1e-14, atol=2e-6 * (name == "time_s"))


def test_the_plan_is_read_back_as_it_was(made: Simulated, session: Session) -> None:
    expected = made.session_with_dm.holes
    assert expected is not None
    assert session.holes is not None
    columns = ["square", "hole", "stage_x_um", "stage_y_um"]
    got, want = (h[columns].sort_values(columns[:2]).to_numpy() for h in (session.holes, expected))
    np.testing.assert_allclose(got, want, rtol=1e-14)
    assert session.hole_spacing_um == pytest.approx(made.hole_spacing_um)
    assert session.hole_size_um == pytest.approx(1.2)


def test_what_is_broken_is_in_the_table_of_errors(written: Written, session: Session) -> None:
    reasons = dict(zip(session.errors["path"], session.errors["reason"], strict=True))
    assert len(written.unusable) == 2
    for path, why in written.unusable:
        reason = reasons.pop(str(written.folder / path))
        assert ("BeamShift" if why == "without BeamShift" else "well-formed") in reason
    assert len(written.copies) == 3
    assert len(reasons) == 3
    assert all("uniqueID" in reason for reason in reasons.values())
    assert not session.errors["used"].any()


def test_truth_json_says_what_happened(made: Simulated, written: Written) -> None:
    truth = json.loads((written.folder / "truth.json").read_text())
    names = truth["names"]
    assert names == made.session.table["name"].tolist()
    np.testing.assert_array_equal(truth["matrix_um"], made.truth.matrix_um)
    np.testing.assert_array_equal(truth["true_um"], made.truth.true_um)
    assert truth["kind"] == made.truth.kind.tolist()
    assert [names[i] for i in truth["bad"]] == truth["bad_names"]
    assert truth["bad"] == np.nonzero(made.truth.bad)[0].tolist()
    assert truth["pairs"] == made.truth.pairs.tolist()
    assert truth["artefacts"]["unusable"] == [list(pair) for pair in written.unusable]
    assert truth["artefacts"]["missing_jpg"] == list(written.missing_jpg)
    assert {f.name for f in fields(SimulationSettings)} == set(truth["settings"])


def test_every_exposure_has_its_files_but_those_that_lack_a_picture(
    made: Simulated, written: Written
) -> None:
    lacking = set(written.missing_jpg)
    assert len(lacking) == 3
    bad = set(made.session.table["name"][made.truth.bad])
    assert lacking & bad
    for path, name in zip(made.session.table["path"], made.session.table["name"], strict=True):
        stem = str(written.folder / path)[: -len(".xml")]
        assert Path(stem + ".jpg").exists() == (name not in lacking)
        assert Path(stem + "_Fractions.xml").exists() != Path(stem + "_fractions.xml").exists()
    movies = {p.name[p.name.index("_", 50) :] for p in (written.folder / "RawData").rglob("*.*")}
    assert movies == {"_fractions.tiff", "_EER.eer"}
    assert written.files == sum(p.is_file() for p in written.folder.rglob("*"))


def test_a_square_has_no_pictures_of_foil_holes(written: Written, session: Session) -> None:
    (without,) = written.squares_without_foil_images
    squares = {int(p.name.split("_")[1]) for p in written.folder.glob("Images-Disc1/*")}
    assert len(squares) == 2
    assert set(session.foil_images["square"]) == squares - {without}
    assert len(list(written.folder.glob("Images-Disc1/GridSquare_*/GridSquare_*.jpg"))) == 2
    times = np.sort(session.foil_images["time_s"].to_numpy())
    assert (np.diff(times)[::2] <= 6.0).all()  # two of a hole, five seconds apart


def test_fractions_are_no_exposures(made: Simulated) -> None:
    row = made.session.table.iloc[0].to_dict()
    with pytest.raises(FormatError, match="Acquisition"):
        read_strict(fractions_xml(row).encode())
    assert exposure_name(row["name"] + "_Fractions") is None


def test_the_xml_is_as_long_as_the_real_one(made: Simulated) -> None:
    text = exposure_xml(made.session.table.iloc[0].to_dict(), made.settings)
    assert 10_000 < len(text) < 14_000  # real: 12 kB


def test_overlapping_exposures_show_the_same_specimen_shifted() -> None:
    settings = SimulationSettings()
    rng = np.random.default_rng(1)
    specimen = specimen_of(settings, 96, rng)
    first, moved = np.array([10.0, -20.0]), np.array([10.05, -20.02])
    before, after = specimen.image(first, 0, rng), specimen.image(moved, 1, rng)
    waves = [np.fft.fft2(image - image.mean()) for image in (before, after)]
    correlation = np.fft.ifft2(waves[0] * waves[1].conj()).real
    peak = np.array(np.unravel_index(int(correlation.argmax()), correlation.shape))
    found = (peak + 48) % 96 - 48
    expected = ((moved - first) @ np.linalg.inv(specimen.pixel_um))[::-1]
    np.testing.assert_allclose(found, expected, atol=1.0)  # to the pixel
    far = specimen.image(first + 5.0, 0, rng)
    other = np.fft.ifft2(waves[0] * np.fft.fft2(far - far.mean()).conj()).real
    assert correlation.max() > 2.0 * other.max()


def test_what_was_exposed_before_is_brighter() -> None:
    rng = np.random.default_rng(1)
    specimen = specimen_of(SimulationSettings(), 96, rng)
    light = [float(specimen.image(np.zeros(2), n, rng).mean()) for n in range(3)]
    assert 1.05 < light[1] / light[0] < 1.25
    assert light[2] > 1.04 * light[1]


def test_pictures_have_the_size_asked_for(written: Written) -> None:
    (one,) = list(written.folder.rglob("Data/*.jpg"))[:1]
    with Image.open(one) as image:
        assert (image.size, image.mode) == ((64, 64), "L")


def test_without_pictures_and_artefacts_there_are_records_alone(
    made: Simulated, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    done = write_session(
        made, tmp_path / "s", images=False, artefacts=False,
        progress=lambda done, of: seen.append((done, of)),
    )  # fmt: skip
    suffixes = {p.suffix for p in done.folder.rglob("*") if p.is_file()}
    assert suffixes == {".xml", ".dm", ".json"}
    assert (done.unusable, done.copies, done.missing_jpg) == ((), (), ())
    found = read_session(done.folder)
    assert not len(found.errors)
    assert seen[-1] == (len(found) // 50 * 50, len(found))


def test_artefacts_can_be_stated(made: Simulated, tmp_path: Path) -> None:
    done = write_session(
        made, tmp_path / "s", images=False, artefacts=Artefacts(truncated=3, copies=0)
    )
    assert [why for _, why in done.unusable] == ["truncated"] * 3 + ["without BeamShift"]
    assert done.copies == ()
    with pytest.raises(ConfigError, match="truncated = -1 is outside of 0 to 10000"):
        Artefacts(truncated=-1)


def test_the_same_seed_writes_the_same_bytes(made: Simulated, tmp_path: Path) -> None:
    one, two = (write_session(made, tmp_path / n, image_px=16, seed=2).folder for n in "ab")
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    assert all((one / f).read_bytes() == (two / f).read_bytes() for f in files)


def test_a_folder_that_holds_something_is_left_alone(made: Simulated, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="expected a folder that is new or empty"):
        write_session(made, tmp_path)
    with pytest.raises(ConfigError, match="new or empty"):
        write_session(made, tmp_path / "mine.txt")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        write_session(made, tmp_path / "mine.txt" / "s", images=False)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_pictures_of_no_size_are_refused(made: Simulated, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="image_px = 4 is outside of 8 to 4096"):
        write_session(made, tmp_path / "s", image_px=4)


def test_a_session_that_breaks_off_leaves_nothing(made: Simulated, tmp_path: Path) -> None:
    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with pytest.raises(KeyboardInterrupt):
            write_session(made, tmp_path / name, images=False, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["empty"]
    assert not any((tmp_path / "empty").iterdir())


def test_a_folder_without_room_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write: No space"), whole_folder(tmp_path / "s"):
        raise OSError(28, "No space left on device")
    assert not any(tmp_path.iterdir())


def test_lacey_plans_have_targets_elsewhere_and_no_spacing() -> None:
    settings = SimulationSettings(lacey=True)
    text = grid_square_xml([(12, 3.0, -4.5)], (0.0, 0.0), settings)
    assert "TargetLocationsEfficient" not in text
    (target,) = read_targets(text.encode())
    assert (target.hole, target.stage_x_um, target.stage_y_um) == pytest.approx((12, 3.0, -4.5))
    assert read_grid(epu_session_xml(2.5, settings).encode()).hole_spacing_um is None
