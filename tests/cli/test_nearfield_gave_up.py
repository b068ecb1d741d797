"""``refimpl nearfield reconstruct`` on nodes that never answer gives up, and goes on elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refimpl.cli.main import main
from refimpl.nearfield.example import SMALL, write_example
from refimpl.nearfield.reconstruct import LEDGER

SILENT = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider
config = Config(
    executors=[HighThroughputExecutor(
        label="htex", max_workers_per_node=1, address="127.0.0.1", launch_cmd="sleep 1000",
        provider=LocalProvider(init_blocks=1, max_blocks=1))],
    run_dir={!r}, strategy="none", strategy_period=0.5, initialize_logging=False,
)
"""


@pytest.mark.parametrize("loops", [False, True])
def test_exit_4_and_one_line(
    loops: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"GridRefactor": (24.0, 2.0, 1.0)} if loops else {}
    files = write_example(tmp_path, n_grains=3, seed=3, **SMALL, OnlySpotsInfo=1, **more)
    assert main(["nearfield", "simulate", str(files.parameters), str(files.truth)]) == 0
    site = tmp_path / "site.py"
    site.write_text(SILENT.format(str(tmp_path / "runs")))
    capsys.readouterr()
    command = ["nearfield", "reconstruct", str(files.parameters), "-o", str(tmp_path / "out")]
    command += ["--no-report", "--set", "grid_mask_mm=[-0.02, 0.02, -0.02, 0.02]"]
    assert main([*command, "-machineName", str(site), "--patience", "2"]) == 4
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "htex" in text]
    assert "Parsl, htex (site.py): no block ended for 2 s; " in line
    assert line.endswith("what is done is kept, and the same run again goes on from there")
    home = tmp_path / "out/reconstruction"
    records = [json.loads(text) for text in (home / LEDGER).read_text().splitlines()]
    assert [r["run"] for r in records if "run" in r] == ["start", "gave up"]
    assert not list(home.glob("*.shared"))
    assert main(command) == 0
