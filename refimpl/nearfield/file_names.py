"""Published names of the files of a run, from its parameter file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refimpl.io.nearfield_params import NearfieldParams

__all__ = ["FileNames"]


@dataclass(frozen=True)
class FileNames:
    """Where the files of a run go.

    Attributes
    ----------
    folder
        Of all of them.
    text, binary
        Names in it of the maps (MicFileText, MicFileBinary); they may hold a folder.
    grid
        Grid (GridFileName).
    seeds
        Seeds of loop k are ``<seeds>.k`` (SeedOrientations).
    every, backup
        All candidates (SeedOrientationsAll), and their copy; None where there are none.
    """

    folder: Path
    text: str
    binary: str
    grid: Path
    seeds: Path
    every: Path | None
    backup: Path | None

    @classmethod
    def of(cls, params: NearfieldParams, folder: Path, *, flat: bool) -> FileNames:
        """Names of a parameter file.

        Parameters
        ----------
        params
            The parameter file.
        folder
            Of the results.
        flat
            Leave folders in the names out: all files lie in `folder`, as for ``-o``. Else they are
            where the file says, from its own folder of results.

        Raises
        ------
        ConfigError
            The text and the binary map are one and the same.
        """
        text = str(params["MicFileText"] or "map.mic")
        binary = str(params["MicFileBinary"] or "map.mic.bin")
        if flat:
            text, binary = Path(text).name, Path(binary).name
        if Path(text) == Path(binary):
            raise params.refuse("MicFileBinary", f"MicFileBinary and MicFileText are both {text}")

        def place(name: str) -> Path:
            return folder / (Path(name).name if flat else name)

        every = params.file("SeedOrientationsAll")
        return cls(
            folder, text, binary, place(str(params["GridFileName"])),
            place(str(params["SeedOrientations"] or "SeedOrientations")), every,
            None if every is None else place(f"{params['SeedOrientationsAll']}_Backup"),
        )  # fmt: skip
