"""``refimpl centring evaluate``: a trained net judged, with the thesis's figures on one page."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.cli.centring_options import crop_rule
from refimpl.cli.rules import goes_with, refuse
from refimpl.cli.with_options import Options, with_options
from refimpl.errors import ConfigError, FormatError

if TYPE_CHECKING:
    from refimpl.centring.evaluation import Evaluation

__all__ = ["EXAMPLES", "evaluate"]

EXAMPLES = """\b
Examples:
  refimpl centring evaluate run/best.ckpt -o report
  refimpl centring evaluate run/best.ckpt pairs.csv --split run/split.json -o report
  refimpl centring evaluate run/best.ckpt simulated:40 --seed 7 --aim 50 --json
  refimpl centring evaluate classes/best.ckpt loops -o report

SOURCE: as of refimpl centring train; default: what run.json beside the checkpoint names. Parts are
those of split.json beside it: crystals that it does not know are "new". A checkpoint of refimpl
centring classify is judged on labelled pictures.
DIR gets report.html, figures, evaluation.json, predictions.csv.
Exit: 0 done; 2 bad input."""

_AIM, _PAGE = "Aim and heat maps", "Page"
_VIEWS, _MAPS = 20, 6
_HOW = ("mode", "turns", "threads")
_GRID = ("step_um", "smooth_um")


def _aim_options(
    aim: Annotated[int | None, typer.Option(
        metavar="N", min=0, help="Aim at N simulated crystals of known truth; default: 20 where "
        "SOURCE is simulated, else 0.", rich_help_panel=_AIM)] = None,
    maps: Annotated[int, typer.Option(
        metavar="N", min=0, help="Heat maps on the page of -o.", rich_help_panel=_AIM)] = _MAPS,
    mode: Annotated[str, typer.Option(
        metavar="NAME", help="exact, dense or auto.", rich_help_panel=_AIM)] = "auto",
    step_um: Annotated[float | None, typer.Option(
        "--step-um", metavar="UM", help="Step of the grid when aiming; default: 8, and 24 crop "
        "by crop.", rich_help_panel=_AIM)] = None,
    turns: Annotated[int, typer.Option(
        metavar="N", help="Average over 1 or all 8 ways to turn the picture.",
        rich_help_panel=_AIM)] = 1,
    smooth_um: Annotated[float, typer.Option(
        "--smooth-um", metavar="UM", help="Smooth the maps when aiming.", rich_help_panel=_AIM)
    ] = 0.0,
    threads: Annotated[int, typer.Option(
        metavar="N", min=1, help="Of torch.", rich_help_panel=_AIM)] = 1,
) -> None:  # fmt: skip
    """Options of the aim and the heat maps."""


@goes_with("out", "maps", "high", "low", "title")
@with_options(_aim_options)
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Trained net.")],
    source: Annotated[str | None, typer.Argument(
        metavar="SOURCE", help="Pictures with counts: CSV, folder, .h5, .npz or simulated:N.",
        show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for the page and its figures.")] = None,
    split: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Parts of the crystals; default: split.json beside CHECKPOINT.")
    ] = None,
    crop: Annotated[str | None, typer.Option(
        metavar="A,B", help="Crops of A + B zoom px, where the checkpoint does not say.")] = None,
    seed: Annotated[int | None, typer.Option(
        metavar="N", min=0, help="Of simulated pictures; default: that of the run.")] = None,
    high: Annotated[float, typer.Option(
        metavar="X", help="Gallery of pictures predicted above.", rich_help_panel=_PAGE)] = 0.7,
    low: Annotated[float, typer.Option(
        metavar="X", help="Gallery of pictures predicted below.", rich_help_panel=_PAGE)] = 0.0,
    title: Annotated[str, typer.Option(
        metavar="TEXT", help="Of the page.", rich_help_panel=_PAGE)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    *, options: Options,
) -> int:  # fmt: skip
    """Judge a net on pictures with counts: errors beside baselines, and where it aims."""
    with nullcontext() if out is None else parse.output_folder(out):
        return _evaluate(options)


def _evaluate(options: Options) -> int:
    from refimpl.centring.classify import load_classifier
    from refimpl.centring.evaluation_files import run_of
    from refimpl.centring.modules import load_regressor
    from refimpl.centring.splits import load_split

    checkpoint, source, split = options["checkpoint"], options["source"], options["split"]
    rule, known = crop_rule(options["crop"]), None if split is None else load_split(split)
    try:
        net: Any = load_regressor(checkpoint)
    except FormatError as error:
        try:
            net = load_classifier(checkpoint)
        except FormatError:
            raise error from None
    run = run_of(checkpoint)
    place = run.source if source is None else source
    if place is None:
        raise ConfigError("SOURCE: expected pictures, no run.json beside the checkpoint names any",
                          key="source")  # fmt: skip
    number = run.seed if options["seed"] is None else options["seed"]
    asked = _Asked(
        net, checkpoint, place, number, options["out"], options["as_json"], options["title"]
    )
    _check_acting(options, asked)
    if not hasattr(net, "target"):
        return _classes(asked, known or run.split, is_given=split is not None)
    from refimpl.centring.evaluation import evaluate as judge
    from refimpl.centring.evaluation import parts_of
    from refimpl.centring.evaluation_files import open_for

    with parse.progress() as tell:
        samples = open_for(
            net, place, rule=rule, seed=number,
            progress=lambda done, of: tell("pictures", done / max(of, 1)),
        )  # fmt: skip
        parts = None
        if known is None and run.split is not None:
            parts = parts_of(samples, run.split)
        found = judge(net, samples, known, part=parts, checkpoint=checkpoint, source=place)
        found = _aimed(found, asked, rule, options, tell)
    _finish(found, asked, {name: options[name] for name in ("high", "low")})
    return 0


def _check_acting(options: Options, asked: _Asked) -> None:
    """Refuse what would not act on this net and these pictures."""
    if not hasattr(asked.net, "target"):
        names = ("aim", "maps", "crop", "high", "low", *_HOW, *_GRID)
        refuse(evaluate, options, names, "on a classifier")
        return
    if not _aims(options, asked):
        refuse(evaluate, options, _GRID, "without an aim at simulated pictures (--aim N)")
        if asked.out is None or not options["maps"]:
            refuse(evaluate, options, _HOW, "without --aim N, or -o and its heat maps")


def _aims(options: Options, asked: _Asked) -> int:
    """How many simulated pictures the net is to aim at."""
    if options["aim"] is None:
        return _VIEWS if asked.source.startswith("simulated:") else 0
    return int(options["aim"])


class _Asked:
    """What was asked for, but for how."""

    def __init__(
        self, net: Any, checkpoint: Path, source: str, seed: int, out: Path | None, as_json: bool,
        title: str,
    ) -> None:  # fmt: skip
        self.net, self.checkpoint, self.source, self.seed = net, checkpoint, source, seed
        self.out, self.as_json, self.title = out, as_json, title


def _aimed(found: Evaluation, asked: _Asked, rule: Any, options: Options, tell: Any) -> Evaluation:
    """Add aims at simulated pictures, and heat maps of these or of the files."""
    n = _aims(options, asked)
    how = {name: options[name] for name in _HOW}
    shown: tuple[Any, ...] = ()
    notes: list[str] = []
    if n:
        from refimpl.centring.aiming import compare_aims

        aiming = compare_aims(
            asked.net, n, asked.seed, pictures=options["maps"], step_um=options["step_um"],
            smooth_um=options["smooth_um"],
            progress=lambda done, of: tell("aim", done / max(of, 1)), **how,
        )  # fmt: skip
        found, shown = replace(found, aiming=aiming), aiming.shown
    if asked.out is not None and options["maps"] and not asked.source.startswith("simulated:"):
        from refimpl.centring.evaluation_files import pictures_of
        from refimpl.centring.heat_shown import shown_files

        whole = pictures_of(found, asked.source, options["maps"])
        if whole is None:
            notes.append("no heat maps of whole pictures: the source has crops only")
        elif asked.net.crop is None and rule is None:
            notes.append("no heat maps: the checkpoint has no crop rule (--crop A,B gives one)")
        elif any(zoom != zoom for zoom in whole[2].tolist()):
            notes.append("no heat maps: the table has no zoom")
        else:
            shown = shown_files(
                asked.net, *whole, rule=rule,
                progress=lambda done, of: tell("heat maps", done / max(of, 1)), **how,
            )  # fmt: skip
    return replace(found, shown=shown, notes=tuple(notes))


def _finish(found: Evaluation, asked: _Asked, limits: dict[str, float]) -> None:
    from refimpl.io.atomic import json_text

    page = None
    if asked.out is not None:
        from refimpl import hooks
        from refimpl.centring.evaluation_files import write_evaluation

        with parse.output_folder(asked.out):
            write_evaluation(found, asked.out)
            page = hooks.call(
                "centring.report", found, asked.out, title=asked.title, seed=asked.seed, **limits
            )
    if asked.as_json:
        typer.echo(json_text(found.as_dict()))
        return
    for line in found.sentences():
        typer.echo(line)
    if page is not None:
        typer.echo(f"wrote {page}")


def _classes(asked: _Asked, split: Any, *, is_given: bool) -> int:
    """Judge a classifier on labelled pictures."""
    from refimpl.centring.classes import open_classes
    from refimpl.centring.classify import evaluate_classifier
    from refimpl.cli.centring_classify import finish

    with parse.progress() as tell:
        samples = open_classes(
            asked.source, size=int(asked.net.hparams["size"]), seed=asked.seed,
            progress=lambda done, of: tell("pictures", done / max(of, 1)),
        )  # fmt: skip
    if split is not None and not is_given:
        known = {loop for part in ("train", "val", "test") for loop in getattr(split, part)}
        if not set(samples.crystal.tolist()) <= known:
            split = None  # other pictures than those that it was trained on
    found = evaluate_classifier(asked.net, samples, split)
    finish(found, asked.out, asked.as_json, str(asked.checkpoint), asked.source, asked.title)
    return 0
