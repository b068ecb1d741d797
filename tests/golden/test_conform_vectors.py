"""Stored vectors of the conformance kit: their twins, the backends, and other codes here."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.dispatch import available_backends
from refimpl.testing import conform_files as files
from refimpl.testing.conform import conform, load
from refimpl.testing.conform_judge import judge_quantity
from refimpl.testing.conform_records import VERSION, quantities
from refimpl.testing.conform_subjects import Ours, PythonObject, read_known_failures

KIT = Path(__file__).parents[2] / "validation" / "conformance"
STORED = KIT / f"v{VERSION}"
NAMES = list(quantities())


@pytest.mark.parametrize("name", NAMES)
def test_backends_meet_stored_vectors(name: str) -> None:
    for backend in available_backends():
        report = conform(Ours(backend), only=[name], folder=STORED)
        assert report.is_met, report.quantities[0].failing[0].words


@pytest.mark.parametrize("name", NAMES)
def test_stored_vectors_are_those_of_the_definitions(name: str) -> None:
    """Same cases and inputs; outputs within the tolerances; HDF5 and JSON hold the same."""
    record = quantities()[name]
    stored = load(record, STORED)
    made = {c.id: c for c in load(record)}
    twin = {c.id: c for c in files.read_cases(STORED / f"{name}.h5", record)}
    assert [c.id for c in stored] == list(made)
    assert set(twin) == set(made)
    for case in stored:
        for key, value in (case.inputs | case.outputs).items():
            other = (twin[case.id].inputs | twin[case.id].outputs)[key]
            np.testing.assert_array_equal(other, value)
        for key, value in case.inputs.items():
            fresh = made[case.id].inputs[key]
            if isinstance(value, str):
                assert value == fresh
            else:  # libm may differ in the last bits from machine to machine
                np.testing.assert_allclose(value, fresh, rtol=1e-12, atol=1e-12)
    verdict = judge_quantity(record, stored, {c.name: c.outputs for c in made.values()})
    assert verdict.is_met


@pytest.mark.parametrize("name", NAMES)
def test_records_are_whole(name: str) -> None:
    """Units, shapes, tolerances with reasons, all kinds of cases, a definition that exists."""
    record = quantities()[name]
    kinds = {c.name.split("-")[0] for c in load(record, STORED)}
    assert kinds == {"ordinary", "edge", "random"}
    module, _, attribute = record.definition.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)
    for output in record.outputs:
        assert output.compare in ("exact", "labels") or (output.why and (output.atol or output.ulp))
    for case in load(record, STORED):
        sizes: dict[str, int] = {}
        for array in (*record.inputs, *record.outputs):
            value = (case.inputs | case.outputs)[array.name]
            letters = [w for w in array.shape.split(",") if w]
            if array.dtype == "str":
                assert isinstance(value, str)
                continue
            assert len(letters) == np.ndim(value), array.name
            for letter, size in zip(letters, np.shape(value), strict=True):
                wanted = int(letter) if letter.isdecimal() else sizes.setdefault(letter, size)
                assert size == wanted, (case.id, array.name)
    for array in (*record.inputs, *record.outputs):
        ending = re.search(r"_(rad|mm|px|um|angstrom)$", array.name)
        if ending and "," not in array.unit:
            assert array.unit == ending[1]


def test_pixel_to_lab_is_that_of_the_detector() -> None:
    """The record writes the formula out; the detector's vectors say the same."""
    record = quantities()["pixel_to_lab"]
    for case in load(record, STORED):
        g = {k: v if np.ndim(v) else float(v) for k, v in case.inputs.items()}
        model = TiltedFlat(
            (1700, 1500), (g["pixel_fast_mm"], g["pixel_slow_mm"]), g["lsd_mm"],
            (g["beam_fast_px"], g["beam_slow_px"]), (g["tx_rad"], g["ty_rad"], g["tz_rad"]),
            image_transform=(),
        )  # fmt: skip
        lab = model.detector().panels[0].lab_mm(g["fast_px"], g["slow_px"])
        for axis, name in enumerate(("x_mm", "y_mm", "z_mm")):
            # 1e-10 mm: sums of lengths of a metre
            np.testing.assert_allclose(lab[:, axis], case.outputs[name], rtol=0.0, atol=1e-10)


@pytest.mark.parametrize("module", ["gemmi_code", "scipy_code"])
def test_other_codes_that_are_always_here(module: str) -> None:
    path = KIT / "adapters" / f"{module}.py"
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    listed = KIT / "known" / f"{module}.txt"
    known = read_known_failures(listed) if listed.is_file() else []
    report = conform(PythonObject(code), known=known, folder=STORED)
    assert report.is_met, [c.words for q in report.quantities for c in q.failing]
    assert sum(q.is_offered for q in report.quantities) >= 2
