"""The published listings from the published numbers, character for character.

The excerpts are of the metrology tutorial of DIALS (early and current version) and, for the
current layout, of a log of today's program.
"""

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.metrology import listing
from refimpl.metrology.outlier_jobs import Job, OutlierReport
from refimpl.metrology.rmsd import ResidualSummary, RmsdTable
from refimpl.metrology.text_table import plain_table, ruled_table
from refimpl.units import DEG

OLD_PARAMETERS = """\
The following parameters have been modified:

refinement {
  reflections {
    use_all_reflections = true
    do_outlier_rejection = true
  }
}
input {
  experiments = experiments.json
  reflections = indexed.pickle
}"""

LEVEL_1_PARAMETERS = """\
The following parameters have been modified:

output {
  experiments = refined_experiments_lev1.json
  reflections = refined_reflections_lev1.pickle
}
refinement {
  parameterisation {
    detector {
      hierarchy_level = 1
    }
  }
  target {
    bin_size_fraction = 0
  }
  reflections {
    use_all_reflections = true
    close_to_spindle_cutoff = 0.01
    outlier {
      algorithm = null *tukey
    }
  }
}
input {
  experiments = refined_experiments.json
  reflections = indexed.pickle
}"""

SUMMARY = """\
Summary statistics for observations matched to predictions:
--------------------------------------------------------------------------
|                   | Min     | Q1       | Med        | Q3      | Max    |
--------------------------------------------------------------------------
| Xc - Xo (mm)      | -0.2933 | -0.04128 | -3.167e-05 | 0.04112 | 0.3725 |
| Yc - Yo (mm)      | -0.4707 | -0.03376 | 0.001821   | 0.03588 | 0.4945 |
| Phic - Phio (deg) | -0.6965 | -0.06574 | -0.002213  | 0.06229 | 0.7919 |
| X weights         | 80.55   | 128      | 132        | 134     | 135.2  |
| Y weights         | 77.02   | 127.8    | 131.9      | 134.1   | 135.2  |
| Phi weights       | 26.58   | 32.57    | 32.65      | 32.65   | 32.65  |
--------------------------------------------------------------------------"""

CURRENT_SUMMARY = """\
Summary statistics for 13783 observations matched to predictions:
+-------------------+---------+-----------+------------+----------+--------+
|                   |     Min |        Q1 |        Med |       Q3 |    Max |
|-------------------+---------+-----------+------------+----------+--------|
| Xc - Xo (mm)      | -0.2026 |  -0.02333 |  -0.002874 |  0.02636 | 0.2433 |
| Yc - Yo (mm)      | -0.1993 |   -0.0198 |  0.0005146 |  0.02118 |  0.212 |
| Phic - Phio (deg) | -0.8085 | -0.009096 | -9.029e-05 | 0.009453 |  1.389 |
| X weights         |   123.5 |     134.9 |      135.1 |    135.1 |  135.2 |
| Y weights         |   129.7 |     134.9 |      135.1 |    135.2 |  135.2 |
| Phi weights       |   137.9 |     177.3 |      177.5 |    177.7 |  177.8 |
+-------------------+---------+-----------+------------+----------+--------+"""

STEPS = """\
Refinement steps:
--------------------------------------------------
| Step | Nref   | RMSD_X   | RMSD_Y   | RMSD_Phi |
|      |        | (mm)     | (mm)     | (deg)    |
--------------------------------------------------
| 0    | 181640 | 0.064502 | 0.056782 | 0.083589 |
| 1    | 181640 | 0.064332 | 0.056888 | 0.083668 |
| 2    | 181640 | 0.064055 | 0.057074 | 0.083787 |
| 3    | 181640 | 0.063711 | 0.057327 | 0.083944 |
| 4    | 181640 | 0.0635   | 0.057483 | 0.084045 |
--------------------------------------------------"""

FAR_STEPS = """\
Refinement steps:
------------------------------------------------
| Step | Nref | RMSD_X   | RMSD_Y   | RMSD_Phi |
|      |      | (mm)     | (mm)     | (deg)    |
------------------------------------------------
| 0    | 4049 | 40.622   | 40.688   | 0.019202 |
| 1    | 4049 | 0.28874  | 0.30251  | 0.019202 |
| 2    | 4049 | 0.045937 | 0.045205 | 0.019202 |
------------------------------------------------"""

CURRENT_STEPS = """\
Refinement steps:
+--------+--------+----------+----------+------------+
|   Step |   Nref |   RMSD_X |   RMSD_Y |   RMSD_Phi |
|        |        |     (mm) |     (mm) |      (deg) |
|--------+--------+----------+----------+------------|
|      0 |  13345 | 0.032207 | 0.032834 |   0.013049 |
|      1 |  13345 | 0.01286  | 0.018303 |   0.01283  |
+--------+--------+----------+----------+------------+"""

