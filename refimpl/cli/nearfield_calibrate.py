"""``refimpl nearfield calibrate``: distances, beam centres and tilts from a known crystal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import nearfield_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.detector.lit_pixels import LitPixels
    from refimpl.io.nearfield_params import NearfieldParams
    from refimpl.nearfield.calibrate import Calibration

__all__ = ["EXAMPLES", "calibrate"]

EXAMPLES = """\b
Examples:
  refimpl nearfield calibrate ps.txt -o calibrated
  refimpl nearfield calibrate ps.txt --fix tx --wedge -o calibrated

Known crystals are the GridPoints lines, rows of a .mic file; points of one orientation are one
crystal. Needs lit pixels (process-images, simulate). Bounds are OrientTol, LsdTol, LsdRelativeTol,
BCTol and TiltsTol where the file has them.

Files: calibrated.txt (the parameter file with the new geometry), calibration.json.
Exit: 0 done; 2 bad input; 4 too few spots find a blob."""


def calibrate(
    paramfile: files.Paramfile,
    out: Annotated[Path, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for the results; made if missing.")],
    tilts: Annotated[str, typer.Option(
        metavar="NAME", help="shared: one change of the tilts for all distances; each: every "
                             "distance has its own.")] = "shared",
    wedge: Annotated[bool, typer.Option("--wedge", help="Refine the wedge, too.")] = False,
    fix: Annotated[list[str] | None, typer.Option(
        metavar="NAME", help="Parameter to hold, or the first part of its name: tx, Lsd, BC_Z, "
                             "position. May be repeated.")] = None,
    capture_px: Annotated[float, typer.Option(
        metavar="X", help="How far from its prediction a spot is looked for at first.")] = 60.0,
    capture_frames: Annotated[float, typer.Option(
        metavar="X", help="The same in frames.")] = 3.0,
    least_pixels: Annotated[int, typer.Option(
        metavar="N", min=1, help="Smaller blobs are noise.")] = 5,
    as_json: files.AsJson = False,
) -> int:  # fmt: skip
    """Refine the geometry of the detector against a known crystal."""
    from refimpl.nearfield.calibrate import calibrate as run
    from refimpl.nearfield.calibrate_blobs import find_blobs
    from refimpl.nearfield.calibrate_published import crystals_of, settings_of
    from refimpl.nearfield.grid import grid_points

    job = files.load(paramfile)
    files.notes(job.params)
    if tilts not in ("shared", "each"):
        raise ConfigError(f"--tilts {tilts!r}: expected shared or each", key="tilts")
    settings = settings_of(
        job.config, tilts=tilts, wedge=wedge, fix=tuple(fix or ()), capture_px=capture_px,
        capture_frames=capture_frames,
    )  # fmt: skip
    job.params.require("GridPoints")
    crystals = crystals_of(
        grid_points(job.params.rows("GridPoints")), job.setup.space_group, cell=job.setup.cell
    )
    lit = files.lit_pixels(job, job.params.folder)
    with parse.output_folder(out), parse.progress() as tell:
        tell("blobs", 0.1)
        blobs = find_blobs(lit.pixels(), lit.shape, least_pixels=least_pixels)
        done = 0

        def step(_: Any) -> None:
            nonlocal done
            done += 1
            tell(f"round {done}", min(done / settings.rounds, 1.0))

        found = run(job.setup, blobs, crystals, settings, progress=step)
        numbers = _numbers(found, job, lit) | {"provenance": _provenance(job)}
        _write(found, job, out, numbers)
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text(numbers))
    else:
        from refimpl.nearfield.calibrate_published import report_lines

        lines = [*report_lines(found), *_sentences(numbers), f"wrote {out / 'calibrated.txt'}"]
        typer.echo("\n".join(lines))
    return 0


def _numbers(found: Calibration, job: files.Job, lit: LitPixels) -> dict[str, Any]:
    """Parameters with uncertainties, residuals, and the share of spots that are lit."""
    import numpy as np

    from refimpl.nearfield.calibrate_check import spot_hits
    from refimpl.nearfield.calibrate_published import geometry_lines
    from refimpl.units import DEG

    wide, fit = lit.dilated(0, 1), found.position.fit
    before = spot_hits(found.start, job.setup, found.start_crystals, wide)
    after = spot_hits(found.geometry, job.setup, found.crystals, wide)
    last = found.rounds[-1]
    return {
        "lines": geometry_lines(found.geometry),
        "tilts_deg": (np.asarray(found.geometry.tilts_rad) / DEG).tolist(),
        "parameters": [
            {"name": n, "change": x, "sigma": s, "unit": _unit(n)}
            for n, x, s in zip(
                fit.names, fit.x.tolist(), np.asarray(fit.sigma).tolist(), strict=True
            )
        ],
        "spots": len(found.matches),
        "rejected": found.rejected,
        "rms_px": list(last.rms[:2]),
        "rms_frames": last.rms[2],
        "lit_before": [before.lit, before.total],
        "lit_after": [after.lit, after.total],
        "undetermined": list(fit.undetermined),
        "at_bound": list(fit.at_bound),
        "correlated": [list(pair) for pair in found.correlated()],
        "rounds": len(found.rounds),
        "reason": fit.reason,
    }


def _provenance(job: files.Job) -> dict[str, Any]:
    from refimpl.nearfield.maps import provenance_of

    inputs = {"parameters": job.params.path, "lit_pixels": job.params.folder}
    return provenance_of(inputs, threads=None, seed=None, command="nearfield calibrate")


def _unit(name: str) -> str:
    if name.startswith("BC"):
        return "px"
    return "mm" if name.startswith(("Lsd", "dLsd", "position")) else "rad"


def _sentences(numbers: dict[str, Any]) -> list[str]:
    lit = [f"{a} of {b} ({100.0 * a / max(b, 1):.1f} %)" for a, b in (
        numbers["lit_before"], numbers["lit_after"])]  # fmt: skip
    apart = "".join(f"\n  distance {d}: {x:.6f} {y:.6f} {z:.6f}"
                    for d, (x, y, z) in enumerate(numbers["tilts_deg"], start=1))  # fmt: skip
    several = len({tuple(row) for row in numbers["tilts_deg"]}) > 1
    return [
        f"spots lit at every distance, to a frame: {lit[0]} before, {lit[1]} after",
        *numbers["lines"],
        *([f"tx, ty, tz [degrees] of each distance; the file has room for the first:{apart}"]
          if several else []),
    ]  # fmt: skip


def _folders(params: NearfieldParams, out: Path) -> dict[str, Any]:
    """DataDirectory and OutputDirectory as they are called from another folder."""
    import os

    base = Path() if params.path is None else params.path.parent
    names = ["DataDirectory", *(["OutputDirectory"] if "OutputDirectory" in params else [])]
    return {name: os.path.relpath(base / str(params[name] or "."), out) for name in names}


def _write(found: Calibration, job: files.Job, out: Path, numbers: dict[str, Any]) -> None:
    import numpy as np

    from refimpl.io.atomic import write_json
    from refimpl.io.nearfield_params import write_nearfield_params
    from refimpl.units import DEG, UM

    g = found.geometry
    tilts = (np.asarray(g.tilts_rad)[0] / DEG).tolist()
    new: dict[str, Any] = {
        "Lsd": tuple((np.asarray(g.lsd_mm) / UM).tolist()),
        "BC": tuple(map(tuple, np.asarray(g.beam_centre_px).tolist())),
        **dict(zip(("tx", "ty", "tz"), tilts, strict=True)),
    }
    if g.wedge_rad or "Wedge" in job.params:
        new["Wedge"] = g.wedge_rad / DEG
    new |= _folders(job.params, out)
    write_nearfield_params(out / "calibrated.txt", dict(job.params.given) | new)
    write_json(out / "calibration.json", numbers)
