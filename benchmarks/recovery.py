"""Calibrate simulated frames: convergence, honest errors, distance to the Cramér-Rao bound.

    python benchmarks/recovery.py [--scenes 100] [--first 0]

The same code is tested by tests/system/test_simulated_truth.py. Timings are CPU seconds of this
process; they are for orientation, benchmarks/powder.py is for quoting.
"""

from __future__ import annotations

import argparse
import sys

from refimpl.forward.scenes import BENCHMARK, scene
from refimpl.testing.recovery import recover, report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--scenes", type=int, default=BENCHMARK, help="how many scenes")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--quiet", action="store_true", help="only the table")
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.scenes)
    progress = None if options.quiet else lambda line: print(line, file=sys.stderr, flush=True)
    recovery = recover((scene(i) for i in numbers), progress=progress)
    print(report(recovery))
    return 1 if recovery.failed else 0


if __name__ == "__main__":
    sys.exit(main())
