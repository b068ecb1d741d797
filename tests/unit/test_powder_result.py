"""What a calibration returns: figures that belong together, tables, words, and warnings."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

import refimpl
from refimpl.detector.tilted_flat import GEOMETRY_FIELDS
from refimpl.powder.calibrate import calibrate
from refimpl.powder.outputs import result_dict
from refimpl.powder.refine import point_strain
from refimpl.powder.result import Parameter

NAMES = ("lsd_mm", "beam_fast_px", "beam_slow_px", "ty_rad", "tz_rad")


def test_the_truth_is_found_within_the_errors(small_result, small_model) -> None:
    r = small_result
    assert r.converged
    assert r.covariance_names == NAMES
    index = [GEOMETRY_FIELDS.index(n) for n in NAMES]
    error = (r.model.geometry - small_model.geometry)[index]
    pull = error / np.sqrt(np.diag(r.covariance))
    assert np.max(np.abs(pull)) < 4.0  # five normal deviates: 1 in 3000
    assert np.hypot(*error[1:3]) < 0.02
    np.testing.assert_array_equal(r.model.panel_boxes, small_model.panel_boxes)


def test_parameters_by_their_published_names(small_result) -> None:
    r = small_result
    assert r["Lsd"].value == r.model.lsd_mm
    assert r["Lsd"].sigma == np.sqrt(r.covariance[0, 0])
    assert r["Lsd"].status == "refined"
    assert r["ty"].unit == "deg"
    assert r["ty"].value == pytest.approx(np.degrees(r.model.tilts_rad[1]), rel=1e-12)
    assert r["ty"].sigma == pytest.approx(np.degrees(np.sqrt(r.covariance[3, 3])), rel=1e-12)
    assert (r["tx"].status, r["tx"].sigma, r["p0"].status) == ("fixed", 0.0, "fixed")
    assert [p.name for p in r.parameters] == [
        "Lsd", "BC_fast", "BC_slow", "tx", "ty", "tz", *(f"p{i}" for i in range(15)), "parallax",
    ]  # fmt: skip
    assert {p.name for p in r.parameters if p.unit == "deg"} == {
        "tx", "ty", "tz", "p3", "p6", "p8", "p10", "p12", "p14",
    }  # fmt: skip
    with pytest.raises(KeyError, match="'lsd': known are Lsd, BC_fast, BC_slow"):
        r["lsd"]


def test_the_strain_is_that_of_the_points_at_the_model(small_result) -> None:
    r = small_result
    single = r.model.replace(panel_boxes=None)
    strain = point_strain(r.points, r.rings, single.geometry, single.corrections)
    np.testing.assert_allclose(strain, r.strain, rtol=0, atol=1e-14)
    # all points that came in, also those that the outlier rule took out again
    assert r.summary.n >= np.count_nonzero(r.points.used)
    assert r.summary.n <= len(r.points)
    used = r.points.used
    radius = r.model.lsd_mm * np.tan(r.points.two_theta_rad[used]) / 0.2
    assert r.rms_px == pytest.approx(np.sqrt(np.mean((r.strain[used] * radius) ** 2)), rel=1e-12)


def test_cross_validation_is_stated_and_no_better_than_the_fit(small_result) -> None:
    r = small_result
    assert r.cross_validated.n == r.summary.n
    assert r.cross_validated.mean_all > 0.99 * r.summary.mean_all
    assert r.cross_validated.mean_all < 1.1 * r.summary.mean_all


def test_passes_are_kept(small_result) -> None:
    r = small_result
    assert [i.number for i in r.iterations] == list(range(1, len(r.iterations) + 1))
    last = r.iterations[-1]
    assert tuple(last.parameters) == NAMES
    assert last.summary == r.summary  # a calm run keeps its last pass
    for k in np.unique(r.points.ring[r.points.used]):
        mine = r.points.used & (r.points.ring == k)
        assert last.ring_mean[k] == pytest.approx(np.mean(r.strain[mine]), abs=1e-12)
        assert last.ring_strain[k] == pytest.approx(np.mean(np.abs(r.strain[mine])), abs=1e-12)


def test_tables(small_result) -> None:
    r = small_result
    points, rings, parameters = r.point_table(), r.ring_table(), r.parameter_table()
    assert len(points) == len(r.points)
    assert len(rings) == len(r.rings)
    assert list(parameters["name"]) == [p.name for p in r.parameters]
    assert rings["points"].sum() == np.count_nonzero(r.points.used)
    first = rings.iloc[0]
    assert first["hkl"] == "1 1 1"
    # lambda = 2 d sin(theta), d = a / sqrt 3 with the certified a
    a = r.rings.d_angstrom[0] * np.sqrt(3.0)
    assert a == pytest.approx(5.411, abs=2e-3)
    assert first["two_theta_deg"] == pytest.approx(
        np.degrees(2 * np.arcsin(0.25 * np.sqrt(3.0) / (2 * a))), rel=1e-9
    )
    mine = points[(points["ring"] == first["ring"]) & points["used"]]
    assert first["mean_strain"] == pytest.approx(mine["strain"].mean())


def test_words_state_every_figure(small_result) -> None:
    r = small_result
    text = "\n".join(r.summary_lines())
    assert text.startswith(f"converged after {len(r.iterations)} passes: parameters stand still")
    for part in ("Lsd", "BC_fast", "strain, all points:", "strain, cross-validated:", "rms 0."):
        assert part in text
    assert f"over {np.count_nonzero(r.points.used)} points" in text
    assert "note: One frame at one distance cannot separate wavelength and distance" in text
    assert "note: Rings do not tell a picture from its mirror image" in text
    short = repr(r)
    assert short.startswith("<PowderResult Lsd ")
    assert short.endswith(", converged>")
    page = r._repr_html_()
    assert page.count("<tr>") == 6  # the heading and five refined parameters
    assert "<script" not in page
    failed = replace(r, converged=False, reason="<no> luck")
    assert failed.summary_lines()[0].startswith("NOT CONVERGED after")
    assert repr(failed).endswith(", not converged>")


def test_a_result_is_frozen(small_result) -> None:
    with pytest.raises(FrozenInstanceError):
        small_result.converged = False
    with pytest.raises(FrozenInstanceError):
        small_result["Lsd"].value = 1.0
    assert isinstance(small_result["Lsd"], Parameter)


def test_it_knows_where_it_came_from(small_result) -> None:
    p = small_result.provenance()
    assert p["version"] == refimpl.__version__
    assert p["inputs"] == "array"
    assert p["backend"] in ("python", "cython")
    assert p["threads"] >= 1
    assert set(small_result.timing) == set(small_result.cpu_timing)
    assert {"reading", "automatic start", "peaks", "geometry"} <= set(small_result.timing)
    assert all(v >= 0.0 for v in small_result.timing.values())


def test_the_dictionary_is_strict_json(small_result, tmp_path) -> None:
    from refimpl.io.atomic import json_text

    content = json.loads(json_text(result_dict(small_result)))
    assert content["kind"] == "refimpl.powder.result"
    assert content["converged"] is True
    fit = content["fit"]
    assert fit["names"] == list(NAMES)
    assert np.shape(fit["correlation"]) == (5, 5)
    np.testing.assert_allclose(np.diag(fit["correlation"]), 1.0)
    assert content["strain"]["n"] == small_result.summary.n
    assert content["strain"]["clip_rule"] == small_result.summary.rule
    assert len(content["iterations"]) == len(small_result.iterations)
    assert len(content["rings"]) == len(small_result.rings)


def test_distortion_comes_with_uncertainties_and_what_is_weak_is_named(
    small_frame, small_result
) -> None:
    """p2 with p4 and p5 on six rings: refined, and nothing beyond its errors."""
    r = calibrate(
        small_frame.image, mask=small_frame.mask, wavelength_angstrom=0.25, pixel_size_mm=0.2,
        refine=("distance", "beam_centre", "tilt", "p0", "p6", "p2"),
        lsd_mm=300.0, beam_centre_px=(188.0, 170.0), eta_bin_deg=4.0,
    )  # fmt: skip
    for name in ("p0", "p6", "p2"):
        assert r[name].status == "refined"
        assert r[name].sigma > 0.0
    # there is no distortion: within four of its errors (p0 is an amplitude, never negative)
    assert abs(r["p2"].value) < 4.0 * r["p2"].sigma
    assert abs(r["p0"].value) < 5.0 * r["p0"].sigma
    assert r["p1"].status == "fixed"
    assert r["Lsd"].sigma > 2.0 * small_result["Lsd"].sigma  # p2 goes with the distance


def test_warnings_name_what_is_on_a_bound_and_left_out(small_frame) -> None:
    r = calibrate(
        small_frame.image, mask=small_frame.mask, wavelength_angstrom=0.25, pixel_size_mm=0.2,
        lsd_mm=300.0, beam_centre_px=(188.0, 170.0), eta_bin_deg=4.0, exclude_rings=(2,),
        tolerances={"tilt": 1e-7},
    )  # fmt: skip
    assert r.excluded_rings == (2,)
    assert "Left out: ring 2." in r.warnings
    assert not np.any(r.points.used & (r.rings.number[r.points.ring] == 2))
    assert bool(r.ring_table().set_index("ring")["excluded"][2])
    bound = [p.name for p in r.parameters if p.status == "at bound"]
    assert set(bound) <= {"ty", "tz"}
    assert bound  # a start is some 1e-4 rad off
    fields = ", ".join(f"{name}_rad" for name in bound)
    assert f"On the bound of its search range: {fields}." in r.warnings
