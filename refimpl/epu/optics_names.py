"""Names of movies and micrographs as RELION is to see them, and the list for cryoSPARC."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from refimpl.epu.movies import index_movies
from refimpl.epu.optics_groups import OpticsGroups
from refimpl.errors import ConfigError

__all__ = ["FoundNames", "exposure_groups_csv", "find_names", "made_names"]


@dataclass(frozen=True)
class FoundNames:
    """Files of exposures.

    Attributes
    ----------
    names
        (n,) path of each, None where there is none.
    missing
        Exposures without a file.
    several
        Exposures with more than one; the shortest name counts.
    strangers
        Movies of no exposure.
    notes
        What a user should know.
    """

    names: tuple[str | None, ...]
    missing: tuple[str, ...] = ()
    several: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_names(
    stems: Sequence[str],
    folder: str | os.PathLike[str],
    *,
    table: str = "movies",
    progress: Callable[[int, int], None] | None = None,
) -> FoundNames:
    """Find the files of exposures in a folder and its subfolders.

    Parameters
    ----------
    stems
        (n,) names of the exposures.
    folder
        Where they lie. Paths begin with it as it is written here: RELION wants them relative to
        its project folder.
    table
        ``movies`` (what ends in ``_Fractions`` or ``_EER``; the average that EPU writes beside a
        movie never stands in for it) or ``micrographs`` (single ``.mrc`` images).
    progress
        Called with (files seen, 0) now and then.

    Raises
    ------
    ConfigError
        No such folder, or nothing of these exposures in it.
    """
    index = index_movies(folder, progress=progress)
    notes: tuple[str, ...] = ()
    kinds = (index.movies, index.images) if table == "movies" else (index.images, index.movies)
    if table == "movies" and not any(stem.lower() in index.movies for stem in stems):
        kinds = (index.images, index.movies)
        notes = ("no name ends in _Fractions or _EER: plain images are taken for the movies",)
    elif table == "movies":
        kinds = (index.movies, {})
    found = []
    for stem in stems:
        paths = next((kind[stem.lower()] for kind in kinds if stem.lower() in kind), ())
        if table == "micrographs":
            paths = tuple(path for path in paths if path.lower().endswith(".mrc"))
        found.append(sorted(paths, key=lambda path: (len(os.path.basename(path)), path)))
    names = tuple(os.path.normpath(paths[0]) if paths else None for paths in found)
    if not any(names):
        raise ConfigError(
            f"no {table} of {len(stems)} exposures, {stems[0]} for instance; say where they are, "
            "or what folder to write without looking (--movies, --prefix)",
            path=os.fspath(folder),
            key="movies",
        )
    if any(name and (os.path.isabs(name) or name.startswith("..")) for name in names):
        notes += ("names lie outside of this folder: RELION wants them relative to its project",)
    known = {stem.lower() for stem in stems}
    return FoundNames(
        names,
        missing=tuple(s for s, name in zip(stems, names, strict=True) if name is None),
        several=tuple(s for s, paths in zip(stems, found, strict=True) if len(paths) > 1),
        strangers=tuple(sorted(p[0] for s, p in index.movies.items() if s not in known)),
        notes=notes,
    )


def made_names(stems: Sequence[str], prefix: str, suffix: str) -> FoundNames:
    """Names of files that are not looked for: folder, name, suffix.

    Raises
    ------
    ConfigError
        The suffix has no dot: RELION tells the kind of a file by its end.
    """
    if "." not in suffix:
        raise ConfigError(f"suffix {suffix!r}: expected an end such as _Fractions.mrc",
                          key="suffix")  # fmt: skip
    start = prefix if not prefix or prefix.endswith("/") else prefix + "/"
    return FoundNames(tuple(f"{start}{stem}{suffix}" for stem in stems))


def exposure_groups_csv(groups: OpticsGroups) -> str:
    """CSV of exposure groups, for scripts that set ``ctf/exp_group_id`` in cryoSPARC.

    Columns: name of the exposure, which cryoSPARC's paths contain; group, the number of RELION's
    optics group, from 1; EPU's unique id (not cryoSPARC's) and beam shift of the group, where they
    are known. Numbers are stated, never counted from rows: tools that count from 0 shift them.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    known = bool(np.isfinite(groups.centres).all())
    shift = ["group_beam_shift_x", "group_beam_shift_y"] if known else []
    writer.writerow(["stem", "exp_group_id", *(["epu_uid"] if groups.uids else []), *shift])
    for i, (stem, label) in enumerate(zip(groups.stems, groups.labels.tolist(), strict=True)):
        uid = [groups.uids[i]] if groups.uids else []
        centre = [f"{x:.9g}" for x in groups.centres[label - 1]] if known else []
        writer.writerow([stem, label, *uid, *centre])
    return text.getvalue()
