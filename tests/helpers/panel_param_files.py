"""A parameter file of the published panel program with all that it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refimpl.io.midas_params import read_params

SHAPE = (60, 64)
BASE = {
    "FileStem": "frame", "Folder": ".", "Ext": ".raw", "StartNr": "1", "EndNr": "1",
    "Padding": "6", "DataType": "4", "HeadSize": "0", "NrPixelsY": "64", "NrPixelsZ": "60",
    "px": "200", "Lsd": "300000", "BC": "31 29", "SpaceGroup": "225",
    "LatticeConstant": "5.4115 5.4115 5.4115 90 90 90", "Wavelength": "0.2", "RhoD": "42000",
    "tolTilts": "3", "tolBC": "20", "tolLsd": "15000", "tolP": "2e-3", "EtaBinSize": "5",
    "NPanelsY": "2", "NPanelsZ": "2", "PanelSizeY": "31", "PanelSizeZ": "28", "PanelGapsY": "2",
    "PanelGapsZ": "4", "PanelShiftsFile": "panelshifts.txt", "tolShifts": "1",
}  # fmt: skip
NO_PANELS = dict.fromkeys([
    "NPanelsY", "NPanelsZ", "PanelSizeY", "PanelSizeZ", "PanelGapsY", "PanelGapsZ",
    "PanelShiftsFile", "tolShifts",
])  # fmt: skip
TURNED = {
    "NrPixelsY": "60", "NrPixelsZ": "64", "PanelSizeY": "28", "PanelSizeZ": "31", "PanelGapsY": "4",
    "PanelGapsZ": "2",
}  # fmt: skip


def parsed(tmp_path, changes=None, base=BASE):
    """Parameters of the base with changes; a list gives a key on several lines."""
    values = {**base, **(changes or {})}
    path = tmp_path / "ps.txt"
    path.write_text("".join(f"{k} {v}\n" for k, v in values.items() if v is not None))
    return read_params(path)


def data_folder(here: Path) -> Path:
    """Data files that differ, a dark and a mask."""
    import h5py

    random = np.random.default_rng(7)
    (here / "sub").mkdir()
    names = ["frame_000001.raw", "frame_000002.raw", "frame_0001.raw", "other_000001.raw",
             "frame_000001.bin", "sub/frame_000001.raw", "dark.raw"]  # fmt: skip
    for name in names:
        random.poisson(20.0, (2, *SHAPE)).astype("<u4").tofile(here / name)
    random.poisson(20.0, (48, 48)).astype("<u4").tofile(here / "square_000001.raw")
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[3, 5:9] = 1
    np.save(here / "mask.npy", mask)
    np.save(here / "wrong.npy", mask[1:])
    np.save(here / "unclear.npy", mask + 1)
    with h5py.File(here / "frame_000001.h5", "w") as file:
        for key in ("a/one", "a/two", "dark"):
            file[key] = random.poisson(20.0, (1, *SHAPE)).astype(np.uint16)
    return here
