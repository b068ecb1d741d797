"""Faults seeded into the compiled twins: the kit catches every one, and blames what is wrong."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from refimpl.dispatch import available_backends

KIT = Path(__file__).parents[2] / "validation" / "conformance"


def _module() -> ModuleType:
    sys.path.insert(0, str(KIT))
    try:
        return importlib.import_module("twin_faults")
    finally:
        sys.path.remove(str(KIT))


seeded = _module()


def test_table_fits_the_sources() -> None:
    """Each text is there once, each quantity is known, and every twin of the kit has a fault."""
    faults = seeded.twin_faults()
    assert len(faults) >= 30
    for fault in faults.values():
        module, source = fault.at.split("/")
        assert (seeded.SOURCES / f"{module}.pyx").is_file()
        assert (seeded.SOURCES / source).read_text().count(fault.old) == 1, fault.id
        assert fault.what
        assert fault.wrong
        assert fault.old != fault.new
    assert {f.at.split("/")[0] for f in faults.values()} == {
        "least_squares", "misorientation", "nearfield_spots", "overlap_counts", "ring_peaks",
        "rotation", "spot_labels", "spot_threshold", "tilted_flat",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif("cython" not in available_backends(), reason="the twins are not compiled here")
@pytest.mark.parametrize("name", list(seeded.twin_faults()))
def test_every_fault_in_a_twin_is_caught_and_blamed(name: str) -> None:
    fault = seeded.twin_faults()[name]
    assert seeded.wrong_by(fault) == fault.wrong
