"""``refimpl conform``: hold a code to the quantities of the conformance kit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refimpl.cli import parse
from refimpl.cli.rules import goes_with, goes_without
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.testing.conform import Report
    from refimpl.testing.conform_subjects import Subject

__all__ = ["EXAMPLES", "conform"]

EXAMPLES = """\b
Examples:
  refimpl conform                                      both backends of refimpl
  refimpl conform --command "./mycode {input} {output}" --only "misorientation"
  refimpl conform --object mypackage.adapter --known-failures known.txt --junit out.xml
  refimpl conform --show pixel_to_lab/random-003       inputs and outputs of one case

A command is run once a quantity, on a file of its cases; it ends with 77 where it does not have
the quantity. An object has a function a quantity. Exit 0: all that is offered is met; 1: not."""


_STOPS = ("show", "as_list", "write_vectors")


@goes_with("command", "suffix", "timeout")
@goes_without(_STOPS, "command", "target", "backend", "known_failures", "as_json", "junit")
@goes_without("show", "only", "as_list", "write_vectors")
@goes_without(("as_list", "write_vectors"), "vectors")
@goes_without("as_list", "write_vectors")
def conform(
    command: Annotated[str | None, typer.Option(
        metavar='"CODE {input} {output}"', help="Code under test, a program.")] = None,
    target: Annotated[str | None, typer.Option(
        "--object", metavar="MODULE[:ATTRIBUTE]", help="Code under test, in Python.")] = None,
    backend: Annotated[str | None, typer.Option(
        help="Code under test, a backend of refimpl: python or cython.")] = None,
    suffix: Annotated[str, typer.Option(
        "--format", help="Files of --command: json, h5 or txt.")] = "json",
    only: Annotated[list[str] | None, typer.Option(
        metavar="QUANTITY[/CASE]", help="May be repeated; wildcards allowed.")] = None,
    known_failures: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Ids that are known to fail, one a line, # for comments.")] = None,
    vectors: Annotated[Path | None, typer.Option(
        metavar="DIR", help="Stored vectors. Default: REFIMPL_VECTORS, those of the checkout, or "
                            "made from the definitions.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE",
                                             help="Instead of stdout.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="JUnit XML.")] = None,
    timeout: Annotated[float, typer.Option(
        min=0.1, metavar="SECONDS", help="Longest run of --command for one quantity.")] = 300.0,
    show: Annotated[str | None, typer.Option(
        metavar="CASE", help="Print one case with its expected outputs, and stop.")] = None,
    as_list: Annotated[bool, typer.Option(
        "--list", help="Print the quantities with their arrays, and stop.")] = False,
    write_vectors: Annotated[Path | None, typer.Option(
        metavar="DIR", help="Write vectors from the definitions, JSON and HDF5, and stop.")] = None,
) -> int:  # fmt: skip
    """Hold a code to the quantities of the conformance kit; without a code, refimpl itself."""
    from refimpl.testing import conform as kit
    from refimpl.testing import conform_report, conform_show

    folder = kit.vectors_root() if vectors is None else vectors
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"--vectors {folder}: no such folder")
    if as_list:
        return _say(conform_show.list_text(only or ()), out)
    if show is not None:
        return _say(conform_show.case_text(*kit.case_named(show, folder)), out)
    if write_vectors is not None:
        paths = kit.write_vectors(write_vectors, only or ())
        return _say("\n".join(str(p) for p in paths), out)
    known = _known(known_failures)
    subjects = _subjects(command, target, backend, suffix, timeout)
    if junit is not None and len(subjects) > 1:
        raise ConfigError("--junit: name one code; without one there are two backends: --backend")
    for path in (out, junit):  # before the work
        parse.output_file(path)
    reports = [
        kit.conform(subject, only=only or (), known=known, folder=folder) for subject in subjects
    ]
    if junit is not None:
        _write_junit(junit, reports)
    if as_json:
        from refimpl.io.atomic import json_text

        text = json_text([conform_report.as_dict(r) for r in reports])
    else:
        text = "\n\n".join(conform_report.table_text(r) for r in reports)
    _say(text, out)
    return 0 if all(r.is_met for r in reports) else 1


def _subjects(
    command: str | None, target: str | None, backend: str | None, suffix: str, timeout: float
) -> list[Subject]:
    from refimpl.dispatch import BACKENDS, available_backends
    from refimpl.testing import conform_subjects as subjects

    if sum(word is not None for word in (command, target, backend)) > 1:
        raise ConfigError("conform: expected one of --command, --object and --backend")
    if command is not None:
        return [subjects.Command(command, suffix, timeout)]
    if target is not None:
        return [subjects.PythonObject(subjects.object_named(target), target)]
    if backend is not None and backend not in BACKENDS:
        raise ConfigError(f"--backend {backend!r}: expected one of {', '.join(BACKENDS)}")
    return [subjects.Ours(b) for b in ((backend,) if backend else available_backends())]


def _known(path: Path | None) -> list[str]:
    from refimpl.testing.conform_subjects import read_known_failures

    return [] if path is None else read_known_failures(path)


def _write_junit(path: Path, reports: list[Report]) -> None:
    from refimpl.io.atomic import write_text
    from refimpl.testing.conform_report import junit_text

    write_text(path, junit_text(reports[0]))


def _say(text: str, out: Path | None) -> int:
    from refimpl.io.atomic import write_text

    if out is None:
        typer.echo(text)
    else:
        write_text(out, text.rstrip("\n") + "\n")
    return 0
