"""A refined detector for other programs: CrystFEL's geometry, XDS' and the maker's tables.

``.expt`` files are those of :func:`refimpl.io.dials_files.write_expt`.
"""

from __future__ import annotations

from pathlib import Path

from refimpl.detector.hierarchy import Hierarchy
from refimpl.errors import GeometryError
from refimpl.forward.experiment import Experiment
from refimpl.interop.crystfel import crystfel_from_experiment
from refimpl.interop.crystfel_file import crystfel_text
from refimpl.io.atomic import write_text
from refimpl.io.xds_tables import Layout, write_corrections
from refimpl.metrology.correction_tables import (
    correction_tables,
    on_panels,
    without_parallax,
)

__all__ = ["reference_geometry", "write_geom", "write_tables"]


def reference_geometry(experiment: Experiment) -> Experiment:
    """Beam, detector and goniometer without crystal, scan and images: for other data to start from.

    Raises
    ------
    GeometryError
        No beam or no detector.

    Examples
    --------
    >>> from refimpl.testing.rotation_case import rotation_case
    >>> (refined,) = rotation_case(n=10).truth
    >>> reference_geometry(refined).crystal is None
    True
    """
    if experiment.beam is None or experiment.detector is None:
        raise GeometryError("a reference geometry needs a beam and a detector")
    return Experiment(
        beam=experiment.beam, detector=experiment.detector, goniometer=experiment.goniometer
    )


def write_geom(path: str | Path, experiment: Experiment) -> Path:
    """Write a ``.geom`` file; what CrystFEL needs besides (data path, mask) is the user's to add.

    Raises
    ------
    GeometryError
        No beam or no detector.

    Examples
    --------
    >>> from refimpl import metrology
    >>> from refimpl.testing.rotation_case import rotation_case
    >>> path = metrology.write_geom("detector.geom", rotation_case(n=10).truth[0])
    >>> "p8/fs = " in path.read_text()
    True
    """
    return write_text(path, crystfel_text(crystfel_from_experiment(experiment)))


def write_tables(
    folder: str | Path, before: Hierarchy, after: Hierarchy, layout: Layout = "xds"
) -> tuple[Path, Path]:
    """Write X- and Y-corrections.

    Parameters
    ----------
    folder
        Where the two files go; it must exist.
    before
        What the program that uses them believes in: the same panels, or one for the whole image.
    after
        Where they are.
    layout
        ``xds``: means of 4 x 4 pixels in 1/10 pixel, the parallax of the panels included, in place
        of the tables that XDS makes; ``geometry``: every pixel in 1/100 pixel without parallax, as
        the maker's, from which XDS makes its own.

    Raises
    ------
    ConfigError
        Unknown layout, no such folder.
    GeometryError
        See :func:`refimpl.metrology.correction_tables.correction_tables`.

    Examples
    --------
    >>> from refimpl import metrology
    >>> from refimpl.testing.rotation_case import rotation_case
    >>> case = rotation_case(n=10)
    >>> before, after = case.start[0].detector, case.truth[0].detector
    >>> [path.name for path in metrology.write_tables(".", before, after)]
    ['X-CORRECTIONS.cbf', 'Y-CORRECTIONS.cbf']
    """
    if layout == "xds":
        before = without_parallax(before)
    x, y = correction_tables(before, after)
    return write_corrections(folder, x, y, layout, valid=on_panels(after, (len(x), len(x[0]))))
