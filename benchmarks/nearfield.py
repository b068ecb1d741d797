"""Near field: every benchmark of it, one after the other, in processes of their own.

    python benchmarks/nearfield.py [--update docs/benchmarks.md] [--peer-python PYTHON]

They need the set ``nearfield-golden``. ``--peer-python`` is an interpreter that has orix.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = (
    "misorientation",
    "forward",
    "overlap",
    "images",
    "reconstruct",
    "multires",
    "engines",
    "grains",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--update", type=Path, metavar="FILE")
    parser.add_argument("--peer-python", metavar="PYTHON")
    options = parser.parse_args()
    worst = 0
    for part in PARTS:
        command = [sys.executable, str(HERE / f"nearfield_{part}.py")]
        if options.update is not None:
            command += ["--update", str(options.update)]
        if options.peer_python is not None and part == "misorientation":
            command += ["--peer-python", options.peer_python]
        worst = max(worst, subprocess.run(command, check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
