"""What the published AutoCalibrate leaves behind: its files, with correct content.

``calibrant_screen_out.csv`` (console text of the last run, not CSV), ``<stem>.corr.csv``,
``refined_MIDAS_params.txt`` and the HDF5 file of ``-SavePlotsHDF``. Where the published content is
wrong, ours is right: ``two_theta`` in the HDF5 file holds 2-theta in degrees (published: ring
numbers), ``results_data`` has each column under its own name (published: shifted by one), and
the mean values, the points and the outliers are those of one and the same run.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.crystal.calibrants import Calibrant
from refimpl.detector.tilted_flat import ring_coordinates
from refimpl.frames import F64
from refimpl.hdf5.writing import new_hdf5
from refimpl.io.atomic import atomic_path, write_text
from refimpl.io.midas_outputs import CorrTable, MeanValues, mean_values_text, write_corr
from refimpl.io.midas_params import write_refined
from refimpl.objective.pseudo_strain import pseudo_strain
from refimpl.powder.published import PublishedRun, published_vector
from refimpl.powder.published_loop import AutoCalibration, LoopStep, PublishedStart
from refimpl.units import DEG, MICROSTRAIN, UM

__all__ = [
    "corr_table",
    "mean_values",
    "refined_params",
    "screen_text",
    "write_plots_hdf",
    "write_results",
]


def mean_values(run: PublishedRun) -> MeanValues:
    """Block of mean values of a run."""
    x = [float(v) for v in published_vector(run.detector)]
    terms = 5 if run.options.distortion_order >= 6 else 4
    return MeanValues(
        lsd_um=x[0],
        bc_px=(x[1], x[2]),
        ty_deg=x[3],
        tz_deg=x[4],
        p={f"p{n}": x[5 + n] for n in range(terms)},
        mean_strain=run.mean_strain,
        std_strain=run.std_strain,
    )


def corr_table(run: PublishedRun) -> CorrTable:
    """Points of a run as the published table: at its result and at its start."""
    points, none = run.points, np.full(len(run.points), -1, dtype=np.int32)
    ends = []
    for detector in (run.detector, run.start):
        radius, eta, _ = ring_coordinates(
            points.fast_px, points.slow_px, none, detector.geometry, np.zeros((0, 9))
        )
        ideal = detector.lsd_mm * np.tan(points.two_theta_rad)
        ends.append((eta / DEG, np.abs(pseudo_strain(radius, ideal)), radius / UM))
    return CorrTable(
        *ends[0],
        *ends[1],
        points.two_theta_rad / DEG,
        run.outlier,
        points.fast_px - 0.5,
        points.slow_px - 0.5,
        points.ring,
    )


def screen_text(result: AutoCalibration) -> str:
    """Console text of the last run; what follows ``Mean Values`` is what other tools parse."""
    run, step = result.run, result.steps[-1]
    tt = dict(zip(run.points.ring.tolist(), run.points.two_theta_rad.tolist(), strict=True))
    thetas = " ".join(f"{0.5 * t / DEG:f}" for t in sorted(tt.values()))
    excluded = " ".join(str(r) for r in step.excluded)
    lines = [
        f"Run {len(result.steps)} of the loop; status: {result.status}",
        f"Thetas: {thetas}",
        f"Number of planes being considered: {len(tt)}.",
        f"The following rings will be excluded: {excluded}",
        f"Out of {run.points.n_bins} slices, {len(run.points)} were in the detector",
        f"Number of calls to profiler function: {run.points.evaluations}",
        f"Number of function calls: {run.evaluations} ({run.reason})",
        f"Strain: {run.summary}",
        "Ring 2theta_deg points mean_strain_ue",
    ]
    for ring, mean in run.ring_means().items():
        count = int((run.points.ring == ring).sum())
        lines.append(f"{ring} {tt[ring] / DEG:f} {count} {mean / MICROSTRAIN:.2f}")
    return "\n".join(lines) + "\n" + mean_values_text(mean_values(run))


def refined_params(
    result: AutoCalibration, given: Mapping[str, Any], wavelength_angstrom: float
) -> dict[str, Any]:
    """Values of ``refined_MIDAS_params.txt`` by published key; `given` fills in the others."""
    detector, values = result.detector, mean_values(result.run)
    n_slow, n_fast = detector.file_shape
    return {
        **given,
        "Lsd": values.lsd_um,
        "BC": values.bc_px,
        "tx": detector.tilts_rad[0] / DEG,
        "ty": values.ty_deg,
        "tz": values.tz_deg,
        **values.p,
        "RhoD": detector.rho_d_mm / UM,
        "Wavelength": wavelength_angstrom,
        "px": detector.pixel_size_mm[0] / UM,
        "NrPixelsY": n_fast,
        "NrPixelsZ": n_slow,
        "EtaBinSize": result.run.options.eta_bin_deg,
        "ImTransOpt": detector.image_transform or (0,),
        "RingsToExclude": result.excluded,
    }


def write_results(
    folder: Path,
    stem: str,
    result: AutoCalibration,
    given: Mapping[str, Any],
    wavelength_angstrom: float,
) -> list[Path]:
    """Write the text files of a calibration; each is atomic. Return their paths."""
    return [
        write_text(folder / "calibrant_screen_out.csv", screen_text(result)),
        write_corr(folder / f"{stem}.corr.csv", corr_table(result.run)),
        write_refined(
            folder / "refined_MIDAS_params.txt",
            refined_params(result, given, wavelength_angstrom),
        ),
    ]


def write_plots_hdf(
    path: str | Path,
    data_file: str,
    image: F64,
    start: PublishedStart,
    result: AutoCalibration,
    powder: Calibrant,
    wavelength_angstrom: float,
) -> Path:
    """Write the HDF5 file of ``-SavePlotsHDF`` in the published layout; atomic."""
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        group = file.create_group("metadata")
        group.attrs["file_name"] = data_file
        now = datetime.datetime.now(datetime.UTC)
        group.attrs["date_created"] = now.isoformat(timespec="seconds")
        _images(file, image, start)
        for number, step in enumerate(result.steps, start=1):
            _iteration(file.create_group(f"strain_tth_data_iter{number}"), number, step)
        _final(file, result)
        _parameters(file.create_group("parameters"), result, powder, wavelength_angstrom)
    return Path(path)


def _images(file: Any, image: F64, start: PublishedStart) -> None:
    corrected = image - start.background
    bright = np.where(corrected >= start.threshold, 255, 0).astype(np.uint8)
    for group_name, name, data, text in (
        ("raw_image_data", "raw_image", image, "Average image, transformed [counts]"),
        ("background_data", "background", start.background, "Background [counts]"),
        ("threshold_data", "threshold", bright, "255 at or above the threshold"),
    ):
        group = file.create_group(group_name)
        group.create_dataset(name, data=data, compression="gzip", compression_opts=1)
        group.attrs["description"] = text
    overlay = file.create_group("ring_overlay_data")
    fast, slow = (v - 0.5 for v in start.detector.beam_centre_px)
    overlay.create_dataset("threshold", data=bright, compression="gzip", compression_opts=1)
    overlay.create_dataset("beam_center", data=np.array([fast, slow]))
    overlay.create_dataset("ring_radii", data=start.radii_px)
    overlay.attrs["description"] = "Threshold image, first beam centre (Y, Z) and ring radii [px]"
    overlay.attrs["beam_center_x"], overlay.attrs["beam_center_y"] = fast, slow


def _ring_table(run: PublishedRun) -> tuple[F64, F64]:
    """2-theta [deg] and mean absolute strain of each ring."""
    tt = dict(zip(run.points.ring.tolist(), run.points.two_theta_rad.tolist(), strict=True))
    means = run.ring_means()
    return np.array([tt[r] / DEG for r in means]), np.array(list(means.values()))


def _iteration(group: Any, number: int, step: LoopStep) -> None:
    two_theta, mean = _ring_table(step.run)
    group.create_dataset("two_theta", data=two_theta)
    group.create_dataset("mean_strain", data=mean)
    group.create_dataset("threshold", data=step.ring_threshold)
    group.attrs["iteration"] = number
    group.attrs["description"] = "2-theta [deg] and mean strain by ring, limit for a ring"


def _final(file: Any, result: AutoCalibration) -> None:
    table, (two_theta, mean) = corr_table(result.run), _ring_table(result.run)
    group = file.create_group("final_strain_data")
    for name, data in (
        ("results_tth", table.ideal_two_theta_deg),
        ("results_strain", table.strain),
        ("unique_tth", two_theta),
        ("mean_strain_per_ring", mean),
        ("threshold", result.steps[-1].ring_threshold),
    ):
        group.create_dataset(name, data=data)
    rows = file.create_group("results_data")
    names = "Eta Strain RadFit EtaCalc DiffCalc RadCalc Ideal2Theta Outlier YRawCorr ZRawCorr"
    columns = vars(table).values()
    for name, column in zip([*names.split(), "RingNr"], columns, strict=True):
        rows.create_dataset(name, data=column)


def _parameters(
    group: Any, result: AutoCalibration, powder: Calibrant, wavelength_angstrom: float
) -> None:
    values = mean_values(result.run)
    group.attrs.update(
        {
            "lsd": values.lsd_um,
            "beam_center": np.array(values.bc_px),
            "ty": values.ty_deg,
            "tz": values.tz_deg,
            **values.p,
            "mean_strain": values.mean_strain,
            "std_strain": values.std_strain,
            "wavelength": wavelength_angstrom,
            "pixel_size": result.detector.pixel_size_mm[0] / UM,
            "space_group": powder.space_group_number,
            "rings_excluded": np.array(result.excluded, dtype=np.int64),
        }
    )
