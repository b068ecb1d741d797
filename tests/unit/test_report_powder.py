"""The HTML report of a powder calibration: one page that needs nothing else."""

from __future__ import annotations

import base64
import dataclasses
import re
import subprocess
import sys
import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from report_powder_views import Page, make_view, read

from refimpl.errors import ConfigError
from refimpl.report import sections, style, verdict
from refimpl.report.powder import figures, overview, write_report
from refimpl.report.view import PowderView


@pytest.fixture(scope="module")
def small() -> PowderView:
    return make_view(n=600, scale=0.25)


@pytest.fixture(scope="module")
def small_page(small, tmp_path_factory):
    return write_report(small, tmp_path_factory.mktemp("report"))


def test_the_page_is_well_formed_and_needs_nothing_else(small_page):
    text = small_page.read_text(encoding="utf-8")
    page = read(small_page)
    assert len(page.images) == 8
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.images)
    assert all(len(image["alt"]) > 20 for image in page.images)
    anchors = [link for link in page.links if not link.startswith("data:")]
    assert anchors
    assert all(link.startswith("#") and link[1:] in page.ids for link in anchors)
    assert len(set(page.ids)) == len(page.ids)
    without_data = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"(https?:)?//|@import|url\(", without_data)
    assert "default-src 'none'" in text


def test_inline_images_are_the_files_and_show_something(small_page):
    files = sorted((small_page.parent / "figures").iterdir())
    assert [f.suffix for f in files] == [".png"] * 8
    inline = {base64.b64decode(i["src"].partition(",")[2]) for i in read(small_page).images}
    assert inline == {f.read_bytes() for f in files}
    for file in files:
        pixels = np.asarray(Image.open(BytesIO(file.read_bytes())).convert("L"), dtype=float)
        assert pixels.std() > 5.0, file.name  # grey levels; an empty sheet has 0
        assert (pixels < 250).mean() > 0.01, file.name


def test_no_temporary_file_is_left(small_page):
    names = [path.name for path in small_page.parent.rglob("*") if path.is_file()]
    assert not [name for name in names if ".part" in name]


def test_the_page_says_what_was_found(small_page, small):
    words = read(small_page).words
    assert "The detector stands 739.7801(23) mm from the sample." in words
    assert "Not determined: p3. At a bound: p1." in words
    assert "0.22918(41)" in words  # ty_rad, shown in degrees
    assert "refimpl powder calibrate ceria.hdf5" in words
    assert "p1 stands at its bound" in words
    assert f"{len(small.used):,} of {len(small.points):,} points on" in words


def test_the_same_view_gives_the_same_bytes(small, small_page, tmp_path):
    again = write_report(small, tmp_path)
    assert again.read_bytes() == small_page.read_bytes()


def test_everything_from_outside_is_escaped(small, tmp_path):
    nasty = "<script>alert('x')</script> & \"<b>.tif"
    parameters = small.parameters.copy()
    parameters["name"] = [nasty, *parameters["name"][1:]]
    parameters["unit"] = [nasty, *parameters["unit"][1:]]
    view = dataclasses.replace(
        small,
        title=nasty,
        parameters=parameters,
        warnings=[nasty],
        timing={nasty: 1.0},
        provenance={"command": nasty, nasty: [nasty], "version": nasty},
        summary={**small.summary, nasty: nasty, "clip_rule": nasty},
        truth={nasty: 739.0},
    )
    path = write_report(view, tmp_path)
    page = read(path)  # a script element would have failed there
    assert page.words.count(nasty) >= 10
    assert "<script" not in path.read_text(encoding="utf-8")


def test_without_points_the_page_says_so(tmp_path):
    view = make_view(n=0, scale=0.1)
    page = read(write_report(view, tmp_path))
    assert "No calibration" in page.words
    assert "No point survived" in page.words
    assert verdict.headline(view)[0] == "bad"
    style.png(overview(view))


def test_nan_everywhere_is_survived(small, tmp_path):
    points = small.points.copy()
    points.loc[points.index[::3], ["strain", "two_theta_rad"]] = np.nan
    points[["sigma_two_theta_rad", "fwhm_rad"]] = np.nan
    view = dataclasses.replace(
        small,
        image=np.full_like(small.image, np.nan),
        points=points,
        cake=(*small.cake[:2], np.full_like(small.cake[2], np.nan)),
        radial=(small.radial[0], np.full_like(small.radial[1], np.nan)),
        summary={"n": 3, "mean_all": np.nan},
        iterations=[{"iteration": 0, "n": 0, "mean_all": np.nan}],
        correlations=(np.full((7, 7), np.nan), small.correlations[1]),
    )
    words = read(write_report(view, tmp_path)).words
    assert "nan" not in words.lower()
    assert "no held-out figure" in words


def test_optional_parts_are_left_out(small, tmp_path):
    view = dataclasses.replace(
        small,
        **{"cake": None, "radial": None, "correlations": None, "iterations": (), "summary": {}},
        **{"timing": {}, "warnings": (), "provenance": {}, "truth": None},
    )
    drawn = figures(view)
    assert not {"cake", "radial_profile", "correlations"} & set(drawn)
    page = read(write_report(view, tmp_path))
    assert "warnings" not in page.ids
    assert "reproduce" not in page.ids


def test_truth_is_compared(small):
    view = dataclasses.replace(small, truth={"lsd_mm": 739.7778, "tz_rad": -0.0021 + 68e-6})
    words = Page(sections.truth_table(view)).words
    # (739.78012 - 739.7778) / 0.0023 and (-68e-6) / 6.8e-6
    assert "+1.01 σ" in words
    assert "-10.00 σ" in words


def test_a_report_takes_seconds(small_page, tmp_path):
    view = make_view(n=3000)
    assert small_page.exists()  # fonts and imports are paid once
    start = time.process_time()
    path = write_report(view, tmp_path)
    assert time.process_time() - start < 5.0  # s; measured 1.7 s
    assert path.stat().st_size < 5e6  # bytes


def test_no_pyplot_and_no_settings_are_left_behind(tmp_path):
    code = (
        "import sys, matplotlib; r = matplotlib.rcParams\n"
        "now = lambda: {k: r[k] for k in r if k != 'backend'}  # reading 'backend' imports pyplot\n"
        "before = now()\n"
        "import refimpl.report.powder\n"
        "from refimpl.report import style\n"
        "with style.styled(): style.new_figure(1, 1)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert now() == before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unwritable_folder_is_one_clear_line(small, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        write_report(small, tmp_path / "file" / "report")
