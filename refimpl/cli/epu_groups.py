"""``refimpl epu groups``: optics groups as STAR files, into those that exist, or for cryoSPARC."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.cli.epu_groups_steps import Done, How, groups_of_file, groups_of_session
from refimpl.cli.rules import goes_with, goes_without
from refimpl.errors import ConfigError

__all__ = ["EXAMPLES", "groups"]

EXAMPLES = """\b
Examples:
  refimpl epu groups Session --movies Movies -o movies.star
  refimpl epu groups Session --prefix Movies --suffix _EER.eer --mtf k3.star -o all.star
  refimpl epu groups Session --star Refine3D/job020/particles.star -o particles.star
  refimpl epu groups --from movies.star --star micrographs_ctf.star -o grouped.star
  refimpl epu groups --drop duplicates_badfiles_jpg.txt --star particles.star -o kept.star
  refimpl epu groups Session --cryosparc groups.csv

Groups are one a hole of the template (--level holes), numbered from 1 on the grid of holes.
A file given with --star keeps all that is in it but the numbers and names of its groups."""

_NEW, _OLD, _HOW = "New STAR file", "STAR file that exists", "Groups"
_FOLDER = typer.Argument(
    metavar="FOLDER",
    help="EPU session, or a CSV table of one; not with --from, nor for --drop alone.",
)


@goes_with("out", "suffix", "table")
@goes_without("star", "suffix", "table")
def groups(
    folder: Annotated[Path | None, _FOLDER] = None,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="FILE", help="STAR file to write.")] = None,
    cryosparc: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Write stem, exp_group_id as CSV.")] = None,
    by: Annotated[str, typer.Option(
        metavar="NAME", help="beam-shift, or area: the id in the file name.",
        rich_help_panel=_HOW)] = "beam-shift",
    method: Annotated[str, typer.Option(
        metavar="NAME", help="auto, kmeans, hac or dbscan.", rich_help_panel=_HOW)] = "auto",
    level: Annotated[str, typer.Option(
        metavar="NAME", help="Of auto: holes or shots.", rich_help_panel=_HOW)] = "holes",
    n_groups: Annotated[int | None, typer.Option(
        "-n", "--n-clusters", metavar="N", min=1, rich_help_panel=_HOW,
        help="Of kmeans and hac; default: what auto finds.")] = None,
    linkage: Annotated[str, typer.Option(
        metavar="NAME", help="Of hac: complete, single, average or ward.",
        rich_help_panel=_HOW)] = "complete",
    eps: Annotated[float | None, typer.Option(
        metavar="X", help="Of dbscan: reach in units of beam shift.",
        rich_help_panel=_HOW)] = None,
    seed: Annotated[int, typer.Option(
        metavar="N", min=0, help="Of kmeans.", rich_help_panel=_HOW)] = 0,
    from_: Annotated[Path | None, typer.Option(
        "--from", metavar="FILE", help="Take the groups of this STAR file, not of a session.",
        rich_help_panel=_HOW)] = None,
    movies: Annotated[Path | None, typer.Option(
        metavar="DIR", help="Where the movies lie, as RELION is to see it; default: FOLDER itself.",
        rich_help_panel=_NEW)] = None,
    prefix: Annotated[str | None, typer.Option(
        metavar="DIR", help="Write names in this folder without looking for files.",
        rich_help_panel=_NEW)] = None,
    suffix: Annotated[str, typer.Option(
        metavar="TEXT", help="With --prefix: end of the names.",
        rich_help_panel=_NEW)] = "_Fractions.mrc",
    table: Annotated[str, typer.Option(
        metavar="NAME", help="movies or micrographs.", rich_help_panel=_NEW)] = "movies",
    pixel_size_angstrom: Annotated[float | None, typer.Option(
        metavar="X", help="Of the movies as RELION reads them: super-resolution, EER upsampling; "
                          "default: of the XML files.",
        rich_help_panel=_NEW)] = None,
    voltage_kv: Annotated[float | None, typer.Option(
        metavar="X", help="Default: of the XML files.", rich_help_panel=_NEW)] = None,
    cs_mm: Annotated[float, typer.Option(
        metavar="X", help="Spherical aberration.", rich_help_panel=_NEW)] = 2.7,
    amplitude_contrast: Annotated[float, typer.Option(
        metavar="X", help="0 to 1.", rich_help_panel=_NEW)] = 0.1,
    mtf: Annotated[str | None, typer.Option(
        metavar="FILE", help="MTF of the detector, as RELION is to see it.",
        rich_help_panel=_NEW)] = None,
    group_name: Annotated[str, typer.Option(
        metavar="TEXT", help="Names of groups, before the number.",
        rich_help_panel=_NEW)] = "opticsGroup",
    star: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Movies, micrographs or particles to be grouped or cleaned.",
        rich_help_panel=_OLD)] = None,
    drop: Annotated[list[Path] | None, typer.Option(
        metavar="LIST", help="Leave out the micrographs of a list of bad files; repeatable.",
        rich_help_panel=_OLD)] = None,
    replace: Annotated[bool, typer.Option(
        "--replace", help="Replace several groups that are there already.",
        rich_help_panel=_OLD)] = False,
    unmatched: Annotated[str, typer.Option(
        metavar="NAME", help="Rows of no exposure: error, drop or keep.",
        rich_help_panel=_OLD)] = "error",
    prune: Annotated[bool, typer.Option(
        "--prune", help="Take groups without micrographs out, and number the rest anew.",
        rich_help_panel=_OLD)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> int:  # fmt: skip
    """Put exposures that share a beam shift into optics groups of RELION or cryoSPARC."""
    given = {"movies": movies, "prefix": prefix, "mtf": mtf, "voltage-kv": voltage_kv,
             "pixel-size-angstrom": pixel_size_angstrom}  # fmt: skip
    _check(folder, from_, star, out, cryosparc, drop, given)
    if star is None and (replace or unmatched != "error"):
        raise ConfigError("--replace and --unmatched are for a file given with --star")
    for path in (out, cryosparc):
        parse.output_file(path)
    from refimpl.epu.optics_star import OpticsSettings
    from refimpl.epu.stems import read_name_list

    settings = OpticsSettings(cs_mm, amplitude_contrast, pixel_size_angstrom, voltage_kv, mtf)
    bad = read_name_list(drop or ())
    how = How(by, method, level, n_groups, linkage, eps, seed, group_name)
    found = None
    if from_ is not None:
        found = groups_of_file(from_)
    elif folder is not None:
        found = groups_of_session(folder, how)
    done = Done(found, bad)
    if star is not None:
        done.change(star, replace_groups=replace, unmatched=unmatched)
    elif out is not None:
        assert folder is not None  # _check saw to it
        if movies is None and prefix is None and not folder.is_dir():
            raise ConfigError("a table of exposures says nothing of movies: give --movies DIR or "
                              "--prefix DIR", path=folder, key="movies")  # fmt: skip
        done.make(movies or folder, prefix, suffix, table, settings)
    if prune:
        done.prune()
    done.write(out, cryosparc)
    typer.echo(done.json() if as_json else "\n".join(done.sentences()))
    return 0


def _check(
    folder: Path | None,
    from_: Path | None,
    star: Path | None,
    out: Path | None,
    cryosparc: Path | None,
    drop: list[Path] | None,
    new: dict[str, Any],
) -> None:
    """Refuse options that do not go together."""
    if folder is not None and from_ is not None:
        raise ConfigError("a session and --from: give one of them", key="from")
    if folder is None and from_ is None and not (drop and star):
        raise ConfigError("nothing to group: give a session, --from FILE, or --drop with --star")
    if out is None and cryosparc is None:
        raise ConfigError("nothing to write: give -o FILE or --cryosparc FILE", key="out")
    if out is None and star is not None:
        raise ConfigError("--star needs -o FILE: a file is never changed in place", key="out")
    if cryosparc is not None and folder is None and from_ is None:
        raise ConfigError("--cryosparc needs a session or --from FILE", key="cryosparc")
    if out is not None and folder is None and star is None:
        raise ConfigError("--from with -o needs --star: the file to be grouped", key="star")
    for source in (star, from_):
        if out is not None and source is not None and out.exists() and out.samefile(source):
            raise ConfigError("-o is the file that is read: name another", path=out, key="out")
    for name, value in new.items():
        if value is not None and (star is not None or out is None):
            raise ConfigError(f"--{name} is for a new STAR file; one given with --star keeps its "
                              "own", key=name)  # fmt: skip
    if new["movies"] is not None and new["prefix"] is not None:
        raise ConfigError("--movies and --prefix: give one of them", key="movies")
