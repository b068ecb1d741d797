"""Verdicts of the conformance kit, and its three file formats."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.testing import conform_files as files
from refimpl.testing.conform_judge import judge_case, judge_quantity
from refimpl.testing.conform_records import (
    QUANTITIES,
    VERSION,
    Array,
    Case,
    Inputs,
    Output,
    Quantity,
    make_cases,
    quantities,
    quantity,
    rng_of,
)
from refimpl.testing.conform_subjects import PythonObject, read_known_failures


def _cases() -> Iterator[tuple[str, Inputs]]:
    yield "ordinary-0", {"word": "a", "x": np.array([[1.0, 2.0], [math.nan, 4.0]])}
    yield "edge-empty", {"word": "b/c", "x": np.zeros((0, 2))}


def _answer(word: str, x: Any) -> Inputs:
    turn = np.array([math.pi, 1.0, -1.0])
    return {"total": x.sum(), "angle_rad": turn, "label": [4, 4, -1, 2], "n": len(x)}


TOY = Quantity(
    "toy", "a toy", "none",
    (Array("word", "1", "", "a word", "str"), Array("x", "mm", "n,2", "numbers")),
    (Output("total", "mm", "", "sum", atol=0.5, ulp=2, why="none"),
     Output("angle_rad", "rad", "3", "angles", atol=1e-9, why="none", compare="angle"),
     Output("label", "1", "4", "groups", "i8", compare="labels"),
     Output("n", "1", "", "rows", "i8", compare="exact")),
    _answer, _cases,
)  # fmt: skip
CASE = Case("toy/ordinary-0", {}, TOY.expected({"word": "", "x": np.array([[3.0, 4.0]])}))
GOOD = {"total": 7.0, "angle_rad": [-math.pi, 1.0, -1.0], "label": [7, 7, -3, 0], "n": 1}


def test_what_is_right_is_met() -> None:
    verdict = judge_case(TOY, CASE, GOOD)
    assert verdict.is_met
    assert verdict.words == ""
    assert [o.multiple for o in verdict.outputs] == [0.0, pytest.approx(0.0, abs=1e-6), 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"total": 7.6}, r"total = 7.5\d* mm, expected 7 \(1 of 1 values off\)"),
        ({"total": math.nan}, "total = nan mm, expected 7"),
        ({"total": "seven"}, "total holds no numbers"),
        ({"total": None}, "total is missing"),
        ({"total": [7.0, 7.0]}, r"total has shape \(2,\), expected \(\)"),
        ({"angle_rad": [0.0, 1.0, -1.0]}, r"angle_rad\[0\] = 0 rad, expected 3.14"),
        ({"label": [7, 6, -3, 0]}, "label"),
        ({"label": [7, 7, 7, 0]}, "label"),
        ({"n": 2}, "n = 2 1, expected 1"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], words: str) -> None:
    import re

    verdict = judge_case(TOY, CASE, GOOD | change)
    assert not verdict.is_met
    assert re.search(words, verdict.words)


def test_errors_are_in_units_ulps_and_multiples() -> None:
    total = judge_case(TOY, CASE, GOOD | {"total": 7.25}).outputs[0]
    assert (total.error, total.multiple, total.unit) == (0.25, 0.5, "mm")
    assert total.ulp == pytest.approx(0.25 / np.spacing(7.25))
    assert judge_case(TOY, CASE, GOOD | {"total": 7.5}).is_met  # on the tolerance
    assert not judge_case(TOY, CASE, GOOD | {"total": 7.5000001}).is_met


def test_nothing_but_nan_is_nan() -> None:
    expected = {**CASE.outputs, "total": np.array(math.nan)}
    case = Case("toy/edge-nan", {}, expected)
    assert judge_case(TOY, case, GOOD | {"total": math.nan}).is_met
    assert not judge_case(TOY, case, GOOD | {"total": 0.0}).is_met
    assert judge_case(TOY, case, GOOD).outputs[0].multiple == math.inf


def test_known_failures_do_not_count_and_are_told_when_they_pass() -> None:
    cases = [CASE, Case("toy/edge-1", {}, CASE.outputs), Case("toy/edge-2", {}, CASE.outputs)]
    got = {"ordinary-0": GOOD, "edge-1": GOOD, "edge-2": GOOD | {"n": 5}}
    known = judge_quantity(TOY, cases, got, ["toy/edge-*"])
    assert known.is_met
    assert [c.id for c in known.known] == ["toy/edge-2"]
    assert [c.id for c in known.mended] == ["toy/edge-1"]
    assert [c.id for c in judge_quantity(TOY, cases, got).failing] == ["toy/edge-2"]
    missing = judge_quantity(TOY, cases, {"ordinary-0": GOOD})
    assert missing.failing[0].words == "the code gives no outputs of this case"


def test_known_failures_are_read_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    path.write_text("# of a code\ntoy  # all of it\n\nother/edge-*\n")
    assert read_known_failures(path) == ["toy/*", "other/edge-*"]
    with pytest.raises(FormatError, match="cannot read"):
        read_known_failures(tmp_path / "none.txt")


# --- Python objects -------------------------------------------------------------------------------


def test_an_object_may_return_names_a_tuple_or_nothing() -> None:
    cases = make_cases(TOY)
    as_tuple = PythonObject({"toy": lambda word, x: (x.sum(), [0, 0, 0], [0, 0, 0, 0], len(x))})
    assert set(as_tuple.run(TOY, cases)["ordinary-0"]) == {"total", "angle_rad", "label", "n"}
    short = PythonObject({"toy": lambda word, x: x.sum()})
    assert "returned 1 outputs, expected 4" in short.run(TOY, cases)["ordinary-0"]
    assert PythonObject({"toy": lambda word, x: None}).run(TOY, cases) is None
    assert PythonObject(object()).run(TOY, cases) is None


def test_an_object_may_raise_and_may_write_into_its_inputs() -> None:
    def breaks(word: str, x: Any) -> Any:
        if word == "a":
            raise ZeroDivisionError("no")
        raise NotImplementedError

    cases = make_cases(TOY)
    assert PythonObject({"toy": breaks}).run(TOY, cases) == {
        "ordinary-0": "raised ZeroDivisionError: no"
    }

    def writes(word: str, x: Any) -> Any:
        x[:] = 0.0
        return _answer(word, x)

    PythonObject({"toy": writes}).run(TOY, cases)
    assert cases[0].inputs["x"][0, 0] == 1.0


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["json", "h5"])
def test_vectors_come_back_from_files(tmp_path: Path, suffix: str) -> None:
    path = files.write_cases(tmp_path / f"toy.{suffix}", TOY, make_cases(TOY), bare=False)
    cases = make_cases(TOY)
    back = {c.id: c for c in files.read_cases(path, TOY)}
    assert set(back) == {c.id for c in cases}
    for case in cases:
        for name, value in (case.inputs | case.outputs).items():
            found = (back[case.id].inputs | back[case.id].outputs)[name]
            np.testing.assert_array_equal(found, value)
            assert np.shape(found) == np.shape(value)


@pytest.mark.parametrize("suffix", files.FORMATS)
def test_a_code_sees_no_expected_outputs_and_its_own_come_back(tmp_path: Path, suffix: str) -> None:
    given = files.write_cases(tmp_path / f"toy.{suffix}", TOY, make_cases(TOY), bare=True)
    assert b"total" not in given.read_bytes().split(b'"cases"')[-1] or suffix == "h5"
    answer = {c.name: c.outputs for c in make_cases(TOY)}
    back = files.read_outputs(files.write_outputs(tmp_path / f"out.{suffix}", TOY, answer))
    for name, values in answer.items():
        for key, value in values.items():
            np.testing.assert_array_equal(back[name][key], value)


@pytest.mark.parametrize(
    ("suffix", "content", "words"),
    [
        ("json", "{", "not a file of the conformance kit"),
        ("json", "[]", "not a file of the conformance kit"),
        ("json", '{"cases": {"a": {"outputs": 3}}}', "not a file of the conformance kit"),
        ("txt", "x 1 2 0.5\n", "no case before it"),
        ("txt", "case a\nx 1 2 0.5\n", "2: not an array: x of rank 1: 2 values told, 1 there"),
        ("txt", "case a\nx 2 2 1 0.5\n", "x of rank 2: 2 x 1 values told, 1 there"),
        ("txt", "case a\nx 0.5\n", "2: not an array: expected NAME RANK LENGTHS VALUES"),
        ("txt", "case a\nx\n", "not an array: expected NAME RANK LENGTHS VALUES"),
        ("txt", "case a\nx -1 word\n", "not an array: could not convert"),
        ("h5", "no HDF5", "cannot read"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, suffix: str, content: str, words: str) -> None:
    path = tmp_path / f"bad.{suffix}"
    path.write_text(content)
    with pytest.raises(FormatError, match=words):
        files.read_outputs(path)


def test_vectors_of_another_quantity_or_version_are_refused(tmp_path: Path) -> None:
    path = files.write_cases(tmp_path / "toy.json", TOY, make_cases(TOY), bare=False)
    other = quantities()["pixel_to_lab"]
    with pytest.raises(FormatError, match="expected 'refimpl-conformance' of 'pixel_to_lab'"):
        files.read_cases(path, other)
    text = path.read_text()
    assert f'"version": {VERSION}' in text
    path.write_text(text.replace(f'"version": {VERSION}', '"version": 1'))
    with pytest.raises(FormatError, match=f"vectors of version 1: this refimpl has {VERSION}"):
        files.read_cases(path, TOY)


def test_a_random_case_is_made_from_its_id() -> None:
    assert rng_of("a", 3).random() == rng_of("a", 3).random()
    assert rng_of("a", 3).random() != rng_of("b", 3).random()
    record = quantities()["two_theta_eta"]
    (alone,) = make_cases(record, only="random-003")
    among = {c.id: c for c in make_cases(record)}[alone.id]
    np.testing.assert_array_equal(alone.outputs["eta_rad"], among.outputs["eta_rad"])
    with pytest.raises(ConfigError, match="has no case 'random-999'"):
        make_cases(record, only="random-999")


def test_a_quantity_is_entered_once() -> None:
    assert quantities() == QUANTITIES
    with pytest.raises(RuntimeError, match="two quantities are called pixel_to_lab"):
        quantity(quantities()["pixel_to_lab"])


def test_the_order_does_not_depend_on_who_was_imported_first() -> None:
    code = (
        "import refimpl.testing.conform_targets_vectors\n"
        "from refimpl.testing.conform_records import quantities\n"
        "print(*quantities())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(quantities())
