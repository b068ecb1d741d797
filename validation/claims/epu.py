"""Claims on EPU sessions: our figures."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import numpy as np

from refimpl import data
from refimpl.clustering.beam_shift import cluster, k_of, levels, spacings
from refimpl.epu.calibrate import calibrate
from refimpl.epu.calibration import Calibration
from refimpl.epu.duplicates import find_duplicates
from refimpl.epu.published import as_duplicates, first_run, first_run_text
from refimpl.epu.published import duplicates as published_duplicates
from refimpl.epu.session import Session, read_session
from refimpl.epu.stage_groups import stage_groups
from refimpl.testing.golden import golden
from refimpl.units import DEG

SET = "epu-afis"


@cache
def _session() -> Session:
    """The real session."""
    return read_session(data.path(f"{SET}/SHA256SUMS").parent)


def _readme_matrix() -> np.ndarray:
    """Matrix of distances that the README prints."""
    lines = golden("published_listings/find_dupl").json()["lines"]
    rows = [re.findall(r"\d\.\d+", line) for line in lines if line.startswith("[")]
    return np.array(rows, dtype=float)


def readme_block() -> int:
    """Lines of the README's block that ours differs in."""
    lines = golden("published_listings/find_dupl").json()["lines"]
    ours = first_run_text(_readme_matrix()).split("\n")
    return sum(a != b for a, b in zip(ours, lines, strict=True))


def readme_extremes() -> list[float]:
    """Largest and smallest distance."""
    upper = _readme_matrix()[np.triu_indices(5, 1)]
    return [float(upper.max()), float(upper.min())]


def readme_k() -> list[float]:
    """Representative small distance, and 4 um over it."""
    small = spacings(_readme_matrix()).smallest_median
    return [small, k_of(4.0, small)]


def counts() -> list[int]:
    """Exposures, places of the stage, read-backs of it, holes."""
    s = _session()
    return [
        len(s), int(stage_groups(s.stage_um).max()) + 1, len(np.unique(s.stage_um, axis=0)),
        s.table["hole"].nunique(),
    ]  # fmt: skip


def level_numbers() -> list[int]:
    """Groups at each level of the beam shifts."""
    return [level.n for level in levels(_session().beam_shift)]


def level_gaps() -> list[float]:
    """Gaps of those levels."""
    return [level.gap for level in levels(_session().beam_shift)]


def k_means(n: int) -> list[float]:
    """Inertia, smallest and largest distance, mean distance of nearest centres."""
    found = first_run(_session(), n)
    apart = np.hypot(*(found.centres[:, None] - found.centres).transpose(2, 0, 1))
    upper = apart[np.triu_indices(n, 1)]
    mean = spacings(found.centres).nn_mean
    return [float(found.inertia or 0.0), float(upper.min()), float(upper.max()), mean]


def edge_mean() -> float:
    """Mean of all lattice edges of the 21 centres."""
    return spacings(cluster(_session().beam_shift).centres).edge_mean


def k_of_edges(rule: str, spacing_um: float) -> float:
    """Spacing over a mean distance of the 21 centres."""
    return k_of(spacing_um, getattr(spacings(cluster(_session().beam_shift).centres), rule))


def scalar(k_um: float, radius_um: float) -> list[int]:
    """Groups, files listed (with repeats) and bad files, as find_dupl counts them."""
    found = published_duplicates(_session(), k_um, radius_um)
    return [len(found.groups), len(found.listed), int(found.bad.sum())]


def bad_files(k_um: float) -> str:
    """Times in the names of the bad files at 0.2 um."""
    found = as_duplicates(_session(), k_um, 0.2)
    return ", ".join(sorted(name[-6:] for name in _session().table["name"][found.bad]))


def affine_pairs(radius_um: float) -> list[int]:
    """Pairs of the stored affine model: all, of one hole, of two."""
    content = json.loads(data.path(f"{SET}/golden_affine.json").read_text())
    content = content[0] if isinstance(content, list) else content
    found = find_duplicates(
        _session(), Calibration("affine", np.array(content["M_row_um"])), f"{radius_um}"
    )
    hole = _session().table["hole"].to_numpy()
    same = int((hole[found.pairs["first"]] == hole[found.pairs["second"]]).sum())
    return [len(found.pairs), same, len(found.pairs) - same]


@cache
def _lattice() -> Calibration:
    """Our calibration, of the XML files alone."""
    return calibrate(_session())


def affine_matrix() -> Any:
    """Matrix [um]."""
    return _lattice().matrix_um


def affine_figures() -> list[float]:
    """Pitches, k, rms [um], turn [deg]."""
    c = _lattice()
    pitch = sorted(c.pitch_um or (np.nan, np.nan))
    return [*pitch, c.k_um, float(c.rms_um or np.nan), abs(c.rotation_rad) / DEG]


def is_mirrored() -> bool:
    """Whether the calibration has a mirror."""
    return _lattice().is_mirrored


def group_numbers(file: str) -> int:
    """Exposures whose group number differs from that of EPU_group_AFIS."""
    text = data.path(f"{SET}/{file}").read_text()
    rows = re.findall(r"(FoilHole_\d+_Data_\d+_\d+_\d+_\d+)\S*\s+(\d+)\s*$", text, re.M)
    theirs = {stem: int(group) for stem, group in rows}
    labels = cluster(_session().beam_shift, file.removesuffix(".star")).labels
    ours = dict(zip(_session().table["name"], labels.tolist(), strict=True))
    return sum(ours.get(stem) != group for stem, group in theirs.items()) + abs(
        len(ours) - len(theirs)
    )
