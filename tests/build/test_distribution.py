"""What a source distribution and a wheel contain."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

ROOT = Path(__file__).parents[2]
EXT = ROOT / "refimpl" / "_ext"
SOURCES = {p.name for pattern in ("*.pyx", "*.pxd", "*.h") for p in EXT.glob(pattern)}

Python = Callable[..., CompletedProcess[str]]


def test_the_checkout_has_twins_to_ship() -> None:
    assert {"build_info.pyx", "openmp.pxd", "tilted_flat.pyx"} <= SOURCES


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, copy_source: Callable[..., Path]) -> Path:
    folder = copy_source(tmp_path_factory.mktemp("dist"))
    # as after a build in place: generated C beside its source must not be shipped
    (folder / "refimpl" / "_ext" / "tilted_flat.c").write_text("int generated;\n")
    return folder


@pytest.fixture(scope="module")
def sdist(source: Path, python: Python) -> Path:
    done = python(
        "-m", "build", "--no-isolation", "--sdist", "-o", "sdist",
        cwd=source, REFIMPL_EXT="never",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = (source / "sdist").glob("*.tar.gz")
    return archive


def test_the_sdist_can_be_compiled(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    shipped = {Path(n).name for n in names if "/refimpl/_ext/" in n}
    assert shipped >= SOURCES
    assert {"LICENSE", "README.md", "setup.py", "pyproject.toml"} <= {Path(n).name for n in names}
    assert not [n for n in names if n.endswith((".so", ".pyd"))]


def test_the_wheel_ships_the_sources_of_the_twins_but_no_generated_c(
    source: Path, python: Python
) -> None:
    done = python(
        "-m", "build", "--no-isolation", "--wheel", "-o", "wheel",
        cwd=source, REFIMPL_EXT="never",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (source / "wheel").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {Path(n).name for n in names if n.startswith("refimpl/_ext/")} >= SOURCES
    assert not [n for n in names if n.endswith(".c")]
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"refimpl"}
    assert "refimpl/py.typed" in names
    assert [n for n in names if n.endswith("licenses/LICENSE")]


def test_always_refuses_a_tree_without_twins(
    tmp_path: Path, copy_source: Callable[..., Path], python: Python
) -> None:
    folder = copy_source(tmp_path, [])
    done = python("setup.py", "-q", "build", cwd=folder, REFIMPL_EXT="always")
    assert done.returncode != 0
    assert "REFIMPL_EXT=always, but refimpl/_ext holds no .pyx file" in done.stderr
    done = python("setup.py", "-q", "build", cwd=folder, REFIMPL_EXT="auto")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_sdist_builds_a_compiled_wheel(tmp_path: Path, sdist: Path, python: Python) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    done = python(
        "-m", "build", "--no-isolation", "--wheel", "-o", "wheel",
        cwd=folder, REFIMPL_EXT="always",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "wheel").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for pyx in EXT.glob("*.pyx"):
        assert [n for n in names if n.startswith(f"refimpl/_ext/{pyx.stem}.") and ".pyx" not in n]
    assert not [n for n in names if n.endswith(".c")]
