"""``refimpl metrology report``, ``view`` and ``simulate``: pages, pictures, data of known truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.metrology.simulate import SimulatedMetrology

__all__ = ["report", "simulate", "view"]

Models = Annotated[Path, typer.Argument(metavar="EXPT", help="Experiments, .expt.")]


def report(
    experiments: Annotated[Path, typer.Argument(metavar="EXPT", help="Refined experiments.")],
    reflections: Annotated[Path, typer.Argument(
        metavar="REFL", help="Reflections; those marked as used count.")],
    before: Annotated[Path, typer.Option(
        metavar="EXPT", help="Experiments that the refinement began with.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder of the page.")],
) -> int:  # fmt: skip
    """Write figures and report.html of any refinement, also of another program's files."""
    from refimpl.io.dials_files import check_pair, read_expt

    refined, table = files.read_pair(experiments, reflections)
    start = read_expt(before)
    check_pair(table, start)
    from refimpl.report.metrology import view_of_files, write_report

    shown = view_of_files(start, refined, table, title=experiments.name)
    with parse.output_folder(out):
        page = write_report(shown, out)
    typer.echo(f"wrote {page}")
    return 0


def view(
    experiments: Models,
    reflections: Annotated[list[Path] | None, typer.Argument(
        metavar="REFL", help="Reflections to mark: found, predicted or both.")] = None,
    image: Annotated[int | None, typer.Option(
        metavar="N", help="Number of the image; default: the first.")] = None,
    window: Annotated[str | None, typer.Option(
        metavar="F0:F1,S0:S1", help="Part of the image along fast and slow [px].")] = None,
    width: Annotated[float, typer.Option(
        metavar="W", min=0.0, help="Marks within this many images of the middle.")] = 0.5,
    out: Annotated[Path, typer.Option(
        "-o", "--out", metavar="FILE", help="PNG to write.")] = Path("view.png"),
) -> int:  # fmt: skip
    """Write one image with the spots that were found and predicted, as PNG."""
    import numpy as np

    from refimpl.cli.metrology_images import of_experiment, together
    from refimpl.io.dials_files import read_expt

    part = _window(window)
    models = read_expt(experiments)
    if not models:
        raise ConfigError("no experiment in the list", path=experiments)
    # several crystals on the same images are one scan, or one still
    apart = [e for k, e in enumerate(models) if all(e.imageset != o.imageset for o in models[:k])]
    experiment = together(apart, experiments)
    detector = experiment.detector
    if detector is None:
        raise ConfigError("the experiment has no detector", path=experiments)
    tables = [files.read_table(path) for path in reflections or ()]
    parse.output_file(out)
    images = of_experiment(experiment, experiments)
    number = images.first if image is None else image
    pixels = images[number - images.first]
    from refimpl.report.metrology_image import image_figure, marks, write_image

    places = [
        np.concatenate(
            [np.empty((0, 2)), *(marks(t, name, detector, number - 1, width) for t in tables)]
        )
        for name in ("xyzobs.px.value", "xyzcal.px")
    ]
    figure = image_figure(
        pixels, detector, *places, title=f"{experiments.name}, image {number}", window=part
    )
    write_image(figure, out)
    typer.echo(f"{len(places[0])} found, {len(places[1])} predicted\nwrote {out}")
    return 0


def _window(text: str | None) -> tuple[int, int, int, int] | None:
    """fast0, slow0, fast1, slow1 of ``F0:F1,S0:S1``."""
    if text is None:
        return None
    try:
        (x0, x1), (y0, y1) = ([int(v) for v in span.split(":")] for span in text.split(","))
    except ValueError as exc:
        raise ConfigError(f"--window {text!r}: expected F0:F1,S0:S1 in pixels") from exc
    return x0, y0, x1, y1


