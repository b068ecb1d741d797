"""Log files of a coarse-to-fine run under the published names, in ``midas_log``.

A stage has an ``_out.csv`` and an ``_err.csv``. Times stand in the workflow log alone, which is
appended to: the others are the same, byte for byte, after equal runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from refimpl.errors import ConfigError
from refimpl.io.atomic import make_folder, write_text

__all__ = ["FOLDER", "WORKFLOW", "RunLogs"]

FOLDER = "midas_log"
WORKFLOW = "midas_nf_workflow_multires.log"


class RunLogs:
    """Logs of a run; each is whole whenever it is there.

    Parameters
    ----------
    folder
        Of the results; the logs lie in a folder of it, which is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder / FOLDER)
        self._said: dict[str, list[str]] = {}

    def add(self, stage: str, *lines: str) -> None:
        """Add lines to the output of a stage, which this run begins anew."""
        said = self._said.setdefault(stage, [])
        said.extend(lines)
        self.write(stage, said)

    def write(self, stage: str, lines: Iterable[str]) -> None:
        """Write the whole output of a stage, and that there was no error."""
        write_text(self.folder / f"{stage}_out.csv", "".join(f"{line}\n" for line in lines))
        write_text(self.folder / f"{stage}_err.csv", "")

    def workflow(self, line: str) -> None:
        """Append a line with the time to the workflow log.

        Raises
        ------
        ConfigError
            It cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        path = self.folder / WORKFLOW
        try:
            with path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(f"{now} {line}\n")
        except OSError as error:
            raise ConfigError(f"cannot write: {error.strerror}", path=path) from error