EXPERIMENTS = """\
RMSDs by experiment:
-----------------------------------------------
| Exp | Nref   | RMSD_X  | RMSD_Y  | RMSD_Z   |
|     |        | (px)    | (px)    | (images) |
-----------------------------------------------
| 0   | 181640 | 0.36865 | 0.33436 | 0.24041  |
-----------------------------------------------"""

PANELS = """\
RMSDs by panel:
------------------------------------------------
| Panel | Nref | RMSD_X   | RMSD_Y  | RMSD_Z   |
|       |      | (px)     | (px)    | (images) |
------------------------------------------------
| 27    | 201  | 0.13616  | 0.18361 | 0.17548  |
| 28    | 167  | 0.095196 | 0.22282 | 0.22815  |
| 31    | 2865 | 0.15601  | 0.20173 | 0.18891  |
| 41    | 6476 | 0.2759   | 0.22112 | 0.22689  |
------------------------------------------------"""

CURRENT_PANELS = """\
Detector 1 RMSDs by panel:
+---------+--------+----------+----------+------------+
|   Panel |   Nref |   RMSD_X |   RMSD_Y |     RMSD_Z |
|      id |        |     (px) |     (px) |   (images) |
|---------+--------+----------+----------+------------|
|      17 |   1379 | 0.05479  | 0.098935 |   0.096279 |
|      37 |   2541 | 0.092604 | 0.080696 |   0.1026   |
+---------+--------+----------+----------+------------+"""

JOBS = """\
For job 2, fewer than 20 reflections are present. All reflections flagged as possible outliers.
100.0% of reflections were flagged as outliers from job 2
29 reflections have been flagged as outliers
Outlier rejections per job:
+-------+-------+---------+--------+--------+--------+
|   Job |   Exp |   Panel |   Nref |   Nout |   %out |
|       |    id |      id |        |        |        |
|-------+-------+---------+--------+--------+--------|
|     1 |     0 |      15 |      0 |      0 |    0   |
|     2 |     0 |      16 |      3 |      3 |  100   |
|     3 |     0 |      17 |   1405 |     26 |    1.9 |
+-------+-------+---------+--------+--------+--------+"""

CRYSTAL = """\
Final refined crystal models:
model 1 (192715 reflections):
Crystal:
    Unit cell: (57.834, 57.834, 150.022, 90.000, 90.000, 90.000)
    Space group: P 4
    U matrix:  {{ 0.4122, -0.9018,  0.1299},
                { 0.2361, -0.0320, -0.9712},
                { 0.8800,  0.4310,  0.1997}}
    B matrix:  {{ 0.0173,  0.0000,  0.0000},
                { 0.0000,  0.0173,  0.0000},
                { 0.0000,  0.0000,  0.0067}}
    A = UB:    {{ 0.0071, -0.0156,  0.0009},
                { 0.0041, -0.0006, -0.0065},
                { 0.0152,  0.0075,  0.0013}}"""

CURRENT_CRYSTAL = """\
    Unit cell: 57.7658(10), 57.7658(10), 150.0033(14), 90.0, 90.0, 90.0
    Space group: P 4
    U matrix:  {{ 0.345610,  0.259019,  0.901922},
"""


def _numbers(text, columns=slice(1, None)):
    """Numbers of the rows of a table, from the text itself."""
    rows = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in rows]
    values = [row for row in cells if len(row) > 1 and row[-1][-1:].isdigit()]
    return np.array([[float(v) for v in row[columns]] for row in values])


def _summary(text, n):
    table = _numbers(text)
    return ResidualSummary(n, table[:3].T, table[3:].T)


def _rmsds(text):
    table = _numbers(text, slice(None))
    return RmsdTable(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:])


def test_modified_parameters():
    old = {
        "refinement": {"reflections": {"use_all_reflections": True, "do_outlier_rejection": True}},
        "input": {"experiments": "experiments.json", "reflections": "indexed.pickle"},
    }
    assert listing.modified_parameters(old) == OLD_PARAMETERS
    level_1 = {
        "output": {
            "experiments": "refined_experiments_lev1.json",
            "reflections": "refined_reflections_lev1.pickle",
        },
        "refinement": {
            "parameterisation": {"detector": {"hierarchy_level": 1}},
            "target": {"bin_size_fraction": 0.0},
            "reflections": {
                "use_all_reflections": True,
                "close_to_spindle_cutoff": 0.01,
                "outlier": {"algorithm": "null *tukey"},
            },
        },
        "input": {"experiments": "refined_experiments.json", "reflections": "indexed.pickle"},
    }
    assert listing.modified_parameters(level_1) == LEVEL_1_PARAMETERS
    assert listing.modified_parameters({"a": None}).endswith("\n\na = None")


def test_residual_summary():
    assert listing.residual_summary(_summary(SUMMARY, 186203)) == SUMMARY
    found = listing.residual_summary(_summary(CURRENT_SUMMARY, 13783), "current")
    assert found == CURRENT_SUMMARY


