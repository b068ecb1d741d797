"""A made-up view of a powder calibration, and a reader of pages that checks them."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd

from refimpl.detector.model import TiltedFlat
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
