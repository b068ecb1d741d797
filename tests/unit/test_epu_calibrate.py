"""Which calibration is taken, those of the metadata and of a scalar, and how a matrix is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from refimpl.epu.affine import affine
from refimpl.epu.calibrate import calibrate
from refimpl.epu.judge import judged
from refimpl.epu.metadata import metadata
from refimpl.epu.session import Session, table_of
from refimpl.epu.simulate import Simulated, simulate
from refimpl.epu.simulate_settings import SimulationSettings
from refimpl.errors import ConfigError, ConvergenceError

SMALL = SimulationSettings(squares=2, groups=12, pattern="3x3", shots=2)


@pytest.fixture(scope="module")
def small() -> Simulated:
    return simulate(SMALL, seed=4)


@pytest.fixture(scope="module")
def lacey() -> Simulated:
    return simulate(SimulationSettings(lacey=True, squares=2, groups=10), seed=1)


def noted(made: Simulated, scatter_um: float, seed: int = 0) -> pd.DataFrame:
    """Holes as a .dm file has them: where they are, found in a picture, and off by a constant."""
    table = made.session.table
    rows = pd.DataFrame(
        {"square": table["square"], "hole": table["hole"], "x": made.truth.true_um[:, 0],
         "y": made.truth.true_um[:, 1]}
    ).groupby(["square", "hole"], as_index=False).mean()  # fmt: skip
    rng = np.random.default_rng([seed, 5])
    constant = {s: rng.normal(0.0, 1.5, 2) for s in rows["square"].unique()}
    off = np.array([constant[s] for s in rows["square"]])
    place = rows[["x", "y"]].to_numpy() + off + rng.normal(0.0, scatter_um, (len(rows), 2))
    return pd.DataFrame(
        {"square": rows["square"], "hole": rows["hole"], "stage_x_um": place[:, 0],
         "stage_y_um": place[:, 1]}
    )  # fmt: skip


def test_the_metadata_give_the_matrix_to_its_uncertainty(small: Simulated) -> None:
    """Errors over their sigma, 4 elements of 20 draws: chi-square of 80, 0.1 % and 99.9 %."""
    plain = replace(SMALL, near_misses=0, singles=0, overlaps=0, missed=0, revisits=0)
    z = []
    for seed in range(20):
        made = simulate(plain, seed=seed)
        found = metadata(replace(made.session, holes=noted(made, 0.1, seed)))
        assert found.sigma_um is not None
        z.append((found.matrix_um - made.truth.matrix_um) / found.sigma_um)
    assert 46.5 < float((np.array(z) ** 2).sum()) < 124.8
    assert found.rms_um == pytest.approx(0.14, rel=0.2)  # of two directions, 0.1 in each
    assert found.pitch_um == pytest.approx((2.5, 2.5), rel=0.02)


def test_a_few_wrong_holes_do_not_turn_the_metadata(small: Simulated) -> None:
    holes = noted(small, 0.05)
    holes.loc[:9, "stage_x_um"] += 3.0
    found = metadata(replace(small.session, holes=holes))
    assert (np.abs(found.matrix_um - small.truth.matrix_um) < 0.1).all()
    assert found.rms_um == pytest.approx(0.07, rel=0.5)
    assert "visits are far from where their hole was planned" in found.notes[0]


def test_metadata_that_say_too_little(small: Simulated) -> None:
    with pytest.raises(ConfigError, match="metadata: no stage positions of holes"):
        metadata(small.session)
    with pytest.raises(ConvergenceError, match=r"metadata: \d of \d+ visited holes have a stage"):
        metadata(replace(small.session, holes=noted(small, 0.1)[:2]))
    one = small.session.table.iloc[:8]
    columns = {name: one[name].to_numpy() for name in one.columns}
    line = columns | {"beam_shift_y": 0.5 * one["beam_shift_x"].to_numpy()}
    with pytest.raises(ConvergenceError, match="on one line, or too few"):
        metadata(Session(table=table_of(**line), holes=noted(small, 0.1)))


def test_the_best_that_the_data_support(small: Simulated, lacey: Simulated) -> None:
    assert calibrate(small.session).method == "lattice"
    told = calibrate(replace(small.session, hole_spacing_um=2.5))
    assert told.method == "lattice"
    assert "spacing told: 2.5 um" in told.notes[0]
    assert calibrate(replace(small.session, holes=noted(small, 0.1))).method == "metadata"
    few = calibrate(replace(small.session, holes=noted(small, 0.1)[:2]))
    assert few.method == "lattice"
    assert "visited holes have a stage position" in few.notes[-1]
    line = simulate(replace(SMALL, pattern="1x4", overlaps=0, missed=0), seed=2).session
    scalar = calibrate(line, spacing_um=2.5)
    assert scalar.method == "scalar"
    assert "no lattice from the beam shifts" in scalar.notes[-1]
    with pytest.raises(
        ConvergenceError, match=r"no calibration: no lattice .* state k or the matr"
    ):
        calibrate(lacey.session)
    with pytest.raises(
        ConvergenceError, match=r"show no level of grouping.* state k or the matrix"
    ):
        calibrate(lacey.session, spacing_um=2.5)


def test_what_is_given_is_taken(small: Simulated) -> None:
    matrix = small.truth.matrix_um
    by_matrix = calibrate(small.session, matrix_um=matrix)
    assert by_matrix.method == "affine"
    np.testing.assert_array_equal(by_matrix.matrix_um, matrix)
    assert by_matrix.rms_um == pytest.approx(calibrate(small.session).rms_um, rel=0.02)
    by_k = calibrate(small.session, k=24.5)
    assert by_k.method == "scalar"
    np.testing.assert_array_equal(by_k.matrix_um, 24.5 * np.eye(2))
    by_spacing = calibrate(small.session, "scalar", spacing_um=2.5, rule="edge_mean")
    assert by_spacing.k_um == pytest.approx(24.4, rel=0.02)
    assert "(edge_mean of 9 clusters)" in by_spacing.notes[0]
    assert by_k.magnification == small.session.table["magnification"].iloc[0]


def test_a_matrix_is_judged_by_the_lattice_that_it_makes(
    small: Simulated, lacey: Simulated
) -> None:
    good = judged(affine(24.4, np.deg2rad(26.7), mirror=True), small.session)
    assert good.rms_um is not None
    assert good.pitch_um == pytest.approx((2.5, 2.5), rel=0.02)
    poor = judged(affine(24.4, np.deg2rad(50.0)), small.session)
    assert poor.rms_um is None or poor.rms_um > 3.0 * good.rms_um
    five = table_of(
        beam_shift_x=np.arange(5.0), beam_shift_y=np.arange(5.0) ** 2, stage_x_um=np.zeros(5),
        stage_y_um=np.zeros(5), hole=np.arange(5),
    )  # fmt: skip
    assert judged(affine(2.0), Session(table=five)).rms_um is None
    none = judged(affine(24.4), lacey.session)
    assert none.rms_um is None
    assert "the holes are on no lattice" in none.notes[-1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "guess"}, "method 'guess': expected auto, scalar, affine, metadata, lattice"),
        ({"k": 24.0, "matrix_um": np.eye(2)}, "k and matrix: one of them"),
        ({"method": "lattice", "k": 24.0}, "method lattice: k is given, which is scalar"),
        ({"method": "scalar", "matrix_um": np.eye(2)}, "a matrix is given, which is affine"),
        ({"method": "affine"}, "method affine: expected a matrix"),
        ({"method": "scalar"}, "method scalar: expected k, or the spacing"),
        ({"method": "scalar", "spacing_um": 2.5, "rule": "max"}, "rule 'max': expected one of min"),
        ({"k": -3.0}, "k -3: expected a positive number"),
    ],
)
def test_bad_options(small: Simulated, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        calibrate(small.session, **options)


def test_no_exposures() -> None:
    with pytest.raises(ConfigError, match="no exposures to calibrate from"):
        calibrate(
            Session(table=table_of(beam_shift_x=[], beam_shift_y=[], stage_x_um=[], stage_y_um=[]))
        )
