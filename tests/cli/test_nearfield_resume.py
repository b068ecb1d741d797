"""``refimpl nearfield reconstruct`` that is killed goes on with the voxels that are not done."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.nearfield.example import SMALL, write_example
from refimpl.nearfield.reconstruct import LEDGER

ONE_BY_ONE = ("--set", "grid_mask_mm=[-0.02, 0.02, -0.02, 0.02]", "--no-report")
ONE_BY_ONE += ("-machineName", "serial", "--block-voxels", "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parameters and lit pixels of three grains."""
    folder = tmp_path_factory.mktemp("made")
    files = write_example(folder, n_grains=3, seed=3, **SMALL, OnlySpotsInfo=1)
    assert main(["nearfield", "simulate", str(files.parameters), str(files.truth)]) == 0
    return files.parameters


def reconstruct(*arguments: object) -> list[str]:
    """Command of a process of its own."""
    program = [sys.executable, "-c", "from refimpl.cli.main import run; run()"]
    return [*program, "nearfield", "reconstruct", *map(str, arguments), *ONE_BY_ONE]


def blocks_of(folder: Path) -> dict[str, int]:
    """Finished blocks and when they were written [ns]."""
    found = (folder / "reconstruction/blocks").glob("voxels-*.npz")
    return {path.name: path.stat().st_mtime_ns for path in found}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_run_goes_on_to_the_same_map(made: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    quiet = subprocess.DEVNULL
    run = subprocess.Popen(reconstruct(made, "-o", killed), stdout=quiet, stderr=quiet)
    end = time.monotonic() + 60.0
    while len(blocks_of(killed)) < 3 and run.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert not (killed / "map.mic").exists()
    kept = blocks_of(killed)
    # what else a kill may leave: a file that was being written, half a line of the ledger
    (killed / "reconstruction/blocks/.voxels-0000090-0001.npz.1-0.part.npz").write_bytes(b"PK")
    ledger = killed / "reconstruction" / LEDGER
    with ledger.open("ab") as file:
        file.write(b'{"key": "voxels-00')
    lines = len(ledger.read_bytes().splitlines())
    for folder in (killed, whole):
        subprocess.run(reconstruct(made, "-o", folder), check=True, capture_output=True)

    done = blocks_of(killed)
    assert 3 <= len(kept) < len(done) == len(blocks_of(whole))
    records = [json.loads(line) for line in ledger.read_bytes().splitlines()[lines:]]
    refitted = {f"{r['key']}.npz" for r in records if "key" in r}
    # one may have been written, and its line in the ledger not any more
    assert len(refitted & set(kept)) <= 1
    assert {name for name in kept if done[name] != kept[name]} <= refitted
    assert refitted | set(kept) == set(done)
    for name in ("map.mic", "map.mic.bin", "map.mic.AllMatches", "map.mic.map"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    with h5py.File(killed / "map.mic.h5") as a, h5py.File(whole / "map.mic.h5") as b:
        data: list[str] = []
        a.visititems(lambda name, item: data.append(name) if hasattr(item, "dtype") else None)
        assert data
        for name in data:
            if a[name].dtype.kind == "f":
                np.testing.assert_array_equal(a[name][()], b[name][()], err_msg=name)
    numbers = json.loads((killed / "result.json").read_text())
    command = numbers["provenance"]["command"]
    assert command.startswith("refimpl nearfield reconstruct ")
    assert command.endswith("--block-voxels 1")