@pytest.mark.parametrize("text", [STEPS, FAR_STEPS, CURRENT_STEPS])
def test_refinement_steps(text):
    table = _numbers(text, slice(None))
    layout = "current" if "+" in text else "tutorial"
    rmsds = table[:, 2:] * [1.0, 1.0, DEG]
    assert listing.refinement_steps(table[:, 1].astype(int), rmsds, layout) == text


def test_rmsd_tables():
    assert listing.rmsds_by_experiment(_rmsds(EXPERIMENTS)) == EXPERIMENTS
    assert listing.rmsds_by_panel(_rmsds(PANELS)) == PANELS
    assert listing.rmsds_by_panel(_rmsds(CURRENT_PANELS), "current") == CURRENT_PANELS
    second = listing.rmsds_by_panel(_rmsds(CURRENT_PANELS), "current", detector=2)
    assert second.startswith("Detector 2 RMSDs by panel:\n")
    current = listing.rmsds_by_experiment(_rmsds(EXPERIMENTS), "current").splitlines()
    assert current[2] == "|   Exp |   Nref |   RMSD_X |   RMSD_Y |     RMSD_Z |"
    assert current[3] == "|    id |        |     (px) |     (px) |   (images) |"


def test_counts_of_outliers():
    assert listing.outliers_rejected(5849) == "5849 reflections have been rejected as outliers"
    current = listing.outliers_rejected(443, "current")
    assert current == "443 reflections have been flagged as outliers"


def _report(blocks=False):
    sizes, rejected = (0, 3, 1405), (0, 3, 26)
    jobs = tuple(
        Job(np.arange(n), 0, panel, (1.0, 19.0) if blocks and n else None)
        for panel, n in zip((15, 16, 17), sizes, strict=True)
    )
    return OutlierReport(
        np.zeros(1408, dtype=bool), jobs, rejected, (False, True, False), "tukey", 20
    )


def test_table_of_outlier_jobs():
    assert listing.outlier_jobs(_report()) == JOBS
    lines = listing.outlier_jobs(_report(blocks=True)).splitlines()
    assert lines[5] == "|   Job |   Exp |   Panel | Block range   |   Nref |   Nout |   %out |"
    assert lines[6] == "|       |    id |      id | (deg)         |        |        |        |"
    assert lines[9] == "|     2 |     0 |      16 | 1.00 - 19.00  |      3 |      3 |  100   |"


def test_parameter_names():
    text = listing.parameter_names(["Detector1Group1Dist", "Beam1Mu2"])
    assert text.splitlines() == [
        "Parameter order : name mapping",
        "Parameter 001 : Detector1Group1Dist",
        "Parameter 002 : Beam1Mu2",
    ]


def test_crystal_models_of_the_tutorial():
    u = np.array([[0.4122, -0.9018, 0.1299], [0.2361, -0.0320, -0.9712], [0.8800, 0.4310, 0.1997]])
    b = np.diag([1 / 57.834, 1 / 57.834, 1 / 150.022])
    b[1, 0] = -1e-19  # rounding of a computed zero must not show
    cell = (57.834, 57.834, 150.022, 90.0, 90.0, 90.0)
    text = listing.crystal_model(cell, "P 4", u, b)
    assert listing.final_crystal_models([(192715, text)]) == CRYSTAL


def test_crystal_model_of_today():
    u = np.array([[0.345610, 0.259019, 0.901922], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    sigma = (0.0009884, 0.0009884, 0.0014012, 5.8e-20, 2.9e-19, 3.2e-19)
    cell = (57.765779, 57.765779, 150.00326, 90.00000000000001, 90.0, 90.0)
    text = listing.crystal_model(cell, "P 4", u, np.eye(3), cell_sigma=sigma, digits=6)
    assert CURRENT_CRYSTAL in text
    bare = listing.crystal_model(cell, "P 4", u, np.eye(3), digits=6)
    assert "Unit cell: 57.766, 57.766, 150.003, 90.000, 90.000, 90.000\n" in bare


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        (57.7843, 0.0015, "57.7843(15)"),
        (150.013, 0.003, "150.013(3)"),
        (42.179, 0.009, "42.179(9)"),
        (57.765778986943864, 0.0009883697236232646, "57.7658(10)"),
        (120.0, 0.0, "120.0"),
        (90.25, float("nan"), "90.25"),
        (90.1, 0.2, "90.1(2)"),
        (1234.0, 3.2, "1234(3)"),
    ],
)
def test_uncertain_values(value, sigma, text):
    assert listing.format_uncertain(value, sigma) == text


def test_tables_need_as_many_cells_as_titles():
    with pytest.raises(ValueError, match="zip"):
        ruled_table(["a", "b"], [["1"]])
    empty = plain_table(["a", "b"], [])
    assert empty.splitlines() == [
        "+-----+-----+",
        "|   a |   b |",
        "|-----+-----|",
        "+-----+-----+",
    ]


def test_unknown_layout_is_refused():
    with pytest.raises(ConfigError, match="layout 'html' is unknown: expected one of tutorial, cu"):
        listing.refinement_steps([1], np.zeros((1, 3)), "html")
