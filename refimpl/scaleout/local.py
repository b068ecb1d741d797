"""Worker processes on this computer: Parsl's HTEX, set up so that it ends when it should."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from refimpl.scaleout.engines import interchange_command

__all__ = ["local_config", "worker_setup"]

_BEAT_S = 1
"""A dead worker is noticed after so long [s]."""

_SILENCE_S = 15
"""Workers without contact to the run end after so long, and it counts them as lost [s]."""


def worker_setup() -> str:
    """Lines of shell by which workers find this Python and use one thread each."""
    folder = shlex.quote(str(Path(sys.executable).parent))
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return f'export PATH={folder}:"$PATH"\nexport ' + " ".join(f"{name}=1" for name in threads)


class _Groups:
    """Groups of processes that a provider of Parsl has started on this computer."""

    def __init__(self, provider: Any) -> None:
        self.provider, self.start = provider, provider.submit
        self.numbers: list[int] = []
        provider.submit = self.submit

    def submit(self, *arguments: Any, **options: Any) -> Any:
        job = self.start(*arguments, **options)
        with suppress(ProcessLookupError):
            group = os.getpgid(self.provider.resources[job]["remote_pid"])
            if group != os.getpgrp():  # ours must not end with them
                self.numbers.append(group)
        return job

    def end(self) -> None:
        """End whatever is left, also workers whose manager was killed.

        It does not wait long: processes that ended, and that nobody collects, look alive.
        """
        for number, patience_s in ((signal.SIGTERM, 0.5), (signal.SIGKILL, 0.1)):
            until = time.monotonic() + patience_s
            for group in self.numbers:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, number)
            while (left := [g for g in self.numbers if _alive(g)]) and time.monotonic() < until:
                time.sleep(0.02)
            if not left:
                return


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def local_config(workers: int, folder: str) -> tuple[Any, Callable[[], None]]:
    """Configuration of worker processes, and what ends them for certain.

    Parameters
    ----------
    workers
        Processes.
    folder
        For what Parsl writes.
    """
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.jobs.error_handlers import windowed_error_handler
    from parsl.providers import LocalProvider

    provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1, worker_init=worker_setup())
    groups = _Groups(provider)
    executor = HighThroughputExecutor(
        label="refimpl",
        address="127.0.0.1",
        max_workers_per_node=workers,
        cores_per_worker=1e-3,  # as many as are asked for, whatever the CPUs
        heartbeat_period=_BEAT_S,
        heartbeat_threshold=_SILENCE_S,
        interchange_launch_cmd=interchange_command(),
        block_error_handler=windowed_error_handler,  # gives up after three starts in vain
        provider=provider,
    )
    # "simple" starts workers again where all were lost
    config = Config(
        executors=[executor], run_dir=folder, strategy="simple", strategy_period=0.5 * _BEAT_S,
        initialize_logging=False,
    )  # fmt: skip
    return config, groups.end
