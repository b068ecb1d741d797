"""Steps of ``refimpl epu groups``: groups of a session or file, the STAR file, what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.cli import parse
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.epu.optics_groups import OpticsGroups
    from refimpl.epu.optics_star import OpticsSettings
    from refimpl.io.star import StarFile

__all__ = ["Done", "How", "groups_of_file", "groups_of_session"]

_LISTED = 3


@dataclass(frozen=True)
class How:
    """Options that say how exposures are grouped."""

    by: str
    method: str
    level: str
    n_groups: int | None
    linkage: str
    eps: float | None
    seed: int
    prefix: str


def groups_of_session(folder: Path, how: How) -> OpticsGroups:
    """Groups of the exposures of a folder; a note says how many files are of no use."""
    from dataclasses import replace

    from refimpl.epu.optics_groups import group_by_area, group_by_beam_shift
    from refimpl.epu.session import read_session

    if how.by not in ("beam-shift", "area"):
        raise ConfigError(f"--by {how.by!r}: expected beam-shift or area", key="by")
    with parse.progress() as tell:
        session = read_session(
            folder, source="csv" if folder.is_file() else "epu",
            progress=lambda n, of: tell("reading", n / max(of, 1)),
        )  # fmt: skip
    if how.by == "area":
        found = group_by_area(session, prefix=how.prefix)
    else:
        found = group_by_beam_shift(
            session, how.method, how.n_groups, level=how.level, prefix=how.prefix,
            linkage=how.linkage, eps=how.eps, seed=how.seed,
        )  # fmt: skip
    lost = session.errors[~session.errors["used"].astype(bool)]
    if not len(lost):
        return found
    note = f"files of the session not used: {len(lost)}, {lost['path'].iat[0]} first"
    return replace(found, notes=(*found.notes, note))


def groups_of_file(path: Path) -> OpticsGroups:
    """Groups of a STAR file."""
    from refimpl.epu.optics_star import groups_of_star
    from refimpl.io.star import read_star

    return groups_of_star(read_star(path))


@dataclass
class Done:
    """What was found, and what is to be written.

    Attributes
    ----------
    groups
        Of the exposures; None where a file is only cleaned.
    bad
        Exposures to leave out.
    """

    groups: OpticsGroups | None
    bad: Sequence[str]
    star: StarFile | None = None
    said: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def change(self, path: Path, *, replace_groups: bool, unmatched: str) -> None:
        """Clean a file that exists, and group it."""
        from refimpl.epu.optics_transfer import drop, regroup
        from refimpl.io.star import read_star

        self.star = read_star(path)
        if self.bad:
            cleaned = drop(self.star, self.bad)
            self.star = cleaned.star
            gone = cleaned.n_before - cleaned.n_after
            self.said.append(f"{gone} of {cleaned.n_before} rows left out, of "
                             f"{len(cleaned.matched)} micrographs")  # fmt: skip
            self.numbers |= {"rows_dropped": gone, "micrographs_dropped": cleaned.matched}
            self._list(
                "not_in_file", cleaned.unmatched, "names of the list that are not in the file"
            )
            if self.groups is None:
                self.said += cleaned.notes
        if self.groups is None:
            return
        changed = regroup(
            self.star, self.groups, replace_groups=replace_groups, unmatched=unmatched
        )
        self.star = changed.star
        self.said.append(f"{changed.n_after} of {changed.n_before} rows grouped, of "
                         f"{len(changed.matched)} exposures")  # fmt: skip
        self.said += changed.notes
        fate = "left out" if unmatched == "drop" else "as they were"
        self._list("unmatched", changed.unmatched, f"micrographs of no exposure, {fate}")

    def make(
        self,
        movies: Path,
        prefix: str | None,
        suffix: str,
        table: str,
        settings: OpticsSettings,
    ) -> None:
        """Make a new file, with the names that are found or made."""
        from refimpl.epu.optics_names import find_names, made_names
        from refimpl.epu.optics_star import new_star

        assert self.groups is not None
        stems = self.groups.stems
        if prefix is not None:
            found = made_names(stems, prefix, suffix)
        else:
            with parse.progress() as tell:
                found = find_names(
                    stems, movies, table=table, progress=lambda n, of: tell("movies", 0.0)
                )
        bad = {stem.lower() for stem in self.bad}
        names = tuple(
            None if stem.lower() in bad else name
            for stem, name in zip(stems, found.names, strict=True)
        )
        self.star = new_star(self.groups, names, settings, table=table)
        self.numbers["rows"] = len(names) - names.count(None)
        self._left_out()
        what = table.removesuffix("s")
        missing = [stem for stem in found.missing if stem.lower() not in bad]
        self._list("missing", missing, f"exposures without a {what}, left out")
        self._list("several", found.several, f"exposures with several {table}, one counts")
        self._list("strangers", found.strangers, "movies of no exposure")
        self.said += found.notes

    def prune(self) -> None:
        """Take out groups without rows."""
        from refimpl.epu.optics_transfer import prune

        if self.star is None:
            raise ConfigError("--prune is for a STAR file: give -o FILE", key="prune")
        before = len(self.star.table("optics"))
        self.star = prune(self.star)
        gone = before - len(self.star.table("optics"))
        self.said.append(f"{gone} groups without micrographs taken out, the rest numbered anew"
                         if gone else "no group is without micrographs")  # fmt: skip

    def write(self, out: Path | None, cryosparc: Path | None) -> None:
        """Write both files, or none."""
        from refimpl.epu.optics_names import exposure_groups_csv
        from refimpl.io.star import write_star
        from refimpl.io.together import together

        paths = [path for path in (out, cryosparc) if path is not None]
        with together(paths) as places:
            for path, place in zip(paths, places, strict=True):
                if path == out:
                    assert self.star is not None  # made or changed
                    write_star(place, self.star)
                else:
                    assert self.groups is not None
                    text = exposure_groups_csv(self.groups.without(self.bad))
                    place.write_bytes(text.encode("utf-8", "surrogateescape"))
        if self.star is None:
            self._left_out()
        self.said += [f"wrote {path}" for path in paths]
        self.numbers["files"] = [str(path) for path in paths]

    def sentences(self) -> tuple[str, ...]:
        """What was done, in words."""
        return (*(self.groups.sentences() if self.groups else ()), *self.said)

    def json(self) -> str:
        """What was done, for machines."""
        from refimpl.io.atomic import json_text

        groups = self.groups.as_dict() if self.groups else None
        return json_text({"grouping": groups, **self.numbers, "sentences": self.sentences()})

    def _left_out(self) -> None:
        if self.bad and self.groups is not None:
            known = {stem.lower() for stem in self.groups.stems}
            gone = [stem for stem in self.bad if stem.lower() in known]
            self.said.append(f"exposures of the list left out: {len(gone)}")
            self.numbers["micrographs_dropped"] = gone
            strange = [stem for stem in self.bad if stem.lower() not in known]
            self._list("not_in_session", strange, "names of the list that are of no exposure")

    def _list(self, key: str, names: Sequence[str], words: str) -> None:
        """Say how many, and the first; all of them are in the JSON."""
        self.numbers[key] = list(names)
        if names:
            more = ", ..." if len(names) > _LISTED else ""
            self.said.append(f"{words}: {len(names)} ({', '.join(names[:_LISTED])}{more})")
