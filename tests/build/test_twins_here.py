"""The twins of this checkout: compiled from the sources as they are, readable alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import refimpl
from refimpl.dispatch import REGISTRY
from refimpl.testing.twins import import_rooms

EXT = Path(refimpl.__file__).parent / "_ext"
SOURCES = sorted(EXT.glob("*.pyx"))
import_rooms()


def compiled(source: Path) -> list[Path]:
    return [p for p in EXT.glob(f"{source.stem}.*") if p.suffix in (".so", ".pyd")]


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_no_stale_twin(source: Path) -> None:
    """A compiled module older than its source would be tested in its place."""
    if "cython" not in os.environ.get("REFIMPL_EXPECT", "").split(",") and not compiled(source):
        pytest.skip("not compiled here, and not expected to be")
    assert compiled(source), f"{source.name} is not compiled"
    newest = max(p.stat().st_mtime for p in compiled(source))
    needed = [
        source,
        *(p for p in EXT.glob("*.pxd") if re.search(rf"\b{p.stem}\b", source.read_text())),
    ]
    for file in needed:
        assert newest >= file.stat().st_mtime, f"{file.name} changed after {source.stem} was built"


def test_no_orphan_twin() -> None:
    """A compiled module whose source is gone would still be imported."""
    stems = {p.name.split(".")[0] for p in EXT.iterdir() if p.suffix in (".so", ".pyd")}
    assert stems <= {p.stem for p in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_a_twin_reads_alone(source: Path) -> None:
    """Floor 2 of the architecture: NumPy, libc and its own kind, nothing else of refimpl."""
    pattern = r"^\s*(?:from\s+(\S+)\s+c?import|c?import\s+(\S+))"
    for a, b in re.findall(pattern, source.read_text(), re.MULTILINE):
        name = a or b
        assert re.match(r"(numpy|cython(\.|$)|libc\.|refimpl\._ext\.)", name), name
        assert "cimport numpy" not in source.read_text(), "the build needs no NumPy headers"


def test_every_twin_belongs_to_a_definition() -> None:
    modules = {pair.module for pair in REGISTRY.values() if "fake" not in pair.module}
    assert {p.stem for p in SOURCES} - modules <= {"build_info"}
    for pair in REGISTRY.values():
        if "fake" in pair.module:
            continue
        text = (EXT / f"{pair.module}.pyx").read_text()
        assert re.search(rf"^def {pair.name}\(", text, re.MULTILINE), f"{pair.key} has no twin"
        assert pair.definition.__module__.split(".")[-1] == pair.module


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_no_unsafe_threads(source: Path) -> None:
    """OpenMP by prange with num_threads only; names of OpenMP through openmp.pxd."""
    text = source.read_text()
    assert "omp_set_num_threads" not in text
    assert "cimport openmp" not in text
    for call in re.findall(r"\b(?:prange|parallel)\((?:[^()]|\([^()]*\))*\)", text):
        inside = call.startswith("prange") and "parallel(num_threads=" in text
        assert "num_threads=" in call or inside, call
