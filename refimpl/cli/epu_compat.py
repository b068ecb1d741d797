"""``refimpl epu duplicates --compat``: the two runs of find_dupl, with its options.

Without k: k-means, the distances between its centres, a picture with their numbers. With k: the
lists of exposures to be dropped, and a montage. What is mended is told in
:mod:`refimpl.epu.published`; besides,

- both runs end with 0, and errors with 2 and one line, where find_dupl ended with 2 or a traceback;
- the first run writes its picture, ``PREFIX_clusters.png``, where find_dupl opened a window;
- without duplicates the lists are written, empty, so that none of an earlier run remains;
- a movie is found under ``--rawdata`` by its name whatever its suffix;
- pictures of foil holes are those of the exposure's own hole; where there are none, a montage has
  room for them and says so.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from refimpl.cli import epu_options, parse
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.epu.duplicates import Duplicates
    from refimpl.epu.published import PublishedDuplicates
    from refimpl.epu.session import Session

__all__ = ["run"]

_CASES = {False: 25, True: 100}
"""Most cases of a montage: find_dupl cuts after 100 pictures, or 400 of half size, four a case."""


def run(
    epudata: Path = Path(),
    out: str = "duplicates",
    *,
    k: float | None = None,
    rawdata: Path | None = None,
    rad: float | None = None,
    clusters: int | None = None,
    montage: bool = False,
    resize: bool = False,
    max_iter: int | None = None,
    n_init: int | None = None,
) -> int:
    """Do what find_dupl does.

    Parameters
    ----------
    epudata
        Folder of the session.
    out
        Start of the names of the files.
    k
        Micrometres for a beam shift of 1; None: the first run, which helps to find it.
    rawdata
        Folder of the movies.
    rad
        Radius [um]; None: 0.2, whatever the help text of find_dupl says.
    clusters, max_iter, n_init
        Of k-means; None: 9, 300, 10.
    montage, resize
        Draw the pairs; `resize` at half the size, and without `montage`, too.

    Returns
    -------
    Exit status, 0.

    Raises
    ------
    ConfigError, FormatError
        An option, a file or the session is wrong; nothing has been written then.
    """
    if not Path(out).name or out.endswith(("/", "\\")):
        raise ConfigError(f"--o {out!r}: expected the start of file names")
    for name, value in (("k", k), ("rad", rad)):
        if value is not None and not 0.0 < value < math.inf:
            raise ConfigError(f"--{name} {value!r}: expected a positive number", key=name)
    if rawdata is not None and not rawdata.is_dir():
        raise ConfigError("no such folder of movies", path=rawdata, key="rawdata")
    session = epu_options.load(epudata, csv=False, strict=False)
    epu_options.errors_note(session)
    if k is None:
        given = {"n_clusters": clusters, "max_iter": max_iter, "n_init": n_init}
        _first_run(session, out, {n: v for n, v in given.items() if v is not None})
    else:
        has_montage = montage or resize
        _second_run(session, out, k, 0.2 if rad is None else rad, rawdata, has_montage, resize)
    return 0


def _tell_beam(session: Session) -> None:
    """Table of the beam diameters."""
    from refimpl.epu.radius import diameters_um

    values, counts = diameters_um(session.table)
    where = "" if session.folder is None else f" in {session.folder}"
    typer.echo(f"{len(session)} exposures{where}")
    typer.echo("Beam diameter (um) | exposures")
    for value, count in zip(values, counts, strict=True):
        typer.echo(f"{value:18.3f} | {count}")


def _first_run(session: Session, out: str, given: dict[str, int]) -> None:
    """Print the distances between cluster centres, and draw the clusters."""
    from refimpl import hooks
    from refimpl.clustering.beam_shift import k_of, levels, spacings
    from refimpl.epu.published import first_run, first_run_text
    from refimpl.io.together import together

    picture = Path(f"{out}_clusters.png")
    parse.output_file(picture)
    found = first_run(session, **given)
    text = first_run_text(found.centres)
    _tell_beam(session)
    typer.echo(text)
    known = session.hole_spacing_um
    holes = [2.0, 2.5, 4.0] if known is None else [known]
    typer.echo("Distances that may stand for the hole spacing, and their k:")
    typer.echo("  rule             distance" + "".join(f"   {um:g} um".rjust(10) for um in holes))
    for rule, distance in vars(spacings(found.centres)).items():
        each = "".join(f"{k_of(um, distance):10.2f}" for um in holes)
        typer.echo(f"  {rule:15} {distance:9.4f}{each}")
    with together([picture]) as (temporary,):
        hooks.call(
            "epu.scatter", session.beam_shift, found.labels, found.centres, temporary,
            numbers=list(range(len(found))), title=f"Beam shifts, {len(found)} clusters",
        )  # fmt: skip
    typer.echo(f"wrote {picture}")
    shown = levels(session.beam_shift)
    if shown and shown[-1].n != len(found):
        typer.echo(f"The beam shifts by themselves show {shown[-1].n} holes, not {len(found)}: "
                   f"--clusters {shown[-1].n}")  # fmt: skip
    typer.echo("Now run again with --k.")


def _second_run(
    session: Session, out: str, k: float, rad: float, rawdata: Path | None,
    has_montage: bool, is_half_size: bool,
) -> None:  # fmt: skip
    """Write the lists, and the montage."""
    from refimpl.epu.bad_lists import jpg_paths, outputs_of, tiff_names
    from refimpl.epu.movies import index_movies
    from refimpl.epu.published import as_duplicates, duplicates
    from refimpl.io.together import together

    lists = [outputs_of(out).jpg, outputs_of(out).tiff]
    pictures = [Path(f"{out}_{name}.png") for name in _montage_names(is_half_size)]
    for path in lists + pictures * has_montage:
        parse.output_file(path)
    published = duplicates(session, k, rad)
    found = as_duplicates(session, k, rad, published)
    _tell_beam(session)
    for line in _sentences(found, published, k, rad):
        typer.echo(line)
    movies = None if rawdata is None else index_movies(rawdata)
    lines = [jpg_paths(found), tiff_names(found, movies)]
    notes: list[str] = []
    optional = pictures * has_montage
    with together([*lists, *optional], optional=optional) as temporary:
        for path, text in zip(temporary, lines, strict=False):
            path.write_bytes("".join(f"{line}\n" for line in text).encode("utf-8"))
        if has_montage:
            cases = published.pairs
            shown = int(len(cases) > _CASES[is_half_size])
            notes += _montage(found, published, temporary[2 + shown], pictures[shown], is_half_size)
    for path in lists + [p for p in optional if p.exists()]:
        typer.echo(f"wrote {path}")
    for note in notes:
        typer.echo(note)


def _montage_names(is_half_size: bool) -> tuple[str, str]:
    """Names of the montage with all cases, and of one that is cut, as find_dupl names them."""
    return ("all_resize", "400_resize") if is_half_size else ("all", "100")


def _montage(
    found: Duplicates, published: PublishedDuplicates, temporary: Path, path: Path,
    is_half_size: bool,
) -> list[str]:  # fmt: skip
    """Draw the cases, and say what is in the picture."""
    from refimpl import hooks

    cases = published.pairs
    if not len(cases):
        return ["No montage: there are no duplicates."]
    with parse.progress() as tell:
        made: Any = hooks.call(
            "epu.montage", found.session, cases, temporary, limit=_CASES[is_half_size],
            resize=is_half_size, progress=lambda done, of: tell("montage", done / max(of, 1)),
        )  # fmt: skip
    return list(replace(made, path=path).sentences())


def _sentences(
    found: Duplicates, published: PublishedDuplicates, k: float, rad: float
) -> list[str]:
    """What was found."""
    n, bad = published.n, int(published.bad.sum())
    cause = found.pairs["cause"].astype(str)
    stays = int(cause.isin(["repeat", "same hole", "same position"]).sum())
    again = len(published.listed) - bad
    lines = [
        f"k = {k:g} um, radius {rad:g} um (find_dupl's help says 0.9 of the beam, its code 0.2 um)",
        f"{len(published.groups)} groups of exposures closer than the radius",
        f"{bad} of {n} exposures ({100.0 * bad / max(n, 1):.2f} %) were taken where one was before"
        + (f" (find_dupl lists and counts some again, {again} times)" if again else ""),
    ]
    if stays:
        lines.append(
            f"{stays} pairs: EPU did not move the stage between them, but went on collecting"
        )
    lines.append(
        "One factor k knows no rotation and no mirror: without --compat the matrix is found."
    )
    return lines
