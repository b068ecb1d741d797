"""``refimpl epu simulate``: a session with known truth, as a folder of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.cli.rules import goes_without
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.epu.simulate import Simulated
    from refimpl.epu.simulate_files import Written

__all__ = ["EXAMPLES", "simulate"]

EXAMPLES = """\b
Examples:
  refimpl epu simulate -o session
  refimpl epu simulate --varied 7 --no-images -o session
  refimpl epu simulate --set pattern=3x3 --set pitch_um=4 --set shots=1 -o session
  refimpl epu simulate --set instrument.voltage_kv=200 --set lacey=true -o session
  refimpl epu simulate --list

Files: the folder of an EPU session (XML, pictures, .dm, movies of no content in RawData) and
truth.json: the calibration, the true places, the duplicates, what is wrong with the files.
Exit: 0 done; 2 bad input."""


@goes_without("list_", "out", "seed", "images", "image_px", "artefacts", "as_json")
def simulate(
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder of the session; new or empty.")] = None,
    seed: Annotated[int | None, typer.Option(
        metavar="N", min=0, help="Of everything that is random; default 0, or that of --varied.",
    )] = None,
    varied: Annotated[int | None, typer.Option(
        metavar="N", min=0, help="Take the settings of session N of the benchmark.")] = None,
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="NAME=VALUE", help="A setting by name; may be repeated.")] = None,
    list_: Annotated[bool, typer.Option(
        "--list", help="Print the settings as they would be used, and stop.")] = False,
    images: Annotated[bool, typer.Option(help="Pictures of exposures, holes, squares.")] = True,
    image_px: Annotated[int, typer.Option(
        metavar="N", help="Side of the pictures.")] = 128,
    artefacts: Annotated[bool, typer.Option(
        help="Broken XML, copies, missing pictures, fractions, movies.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> int:  # fmt: skip
    """Simulate an EPU session with duplicates, near misses and broken files."""
    from refimpl.epu.simulate import simulate as run
    from refimpl.epu.simulate import varied as settings_of
    from refimpl.epu.simulate_settings import SimulationSettings, settings_from

    base = SimulationSettings() if varied is None else settings_of(varied)
    settings = settings_from(base, parse.settings(set_ or ()))
    if list_:
        _print_settings(settings)
        return 0
    if out is None:
        raise ConfigError("epu simulate: expected -o DIR", key="out")
    from refimpl.epu.simulate_files import write_session

    number = seed if seed is not None else varied or 0
    made = run(settings, seed=number)
    with parse.progress() as tell:
        written = write_session(
            made, out, images=images, artefacts=artefacts, image_px=image_px, seed=number,
            progress=lambda done, of: tell("exposures", done / max(of, 1)),
        )  # fmt: skip
    _print_numbers(made, written, as_json)
    return 0


def _print_settings(settings: Any) -> None:
    from dataclasses import fields

    from refimpl.io.atomic import json_text

    for f in fields(settings):
        value = getattr(settings, f.name)
        if f.name == "instrument":
            for inner in fields(value):
                text = json_text(getattr(value, inner.name))
                typer.echo(f"instrument.{inner.name} = {text}")
        else:
            typer.echo(f"{f.name} = {json_text(value)}")


def _print_numbers(made: Simulated, written: Written, as_json: bool) -> None:
    from collections import Counter

    from refimpl.io.atomic import json_text

    truth = made.truth
    kinds = Counter(truth.kind[truth.bad].tolist())
    numbers = {
        "folder": written.folder, "files": written.files, "n_exposures": len(truth.bad),
        "n_duplicates": int(truth.bad.sum()), "kinds": dict(sorted(kinds.items())),
        "k": truth.k_um, "matrix": truth.matrix_um, "pitch_um": truth.pitch_um,
        "unusable": [list(pair) for pair in written.unusable],
    }  # fmt: skip
    if as_json:
        typer.echo(json_text(numbers))
        return
    words = ", ".join(f"{count} {name}" for name, count in sorted(kinds.items()))
    typer.echo(f"{len(truth.bad)} exposures, {truth.bad.sum()} of them duplicates ({words})")
    typer.echo(f"k = {truth.k_um:.3f} um, matrix = {truth.matrix_um.round(4).tolist()}")
    typer.echo(f"wrote {written.files} files to {written.folder}")
