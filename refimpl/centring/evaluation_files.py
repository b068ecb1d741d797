"""What an evaluation reads and writes: the run beside a checkpoint, pictures, results as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.centring.crops import CropRule
from refimpl.centring.datasets import open_samples, rule_of
from refimpl.centring.heat_shown import rule_for
from refimpl.centring.samples import Samples
from refimpl.centring.splits import Split, load_split
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64
from refimpl.io.atomic import write_json, write_text
from refimpl.reading import parse_json, read_text

if TYPE_CHECKING:
    from refimpl.centring.evaluation import Evaluation
    from refimpl.centring.heatmap import HeatMap

__all__ = ["Run", "open_for", "pictures_of", "run_of", "write_evaluation", "write_map"]

_FILES = (".h5", ".hdf5", ".npz")


@dataclass(frozen=True)
class Run:
    """What stands beside a checkpoint that a training run has written.

    Attributes
    ----------
    source, seed
        What it was trained on; None, 0: not known.
    split
        Which crystals were for what; None: not known.
    """

    source: str | None
    seed: int
    split: Split | None


def run_of(checkpoint: str | Path) -> Run:
    """Read ``run.json`` and ``split.json`` beside a checkpoint, where they are.

    Raises
    ------
    FormatError, ConfigError
        One of them is there and is not what it should be.
    """
    folder = Path(checkpoint).parent
    split = load_split(folder / "split.json") if (folder / "split.json").is_file() else None
    place = folder / "run.json"
    if not place.is_file():
        return Run(None, 0, split)
    try:
        content = parse_json(read_text(place))
        source, seed = content["source"], int(content["settings"]["seed"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FormatError(f"not a run of refimpl centring: {error!r}", path=place) from error
    return Run(source if isinstance(source, str) else None, seed, split)


def open_for(
    net: Any, source: str, *, rule: CropRule | None = None, seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:  # fmt: skip
    """Open pictures as a net was taught them.

    Parameters
    ----------
    net
        A regressor: its size, channels and crop rule.
    source
        Of :func:`refimpl.centring.datasets.open_samples`.
    rule
        Where the checkpoint has no crop rule.
    seed
        Of simulated pictures.
    progress
        See there.

    Raises
    ------
    ConfigError
        The pictures are cropped already, by another rule than the net's; or another one is given.
    FormatError
        See there.
    """
    known = net.crop is not None or rule is not None
    wanted = rule_for(net, rule) if known else None
    size, channels = int(net.hparams["size"]), int(net.hparams["channels"])
    cropped = source.startswith("simulated:") or Path(source).suffix.lower() in _FILES
    own = rule_of(source) if cropped else None
    if own is not None and wanted is not None and own != wanted:
        raise ConfigError(
            f"pictures of {source} are cropped to {own.offset_px:g} + {own.slope_px:g} zoom px, "
            f"the net was taught {wanted.offset_px:g} + {wanted.slope_px:g} zoom px", key="source",
        )  # fmt: skip
    if own is None and cropped:
        wanted = None if _is_prepared(source) else wanted
    return open_samples(
        source, size=size, channels=channels, rule=None if own is not None else wanted, seed=seed,
        progress=progress,
    )  # fmt: skip


def _is_prepared(source: str) -> bool:
    from refimpl.centring.dataset_files import read_columns

    return "kind" in read_columns(source)


def pictures_of(found: Evaluation, source: str, most: int) -> tuple[Path, list[str], Any] | None:
    """Folder, names and zooms of whole pictures of a table, one of each crystal that counts.

    None where the source has no such files.
    """
    if source.startswith(("simulated:", "labelme:")) or Path(source).suffix.lower() in _FILES:
        return None
    folder = Path(source) if Path(source).is_dir() else Path(source).parent
    rows, known = [], set()
    for row in np.flatnonzero(found.part == found.judged).tolist():
        crystal = str(found.samples.crystal[row])
        if crystal not in known and str(found.samples.name[row]):
            known.add(crystal)
            rows.append(row)
    rows = rows[:most]
    return folder, [str(found.samples.name[r]) for r in rows], found.samples.zoom[rows]


def write_evaluation(found: Evaluation, folder: Path) -> tuple[Path, Path]:
    """Write ``evaluation.json`` and ``predictions.csv``, a row a picture."""
    samples = found.samples
    text = ["row,crystal,image,zoom,part,rc,target,predicted"]
    for i in range(len(samples)):
        zoom = float(samples.zoom[i])
        cells = [
            str(i), _cell(str(samples.crystal[i])), _cell(str(samples.name[i])),
            "" if zoom != zoom else f"{zoom:g}", str(found.part[i]), f"{samples.count[i]:g}",
            f"{found.wanted[i]:.6g}", f"{found.predicted[i]:.6g}",
        ]  # fmt: skip
        text.append(",".join(cells))
    return (
        write_json(folder / "evaluation.json", found.as_dict()),
        write_text(folder / "predictions.csv", "\n".join(text) + "\n"),
    )


def _cell(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if set(value) & set(',"\n') else value


def write_map(heat: HeatMap, path: str | Path, deviation: F64 | None = None) -> Path:
    """Write a heat map: ``.npz`` with its arrays, or ``.csv`` with a row a point.

    `deviation` is that of the target between several predictions, where there are.

    Raises
    ------
    ConfigError
        Another kind of file, or one that cannot be written.
    """
    from refimpl.io.atomic import atomic_path

    place = Path(path)
    kind = place.suffix.lower()
    more: dict[str, Any] = {} if deviation is None else {"deviation": deviation}
    if kind == ".npz":
        with atomic_path(place) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file, x_px=heat.x_px, y_px=heat.y_px, value=heat.value, count=heat.count,
                outside=heat.outside, **more,
            )  # fmt: skip
        return place
    if kind != ".csv":
        raise ConfigError(f"map {place}: expected .npz or .csv", key="map", path=place)
    x, y = np.meshgrid(heat.x_px, heat.y_px)
    columns = (x, y, heat.value, heat.count, heat.outside, *more.values())
    rows = np.stack([c.ravel() for c in columns], axis=-1)
    lines = [",".join("" if v != v else f"{v:.6g}" for v in row) for row in rows.tolist()]
    header = ",".join(["x_px,y_px,target,count,outside", *more])
    return write_text(place, header + "\n" + "\n".join(lines) + "\n")
