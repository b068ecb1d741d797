"""``refimpl validate``: figures that the published sources state, with ours beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from refimpl.cli.rules import goes_without
from refimpl.errors import ConfigError

__all__ = ["EXAMPLES", "validate"]

QUICK_S = 5.0
"""Longest that a claim of --quick is marked with [s]."""

EXAMPLES = """\b
Examples:
  refimpl validate -o claims.html --json claims.json --junit claims.xml
  refimpl validate --only 'metrology/*' --quick
  refimpl validate --only epu --list

The claims are TOML files of the source code (validation/claims), and so this runs in a checkout, or
with --claims DIR. Data that are not here (REFIMPL_DATA) make a claim one that cannot be
checked. Exit: 0 every verdict is the one that its row records, that is met, or not
met with our reading of the difference; 1 at least one is not; 2 bad input."""


@goes_without("names", "out", "json_file", "junit_file", "quick")
def validate(
    only: Annotated[list[str] | None, typer.Option(
        "--only", metavar="NAME", help="Ids, systems or sources; * and ? as in a shell. Can be "
                                       "given several times.")] = None,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="FILE.html", help="Write a page with everything.")] = None,
    json_file: Annotated[Path | None, typer.Option(
        "--json", metavar="FILE", help="Write everything as JSON; '-' prints it, and no "
                                       "table.")] = None,
    junit_file: Annotated[Path | None, typer.Option(
        "--junit", metavar="FILE.xml", help="Write JUnit's XML.")] = None,
    quick: Annotated[bool, typer.Option(
        "--quick", help=f"Leave out what is marked as longer than {QUICK_S:.0f} s.")] = False,
    names: Annotated[bool, typer.Option(
        "--list", help="Print the ids with what they state; compute nothing.")] = False,
    claims: Annotated[Path | None, typer.Option(
        "--claims", metavar="DIR", help="Folder 'validation' of a checkout. Default: that of the "
                                        "working directory, or the one beside this "
                                        "package.")] = None,
) -> int:  # fmt: skip
    """Check the figures that the published sources state."""
    from refimpl.io.atomic import check_target, json_text, write_json, write_text
    from refimpl.testing import claims_output as output
    from refimpl.testing.claims import choose, claims_root, read_claims, read_sources
    from refimpl.testing.claims_run import run_claims

    root = claims_root(claims)
    sources = read_sources(root)
    rows = choose(read_claims(root), only or ())
    if names:
        for row in rows:
            typer.echo(f"{row.id}  {row.quantity}: {output.shown(row.value)} {row.unit}".rstrip())
        return 0
    if not rows:
        raise ConfigError(f"{root / 'claims'} holds no claims")
    printed = json_file is not None and str(json_file) == "-"
    for path in (out, None if printed else json_file, junit_file):
        if path is not None:
            check_target(path)  # before minutes are spent
    with _fixtures_beside(root):
        verdicts = run_claims(
            rows, root, at_most_s=QUICK_S if quick else None, progress=_progress(len(rows))
        )
    if printed:
        typer.echo(json_text(output.as_dict(verdicts, sources)))
    else:
        typer.echo(output.table(verdicts))
        if json_file is not None:
            write_json(json_file, output.as_dict(verdicts, sources))
    if junit_file is not None:
        write_text(junit_file, output.junit(verdicts))
    if out is not None:
        from refimpl.report.claims import write_claims_page

        write_claims_page(out, verdicts, sources)
    return 0 if all(v.is_expected for v in verdicts) else 1


@contextmanager
def _fixtures_beside(root: Path) -> Iterator[None]:
    """Let an installed package find the golden data of the checkout that the claims are of."""
    key, beside = "REFIMPL_FIXTURES", root.resolve().parent / "data_fixtures"
    if os.environ.get(key) or not beside.is_dir():
        yield
        return
    os.environ[key] = str(beside)
    try:
        yield
    finally:
        del os.environ[key]


def _progress(of: int) -> Callable[[int, int], None]:
    """Say on stderr how far it is, every tenth."""
    steps = max(1, of // 10)

    def say(done: int, of: int) -> None:
        if done % steps == 0 or done == of:
            typer.echo(f"{done} of {of} claims", err=True)

    return say