def simulate(
    out: Annotated[Path, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for the data; made if missing.")],
    experiments: Annotated[Path | None, typer.Argument(
        metavar="EXPT", help="One experiment with a crystal to start from; default: thaumatin "
                               "on a Pilatus 6M of 60 panels.")] = None,
    tutorial: Annotated[bool, typer.Option(
        "--tutorial", help="The twin of the published tutorial's data: 186,000 reflections.")
    ] = False,
    d_min_angstrom: Annotated[float | None, typer.Option(
        metavar="D", help="Resolution limit, with EXPT.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    outliers: Annotated[float | None, typer.Option(
        metavar="X", help="Fraction of gross errors; default 0.02.")] = None,
    per_panel: Annotated[int | None, typer.Option(
        "--reflections-per-panel", metavar="N", min=1, help="As many on every panel, with EXPT; "
                                                            "default: all that hit.")] = None,
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="NAME=VALUE", help="Size of errors, value as in TOML: "
                                            "position_mm=[0.01,0.02]; with EXPT that of offsets, "
                                            "too: shift_mm=[0.1,0.1,0.2].")] = None,
) -> int:  # fmt: skip
    """Simulate indexed reflections on panels that are off; writes the truth beside them.

    DIR gets start.expt and simulated.refl, as a refinement reads them, and truth.expt.
    """
    from refimpl.io.atomic import write_json
    from refimpl.io.dials_files import write_expt, write_refl

    sizes = parse.settings(set_ or ()) | ({} if outliers is None else {"outliers": outliers})
    if experiments is None and per_panel is not None:
        raise ConfigError("--reflections-per-panel goes with experiments of your own")
    if tutorial:
        if experiments is not None or d_min_angstrom is not None:
            raise ConfigError("--tutorial has its own experiment and resolution limit")
        if sizes:
            raise ConfigError(f"--tutorial has its own errors: {', '.join(sizes)} cannot be set")
        from refimpl.metrology.tutorial_twin import tutorial_twin

        made = tutorial_twin(seed)
    elif experiments is None:
        if d_min_angstrom is not None:
            raise ConfigError("--d-min-angstrom goes with experiments of your own")
        from refimpl.metrology.simulate import RecipeNoise, sixty_panels

        made = sixty_panels(seed, _sized(sizes, RecipeNoise)[0])
    else:
        made = _of_experiment(experiments, d_min_angstrom, per_panel, sizes, seed)
    with parse.output_folder(out):
        write_expt(out / "start.expt", made.start)
        write_expt(out / "truth.expt", made.truth)
        write_refl(out / "simulated.refl", made.table)
        write_json(
            out / "truth.json",
            {"seed": seed, "values": made.values.tolist(), "outliers": int(made.outlier.sum())},
        )
    typer.echo(f"{len(made.table)} reflections on {len(made.start[0].detector or ())} panels")
    typer.echo(f"wrote {out / 'simulated.refl'}")
    return 0


def _of_experiment(
    path: Path, d_min_angstrom: float | None, per_panel: int | None, sizes: dict[str, Any],
    seed: int,
) -> SimulatedMetrology:  # fmt: skip
    """Data of an experiment of one's own."""
    from refimpl.io.dials_files import read_expt
    from refimpl.metrology.predictions import highest_resolution
    from refimpl.metrology.simulate import Offsets, RecipeNoise, simulate

    models = read_expt(path)
    if len(models) != 1 or models[0].crystal is None or models[0].is_still:
        raise ConfigError("expected one rotation scan with a crystal", path=path)
    if models[0].beam is None or models[0].detector is None:
        raise ConfigError("the experiment has no beam or no detector", path=path)
    noise, offsets = _sized(sizes, RecipeNoise, Offsets)
    limit = highest_resolution(models[0]) if d_min_angstrom is None else d_min_angstrom
    counts = None if per_panel is None else [per_panel] * len(models[0].detector or ())
    return simulate(
        models[0], d_min_angstrom=limit, counts=counts, offsets=offsets, noise=noise, seed=seed
    )


def _sized(sizes: dict[str, Any], *kinds: type) -> list[Any]:
    """Values of the kinds with the sizes that are given.

    Raises
    ------
    ConfigError
        A name that none of them has, or another number of numbers.
    """
    plain = [k() for k in kinds]
    known = {
        name: getattr(own, name)
        for own in plain
        for name in own.__dataclass_fields__
        if getattr(own, name) is not None
    }
    for name, value in sizes.items():
        if name not in known:
            raise ConfigError(f"unknown size {name!r}: expected some of {', '.join(known)}")
        n = len(known[name]) if isinstance(known[name], tuple) else 0
        numbers = value if isinstance(value, list) else [value]
        good = all(isinstance(v, int | float) and 0.0 <= v < float("inf") for v in numbers)
        if not good or isinstance(value, list) != (n > 0) or (n and len(numbers) != n):
            raise ConfigError(
                f"{name} = {value}: expected {n or 'one'} number{'s' if n else ''}, none negative"
            )
    return [
        type(own)(**{k: tuple(v) if isinstance(v, list) else v for k, v in sizes.items()
                     if k in own.__dataclass_fields__})
        for own in plain
    ]  # fmt: skip
