"""The powder report on synthetic views: complete, self-contained, escaped, quick."""

from __future__ import annotations

import base64
import dataclasses
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.report import rings, sections, style, verdict
from refimpl.report.powder import figures, overview, write_report
from refimpl.report.view import POINT_COLUMNS, PowderView, Quantity

CELL = 5.41153
HKL = np.array(
    [
        *[(1, 1, 1), (2, 0, 0), (2, 2, 0), (3, 1, 1), (2, 2, 2), (4, 0, 0), (3, 3, 1), (4, 2, 0)],
        *[(4, 2, 2), (5, 1, 1), (4, 4, 0), (5, 3, 1), (6, 0, 0), (6, 2, 0), (5, 3, 3), (6, 2, 2)],
    ]
)
WAVELENGTH = 0.2021515
TWO_THETA = 2.0 * np.arcsin(0.5 * WAVELENGTH * np.linalg.norm(HKL, axis=1) / CELL)


def _image(model: TiltedFlat, rng: np.random.Generator, scale: float) -> np.ndarray:
    """Rings on a falling background, Poisson noise, module gaps, a beam stop."""
    angle, _ = model.maps()
    width = 4.5e-4 / scale
    mean = 6.0 + 40.0 * np.exp(-angle / 0.05)
    for ring, strength in zip(TWO_THETA, np.geomspace(900.0, 40.0, len(TWO_THETA)), strict=True):
        mean += strength * np.exp(-0.5 * ((angle - ring) / width) ** 2)
    image = rng.poisson(mean).astype(float)
    rows, columns = (int(v * scale) for v in (212, 494))
    for start in range(rows - int(17 * scale), model.shape[0], rows):
        image[start : start + int(17 * scale)] = np.nan
    for start in range(columns - max(1, int(7 * scale)), model.shape[1], columns):
        image[:, start : start + max(1, int(7 * scale))] = np.nan
    image[angle < 0.012] = np.nan
    return image


