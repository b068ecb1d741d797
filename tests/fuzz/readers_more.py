"""Readers of folders of several files, of nets, and of what a code under test hands back.

A folder is a zip here, unpacked before it is read: changes take the zip apart.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from one_reader import Reader, get

__all__ = ["MORE", "unpack"]

# of what is no zip any more: an empty folder is read
_NO_ZIP = (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError)


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip within a folder, as far as it goes."""
    folder.mkdir()
    with suppress(*_NO_ZIP), zipfile.ZipFile(path) as file:
        for member in file.namelist():
            parts = [part for part in member.split("/") if part not in ("", ".", "..")]
            place = folder.joinpath(*(part.replace("\0", "_")[:80] for part in parts))
            if parts and not place.exists() and not any(p.is_file() for p in place.parents):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file.read(member))


def _folder(name: str, call: Callable[[Path], object], *traced: str) -> Reader:
    """Reader of a folder."""

    def read(path: Path) -> object:
        folder = path.parent / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        unpack(path, folder)
        try:
            return call(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return Reader(name, "folder.zip", read, "folder", traced=("refimpl", *traced))


def _session(folder: Path) -> object:
    """Twice: as it is, and from the values that the first time kept."""
    cache = folder.parent / "cache.csv"
    cache.unlink(missing_ok=True)
    read = get("epu.session:read_session")
    first = read(folder, cache=cache)
    second = read(folder, cache=cache)
    if not first.table.drop(columns="path").equals(second.table.drop(columns="path")):
        raise AssertionError("the values that were kept are not those of the files")
    return first


def _frames(folder: Path) -> object:
    from refimpl.io.nearfield_frames import open_stack

    with open_stack(sorted(folder.iterdir()), (20, 24), folder.parent) as stack:
        return [stack.frame(index) for index in range(stack.n_frames)]


def _ice9(folder: Path) -> object:
    return get("io.hexomap:read_ice9_stack")(sorted(folder.iterdir()), (64, 64), ice9=True)


def _corrections(folder: Path) -> object:
    return get("io.xds_tables:read_with_layout")(folder / "X.cbf", folder / "Y.cbf", (20, 24))


def _picks(folder: Path) -> object:
    return get("io.hexrd_picks:read_picks")(folder, ["one"], ["p0", "p1"])


def _nexus_poni(path: Path) -> object:
    from refimpl.interop.poni_file import Poni
    from refimpl.interop.pyfai_nexus import panel_of_corners, read_nexus_detector

    corners = read_nexus_detector(path)[1]
    return panel_of_corners(corners, Poni(0.2, 0.0, 0.0, shape=corners.shape[:2]))


def _hexrd(path: Path) -> object:
    from refimpl.interop.hexrd_file import read_hexrd

    return read_hexrd(path)


def _checkpoint(path: Path) -> object:
    from refimpl.centring.modules import load_regressor

    net = load_regressor(path)
    return net.target, net.crop


def _samples(path: Path) -> object:
    """Ours and those of others: pictures of 8 x 8."""
    return get("centring.datasets:open_samples")(str(path), size=8)


def _points(path: Path) -> object:
    return get("centring.fusion_files:read_points")(path, middle_px=(9.0, 9.0))


def _grid(path: Path) -> object:
    return get("centring.mesh_files:read_grid_counts")(path, (3, 2), (10.0, 10.0))


def _names(path: Path) -> object:
    return get("epu.stems:read_name_list")([path])


def _of(name: str, file: str, kind: Any, target: str) -> Reader:
    return Reader(name, file, lambda path: get(target)(path), kind)


_OUTPUTS = "testing.conform_files:read_outputs"

MORE: tuple[Reader, ...] = (
    _folder("folder.session", _session),
    _folder("folder.zarr", lambda folder: get("io.images:read")(folder), "zarr"),
    _folder("folder.frames", _frames),
    _folder("folder.ice9", _ice9),
    _folder("folder.xds_corrections", _corrections),
    _folder("folder.seed_spots", lambda folder: get("io.nearfield_files:read_seed_spots")(folder)),
    _folder("folder.hexrd_picks", _picks),
    Reader("nexus_poni", "a.nxs", _nexus_poni, "hdf5"),
    Reader("hexrd_hdf5", "a.hexrd", _hexrd, "hdf5"),
    Reader("dataset_hdf5", "a.h5", _samples, "hdf5"),
    Reader("dataset_npz", "a.npz", _samples, "zip"),
    Reader("checkpoint", "a.ckpt", _checkpoint, "zip"),
    _of("refl_npz", "a.npz", "zip", "cli.metrology_files:read_table"),
    Reader("points", "p.csv", _points),
    Reader("grid_counts", "c.csv", _grid),
    Reader("name_list", "n.txt", _names),
    _of("conform_json", "o.json", "json", _OUTPUTS),
    _of("conform_hdf5", "o.h5", "hdf5", _OUTPUTS),
    _of("conform_text", "o.txt", "text", _OUTPUTS),
    _of("known_failures", "k.txt", "text", "testing.conform_subjects:read_known_failures"),
)
