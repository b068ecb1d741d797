"""Real data by name: found, checked, and never fetched unasked."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from refimpl import data
from refimpl.errors import ConfigError, FormatError

GOLDEN = "powder-golden/single-eta1/ps.txt"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty REFIMPL_DATA, and an empty cache."""
    monkeypatch.setenv("REFIMPL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_registry_is_complete() -> None:
    assert len(data.names()) == len(set(data.names())) == 15
    for name, group in data.SETS.items():
        assert group.title
        assert group.licence in ("BSD-3-Clause", "MIT", "CC-BY-4.0")
        assert group.is_open or group.image in group.files
        for file, entry in group.files.items():
            assert len(entry.sha256) == 64
            address = data.url(f"{name}/{file}")
            if entry.source is None:
                assert address is None
            else:
                assert address == (
                    f"https://github.com/{group.repository}/raw/{group.commit}/{entry.source}"
                )


def test_local_folder_comes_first(folder: Path) -> None:
    name = "ge-ceria-hexrd/geometry.json"
    assert not data.is_here(name)
    cached = folder.parent / "cache" / "refimpl" / name
    cached.parent.mkdir(parents=True)
    cached.write_text("cached")
    assert data.path(name) == cached
    (folder / name).parent.mkdir()
    (folder / name).write_text("local")
    assert data.path(name) == folder / name
    assert data.is_here(name)


def test_name_of_a_set_is_its_image(folder: Path) -> None:
    image = folder / "ge-ceria-hexrd" / "ge_wppf.h5"
    image.parent.mkdir()
    image.write_bytes(b"")
    assert data.path("ge-ceria-hexrd") == image


def test_absent_data_say_what_to_do(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not here: set REFIMPL_DATA .*HEXRD/examples \(BSD"):
        data.path("ge-ceria-hexrd")
    with pytest.raises(ConfigError, match="is not here and has no public home: set REFIMPL_DATA"):
        data.path(GOLDEN, allow_download=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ge-ceria", "unknown data set 'ge-ceria'; known: pilatus2m-ceria-hexrd, ge-ceria-hexrd"),
        ("ge-ceria-hexrd/no.h5", r"unknown file 'no\.h5' of ge-ceria-hexrd; known: ge_wppf\.h5"),
        ("powder-golden", "unknown file '' of powder-golden; known: name a file of the folder"),
        ("powder-golden/../x", r"unknown file '\.\./x' of powder-golden"),
    ],
)
def test_unknown_names(folder: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        data.path(name)


def test_changed_file_is_found_on_request(folder: Path) -> None:
    name = "ge-ceria-hexrd/geometry.json"
    (folder / name).parent.mkdir()
    (folder / name).write_text("changed")
    assert data.path(name) == folder / name
    with pytest.raises(FormatError, match=r"checksum .* differs from the expected 644c647a178c"):
        data.path(name, verify=True)


def test_open_set_is_checked_by_its_own_sums(folder: Path) -> None:
    (folder / GOLDEN).parent.mkdir(parents=True)
    (folder / GOLDEN).write_bytes(b"Lsd 1\n")
    with pytest.raises(FormatError, match=r"no checksum of single-eta1/ps\.txt in .*SHA256SUMS"):
        data.path(GOLDEN, verify=True)
    digest = hashlib.sha256(b"Lsd 1\n").hexdigest()
    (folder / "powder-golden" / "SHA256SUMS").write_text(f"{digest}  ./single-eta1/ps.txt\n")
    assert data.path(GOLDEN, verify=True) == folder / GOLDEN


def test_download_only_when_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def retrieve(url: str, known_hash: str, fname: str, path: Path) -> str:
        asked.append((url, known_hash))
        path.mkdir(parents=True)
        (path / fname).write_bytes(b"image")
        return str(path / fname)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    found = data.path("ge-ceria-hexrd", allow_download=True)
    assert found.read_bytes() == b"image"
    known = data.SETS["ge-ceria-hexrd"].files["ge_wppf.h5"].sha256
    assert asked == [(data.url("ge-ceria-hexrd"), f"sha256:{known}")]
    assert data.path("ge-ceria-hexrd") == found


@pytest.mark.parametrize("error", [OSError("no route\nto host"), ValueError("hash mismatch")])
def test_download_that_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def retrieve(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr("pooch.retrieve", retrieve)
    with pytest.raises(
        ConfigError, match=r"could not be downloaded: (no route|hash).*; set REFIMPL_DATA"
    ) as caught:
        data.path("ge-ceria-hexrd", allow_download=True)
    assert "\n" not in str(caught.value)


def test_real_files_have_the_registered_sums(real_data: Callable[[str], Path]) -> None:
    for name in data.names():
        if "LICENSE" not in name:
            expected = real_data(name)  # skips where the data are not here
            assert data.path(name, verify=True) == expected
    expected = real_data(GOLDEN)
    assert data.path(GOLDEN, verify=True) == expected


def test_io_imports_lightly() -> None:
    heavy = ["h5py", "zarr", "fabio", "tifffile", "pooch", "hdf5plugin", "pandas", "scipy"]
    code = (
        "import sys, refimpl.data, refimpl.io.images, refimpl.io.midas_zip, refimpl.io.atomic;"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_lists_the_sets(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "howto" / "data.md"
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(block, {})
    *listed, here = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in listed] == list(data.SETS)
    assert here in ("True", "False")