def _points(model: TiltedFlat, image: np.ndarray, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Points on the rings with a two-fold systematic and noise; the worst 5 % left out."""
    ring = rng.integers(0, len(TWO_THETA), 4 * n)
    eta = rng.uniform(-np.pi, np.pi, 4 * n)
    fast, slow = model.pixel_position(model.lsd_mm * np.tan(TWO_THETA[ring]), eta)
    inside = (fast > 0) & (slow > 0) & (fast < model.shape[1]) & (slow < model.shape[0])
    keep = np.flatnonzero(inside)
    keep = keep[np.isfinite(image[slow[keep].astype(int), fast[keep].astype(int)])][:n]
    ring, eta, fast, slow = ring[keep], eta[keep], fast[keep], slow[keep]
    sigma_strain = 40e-6 * np.exp(0.06 * ring) * rng.uniform(0.7, 1.4, len(keep))
    strain = (
        90e-6 * np.cos(2 * eta + 0.6)
        + 25e-6 * np.cos(7 * ring)
        + sigma_strain * rng.standard_t(5, len(keep))
    )
    two_theta = np.arctan(np.tan(TWO_THETA[ring]) * (1.0 - strain))
    slope = np.sin(two_theta) * np.cos(two_theta)
    used = np.abs(strain) < np.quantile(np.abs(strain), 0.95) if len(keep) else np.zeros(0, bool)
    columns = {
        "ring": ring + 1,
        "panel": np.full(len(keep), -1),
        "fast_px": fast,
        "slow_px": slow,
        "eta_rad": eta,
        "two_theta_rad": two_theta,
        "sigma_two_theta_rad": sigma_strain * slope,
        "strain": strain,
        "used": used,
        "fwhm_rad": np.full(len(keep), 1.06e-3),
        "mixing": np.full(len(keep), 0.4),
        "amplitude": np.geomspace(900.0, 40.0, len(TWO_THETA))[ring],
        "background": np.full(len(keep), 12.0),
    }
    return pd.DataFrame(columns, columns=list(POINT_COLUMNS))


def _iterations(strain: np.ndarray) -> list[dict[str, object]]:
    """Five passes that close in on the final residuals."""
    shape = 25e-6 * np.cos(7 * np.arange(len(TWO_THETA)))
    size = np.abs(strain).mean() if len(strain) else 1e-4
    rows = []
    for k, start in enumerate((4000e-6, 600e-6, 60e-6, 5e-6, 0.0)):
        figures_ = {"mean_all": size + start, "median": 0.7 * size + start}
        figures_["clip_mean"] = 0.85 * size + 0.9 * start
        mean = shape + start * (1.0 + 0.2 * np.arange(len(shape)) / len(shape))
        rows.append(
            {"iteration": k, "n": len(strain), **figures_, "two_theta": TWO_THETA, "strain": mean}
        )
    return rows


def make_view(n: int = 3000, scale: float = 1.0, seed: int = 4, **changes: object) -> PowderView:
    """A Pilatus 2M-like calibration (scale 1: 1679 x 1475 pixels)."""
    rng = np.random.default_rng(seed)
    shape = (int(1679 * scale), int(1475 * scale))
    pixel = 0.172 / scale
    model = TiltedFlat(
        shape=shape,
        pixel_size_mm=(pixel, pixel),
        lsd_mm=739.7801,
        beam_centre_px=(736.2 * scale, 839.1 * scale),
        tilts_rad=(0.0, 0.004, -0.0021),
    )
    image = _image(model, rng, scale)
    points = _points(model, image, n, rng)
    strain = points.loc[points["used"], "strain"].to_numpy()
    table = [
        ("lsd_mm", 739.78012, 0.0023, "mm", "refined"),
        ("beam_fast_px", 736.2104, 0.0031, "px", "refined"),
        ("beam_slow_px", 839.0981, 0.0028, "px", "refined"),
        ("ty_rad", 0.004, 7.2e-6, "rad", "refined"),
        ("tz_rad", -0.0021, 6.8e-6, "rad", "refined"),
        ("p0", -1.2345e-4, 6.7e-6, "", "refined"),
        ("p1", 0.002, 0.0004, "", "at bound"),
        ("p3", 12.0, np.nan, "°", "not determined"),
        ("wavelength", WAVELENGTH, np.nan, "Å", "fixed"),
    ]
    names = [row[0] for row in table[:7]]
    mixing = np.eye(7) + 0.25 * rng.standard_normal((7, 7))
    mixing[1] = mixing[4] + 0.1 * rng.standard_normal(7)
    covariance = mixing @ mixing.T
    scale_ = np.sqrt(np.diag(covariance))
    angle = np.linspace(0.01, 0.2, 1400)
    profile = 8.0 + sum(
        a * np.exp(-0.5 * ((angle - t) / 4.5e-4) ** 2)
        for t, a in zip(TWO_THETA, np.geomspace(900, 40, len(TWO_THETA)), strict=True)
    )
    eta = np.radians(np.arange(-179.5, 180.0, 1.0))
    cake = rng.poisson(np.broadcast_to(profile, (360, 1400))).astype(float)
    cake[np.abs(np.degrees(eta)) % 60 < 2] = np.nan
    fields: dict[str, object] = {
        "title": "ceria_50x30_740mm_000005_Pilatus2M.hdf5",
        "image": image,
        "model": model,
        "ring_number": np.arange(1, len(HKL) + 1),
        "ring_two_theta": TWO_THETA,
        "ring_hkl": HKL,
        "points": points,
        "parameters": pd.DataFrame(table, columns=["name", "value", "sigma", "unit", "status"]),
        "correlations": (covariance / np.outer(scale_, scale_), names),
        "iterations": _iterations(strain),
        "summary": {
            "n": len(strain),
            "mean_all": float(np.abs(strain).mean()) if len(strain) else np.nan,
            "median": float(np.median(np.abs(strain))) if len(strain) else np.nan,
            "clip_mean": float(0.9 * np.abs(strain).mean()) if len(strain) else np.nan,
            "clip_rule": "|strain| at most 3 times the mean, repeated 3 times",
            "cross_validated": float(0.92 * np.abs(strain).mean()) if len(strain) else np.nan,
            "converged": True,
            "calibrant": "CeO2, a = 5.41153 Å",
            "wavelength": Quantity(WAVELENGTH, None, "Å"),
        },
        "cake": (angle, eta, cake),
        "radial": (angle, profile),
        "timing": {"read": 0.031, "background": 0.12, "start": 0.2, "peaks": 0.31, "refine": 0.09},
        "warnings": ["p1 stands at its bound 0.002: widen it with --tol-p1 or fix it."],
        "provenance": {
            "version": "0.1.0",
            "backend": "cython",
            "threads": 2,
            "seed": 0,
            "command": "refimpl powder calibrate ceria.hdf5 --calibrant CeO2 -o out",
            "inputs": ["ceria.hdf5 (sha256 0123abcd)"],
            "date": "2026-11-21T10:00:00Z",
            "python": "3.11.7",
        },
    }
    return PowderView(**{**fields, **changes})  # type: ignore[arg-type]


class Page(HTMLParser):
    """Checks that tags nest and close, and collects what a page refers to."""

    VOID = frozenset(("meta", "img", "br", "hr", "link", "input"))

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.images: list[dict[str, str]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        assert tag not in ("script", "iframe", "object", "embed", "link"), tag
        assert not any(name.startswith("on") for name in given), given
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(given)
        self.links += [given[name] for name in ("href", "src", "srcset", "action") if name in given]
        if "id" in given:
            self.ids.append(given["id"])

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def read(path) -> Page:
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


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


def test_a_simulated_detector_with_panels_is_drawn(small):
    n_slow, n_fast = small.model.shape
    boxes = np.array([[0, 0, n_fast // 2, n_slow], [n_fast // 2 + 3, 0, n_fast, n_slow]])
    moves = np.zeros((2, 5))
    moves[1, :2] = 4.0
    model = small.model.replace(panel_boxes=boxes, panel_corrections=moves)
    view = dataclasses.replace(small, model=model)
    eta = np.radians([90.0, -90.0])
    fast, slow = rings.ring_curve(view, TWO_THETA[2], eta)
    plain, _ = rings.ring_curve(small, TWO_THETA[2], eta)
    # The right panel is moved by +4 px when read, so its ring lies 4 px before the plain one
    # along fast; along the ring's own direction it hardly matters. Second order: 4^2 / 2R px.
    assert fast[0] == pytest.approx(plain[0] - 4.0, abs=0.2)
    assert fast[1] == pytest.approx(plain[1], abs=1e-9)
    assert np.isfinite(slow).all()
    style.png(figures(view)["ring_overlay"])


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


def test_pooling_keeps_maxima_and_gaps():
    image = np.zeros((5, 7))
    image[3, 5] = 9.0
    image[0:2, 0:2] = np.nan
    image[2, 2] = np.nan
    pooled, factor = style.pool_maxima(image, 4)
    assert factor == 2
    assert pooled.shape == (3, 4)
    assert pooled[1, 2] == 9.0
    assert np.argwhere(np.isnan(pooled)).tolist() == [[0, 0]]
    same, one = style.pool_maxima(image, 7)
    assert one == 1
    np.testing.assert_array_equal(same, image)


def test_stretch_is_monotonic_and_bounded():
    image = np.array([[1.0, 2.0, 3.0], [4.0, 1e6, np.nan]])
    shown = style.stretch(image, 0.0, 100.0)
    finite = shown[np.isfinite(image)]
    assert finite.min() == 0.0
    assert finite.max() == 1.0
    assert (np.diff(finite) > 0).all()
    assert np.isnan(shown[1, 2])
    assert np.isnan(style.stretch(np.full((2, 2), np.nan))).all()
    assert (style.stretch(np.ones((2, 2))) == 0.0).all()


def test_ring_labels_keep_their_distance(small):
    spots = rings.label_positions(small, least_px=20.0)
    assert len(spots) >= 4
    centre = small.model.beam_centre_px
    radii = np.array([np.hypot(f - centre[0], s - centre[1]) for _, f, s in spots])
    assert (np.diff(radii) >= 20.0).all()
    assert rings.spread(np.array([np.nan, 0.0, 1.0, 3.0]), 2.0) == [1, 3]


def test_strain_errors_and_pixels_follow_the_definition(small):
    points = small.used.head(50)
    step = 1e-9  # rad; the strain is linear over it to 1e-7 of the derivative
    ring = TWO_THETA[points["ring"].to_numpy() - 1]
    angle = points["two_theta_rad"].to_numpy()
    slope = (np.tan(angle + step) - np.tan(angle - step)) / (2.0 * step) / np.tan(ring)
    expected = slope * points["sigma_two_theta_rad"].to_numpy()
    # sigma_strain takes the ring's angle for the point's: they differ by the strain, 1e-4.
    np.testing.assert_allclose(small.sigma_strain(points), expected, rtol=1e-3)
    pixel = small.model.pixel_size_mm[0]
    away = small.model.lsd_mm * (np.tan(angle) - np.tan(ring)) / pixel
    np.testing.assert_allclose(small.residual_px(points), away, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "title", "level"),
    [
        ({"converged": False}, "Convergence", "bad"),
        ({"converged": True}, "Convergence", "good"),
        ({"cross_validated": 2e-4, "clip_mean": 1e-4}, "Cross-validation", "look"),
        ({"cross_validated": 1.05e-4, "clip_mean": 1e-4}, "Cross-validation", "good"),
        ({"cross_validated": None}, "Cross-validation", "look"),
    ],
)
def test_checks_of_the_fit(small, changes, title, level):
    view = dataclasses.replace(small, summary={**small.summary, **changes})
    assert [c.level for c in verdict.checks(view) if c.title == title] == [level]


def test_a_faultless_calibration_is_called_so(small):
    points = small.points.copy()
    rng = np.random.default_rng(1)
    sigma = small.sigma_strain(points)
    points["strain"] = rng.normal(0.0, sigma)
    points["used"] = True
    parameters = small.parameters[small.parameters["status"].isin(["refined", "fixed"])]
    view = dataclasses.replace(
        small, points=points, parameters=parameters, correlations=None, warnings=()
    )
    assert verdict.headline(view) == ("good", "Calibrated")
    one_remark = dataclasses.replace(view, warnings=["look at me"])
    assert verdict.headline(one_remark) == ("look", "Calibrated, with 1 remark")


def test_partial_rings_and_single_rings_off_are_noticed(small):
    near = small.points[small.points["eta_rad"].abs() < 0.5]
    found = {c.title: c for c in verdict.checks(dataclasses.replace(small, points=near))}
    assert found["Coverage"].level == "bad"
    assert "lean on one side" in found["Coverage"].text
    moved = small.points.copy()
    moved.loc[moved["ring"] == 3, "strain"] += 900e-6
    found = {c.title: c for c in verdict.checks(dataclasses.replace(small, points=moved))}
    assert found["Rings that stand off"].text.startswith("ring 3 by ")
    assert found["Systematic residuals"].level == "look"


def test_strong_correlations_are_listed_strongest_first(small):
    matrix = np.eye(3)
    matrix[0, 1] = matrix[1, 0] = 0.96
    matrix[0, 2] = matrix[2, 0] = -0.99
    view = dataclasses.replace(small, correlations=(matrix, ["lsd_mm", "p0", "p1"]))
    assert verdict.strong_pairs(view) == [
        ("p1", "distance Lsd", -0.99),
        ("p0", "distance Lsd", 0.96),
    ]


def test_a_view_refuses_what_does_not_fit(small):
    with pytest.raises(ConfigError, match=r"PowderView\.points lacks the columns ring, strain"):
        dataclasses.replace(small, points=small.points.drop(columns=["ring", "strain"]))
    with pytest.raises(ConfigError, match=r"PowderView\.parameters lacks the columns unit"):
        dataclasses.replace(small, parameters=small.parameters.drop(columns="unit"))
    with pytest.raises(ConfigError, match=r"image has shape \(3, 4\): expected the model's"):
        dataclasses.replace(small, image=np.zeros((3, 4)))
    with pytest.raises(
        ConfigError, match=r"ring_two_theta \(2,\).*expected \(h,\), \(h,\), \(h, 3\)"
    ):
        dataclasses.replace(small, ring_two_theta=np.zeros(2))


def test_an_unwritable_folder_is_one_clear_line(small, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        write_report(small, tmp_path / "file" / "report")
