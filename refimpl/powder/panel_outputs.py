"""Files that a refinement of panels leaves behind, and its part of ``result.json``.

The published files (``panelshifts.txt``, ``refined_MIDAS_params.txt``, the two TIFF maps) follow
the published convention where ``fix_panel`` is set: that panel has no shift, rotation or height,
and the global parameters take up the difference. Everything else states the gauge of the fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.detector.corrections import fixed_panel
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.frames import PIXEL_CENTRE
from refimpl.io.atomic import write_text
from refimpl.io.panel_files import write_corrections, write_shifts_tif, write_strain_tif
from refimpl.powder.panel_result import PanelTable
from refimpl.units import DEG, UM

if TYPE_CHECKING:
    import pandas as pd

    from refimpl.powder.result import PowderResult

__all__ = ["panel_dict", "panel_frame", "published_model", "save_panels"]

PUBLISHED_UNITS = (1.0, 1.0, DEG, UM, 1.0, DEG, DEG)
COLUMNS = ("dY_px", "dZ_px", "dTheta_deg", "dLsd_um", "dP2", "tilt_fast_deg", "tilt_slow_deg")
"""Names of the corrections in tables for people, and the size of their units in ours."""


def published_model(result: PowderResult) -> TiltedFlat:
    """Detector as the published files state it: with ``fix_panel`` free of corrections if set."""
    fixed = result.config.panels.fix_panel
    if result.panels is None or fixed is None:
        return result.model
    return fixed_panel(result.model, fixed)


def panel_frame(table: PanelTable) -> pd.DataFrame:
    """One row a panel: place, corrections with uncertainties, points, strain."""
    import pandas as pd

    boxes = np.asarray(table.boxes, dtype=np.float64)
    columns: dict[str, Any] = {
        "panel": np.arange(len(table)),
        "Y_min": table.boxes[:, 0],
        "Y_max": table.boxes[:, 2] - 1,
        "Z_min": table.boxes[:, 1],
        "Z_max": table.boxes[:, 3] - 1,
        "centre_Y_px": 0.5 * (boxes[:, 0] + boxes[:, 2]) - PIXEL_CENTRE,
        "centre_Z_px": 0.5 * (boxes[:, 1] + boxes[:, 3]) - PIXEL_CENTRE,
    }
    for k, (name, unit) in enumerate(zip(COLUMNS, PUBLISHED_UNITS, strict=True)):
        columns[name] = table.corrections[:, k] / unit
        columns[f"sigma_{name}"] = table.sigma[:, k] / unit
        columns[f"held_{name}"] = table.held[:, k]
    columns["points"] = table.points
    columns["strain_ue"] = table.strain * 1e6
    columns["strain_before_ue"] = table.strain_before * 1e6
    return pd.DataFrame(columns)


def panel_dict(table: PanelTable) -> dict[str, Any]:
    """JSON-ready part of ``result.json``."""
    return {
        "fields": list(PANEL_FIELDS),
        "boxes": table.boxes,
        "corrections": table.corrections,
        "sigma": table.sigma,
        "refined": list(table.refined),
        "held": table.held,
        "reasons": list(table.reasons),
        "points": table.points,
        "mean_abs_strain": table.strain,
        "mean_abs_strain_one_surface": table.strain_before,
        "gauge": list(table.gauge),
        "prior_widths": dict(table.priors),
        "correlation_names": list(table.correlation_names),
    }


def save_panels(result: PowderResult, folder: Path) -> tuple[Path, ...]:
    """Write ``panels.csv``, ``panelshifts.txt`` and its two TIFF maps; each whole or not at all."""
    table = result.panels
    if table is None:
        return ()
    model = published_model(result)
    assert model.panel_boxes is not None
    assert model.panel_corrections is not None
    shifts = folder / "panelshifts.txt"
    text = panel_frame(table).to_csv(index=False, float_format="%.10g")
    maps = Path(f"{shifts}.shifts.tif"), Path(f"{shifts}.strain.tif")
    return (
        write_text(folder / "panels.csv", text),
        *write_corrections(shifts, model.panel_corrections),
        write_shifts_tif(maps[0], model.panel_boxes, model.panel_corrections, model.shape),
        write_strain_tif(maps[1], model.panel_boxes, table.strain, model.shape),
    )
