"""Parsl's interchange, ending when the run does: a program, started by the engines by its path.

The interchange stands between a run and its workers. Parsl starts it as a process that lives on
when the run is killed with -9, and with it the workers and the nodes that they hold. This one
looks whether its parent is still there. Ctrl-C in a terminal reaches it too; it is the run's to
act on. Nothing of refimpl is imported here, so that it starts as quickly as Parsl's.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

__all__ = ["end_with", "main"]

_LOOK_S = 0.5
"""Between two looks at the parent [s]."""


def end_with(parent: int) -> None:
    """End this process at once when its parent is another than the one of this number."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def main() -> None:
    """Run Parsl's interchange; the argument is the number of the parent's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(int(sys.argv[1]),), daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")


if __name__ == "__main__":
    main()
