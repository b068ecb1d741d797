"""``refimpl metrology report``, ``view`` and ``simulate``: pages, pictures, data of known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError

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

    from refimpl.cli.metrology_images import of_experiment
    from refimpl.io.dials_files import read_expt

    part = _window(window)
    experiment = read_expt(experiments)[0]
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
    outliers: Annotated[float, typer.Option(
        metavar="X", help="Fraction of gross errors.")] = 0.02,
) -> int:  # fmt: skip
    """Simulate indexed reflections on panels that are off; writes the truth beside them.

    DIR gets start.expt and simulated.refl, as a refinement reads them, and truth.expt.
    """
    from refimpl.io.atomic import write_json
    from refimpl.io.dials_files import read_expt, write_expt, write_refl
    from refimpl.metrology.simulate import RecipeNoise, sixty_panels
    from refimpl.metrology.simulate import simulate as run

    noise = RecipeNoise(outliers=outliers)
    if tutorial:
        if experiments is not None or d_min_angstrom is not None:
            raise ConfigError("--tutorial has its own experiment and resolution limit")
        from refimpl.metrology.tutorial_twin import tutorial_twin

        made = tutorial_twin(seed)
    elif experiments is None:
        if d_min_angstrom is not None:
            raise ConfigError("--d-min-angstrom goes with experiments of your own")
        made = sixty_panels(seed, noise)
    else:
        models = read_expt(experiments)
        if len(models) != 1 or models[0].crystal is None or models[0].is_still:
            raise ConfigError("expected one rotation scan with a crystal", path=experiments)
        from refimpl.metrology.predictions import highest_resolution

        limit = d_min_angstrom or highest_resolution(models[0])
        made = run(models[0], d_min_angstrom=limit, noise=noise, seed=seed)
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
