"""Robust losses: weights are the slope of the loss over u, and forget what lies far out."""

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.objective.robust_loss import (
    LOSSES,
    biweight_loss,
    biweight_weights,
    huber_loss,
    huber_weights,
    mad_sigma,
    robust_weights,
)


def test_values_by_hand():
    assert huber_weights(np.array([0.0, 1.0, -2.0, 4.0]), 2.0).tolist() == [1, 1, 1, 0.5]
    assert huber_loss(np.array([1.0, -2.0, 4.0]), 2.0).tolist() == [0.5, 2.0, 6.0]
    assert biweight_weights(np.array([0.0, 1.0, -2.0, 3.0]), 2.0).tolist() == [1, 0.5625, 0, 0]
    assert biweight_loss(np.array([0.0, 2.0, 9.0]), 2.0) == pytest.approx([0.0, 4 / 6, 4 / 6])


@pytest.mark.parametrize("name", list(LOSSES))
def test_weights_are_the_slope_over_u(name):
    loss = LOSSES[name]
    u = np.array([-6.0, -3.1, -0.7, 1e-3, 0.4, 1.9, 4.1, 8.0])
    h = 1e-6  # central difference: error h^2 plus eps / h
    slope = (loss.loss(u + h, loss.tuning) - loss.loss(u - h, loss.tuning)) / (2 * h)
    assert loss.weights(u, loss.tuning) == pytest.approx(slope / u, abs=1e-6)
    assert loss.loss(u[3:5], loss.tuning) == pytest.approx(u[3:5] ** 2 / 2, rel=0.01)


@pytest.mark.parametrize("name", list(LOSSES))
def test_default_tuning_keeps_95_percent_efficiency(name):
    """Asymptotic variance of the location estimate on the normal distribution, by quadrature."""
    u = np.linspace(-9, 9, 200_001)
    density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi) * (u[1] - u[0])
    influence = LOSSES[name].weights(u, LOSSES[name].tuning) * u
    efficiency = (density @ np.gradient(influence, u)) ** 2 / (density @ influence**2)
    assert efficiency == pytest.approx(0.95, abs=2e-4)  # the constants have 4 digits


def test_sigma_of_normal_residuals():
    data = np.random.default_rng(2).normal(size=(40_000, 2)) * [0.05, 3.0]
    assert mad_sigma(data) / [0.05, 3.0] == pytest.approx([1.0, 1.0], abs=0.03)  # 5 sigma


@pytest.mark.parametrize("name", list(LOSSES))
def test_weights_of_residuals_scale_by_column(name):
    data = np.random.default_rng(2).normal(size=(400, 3))
    data[17, 1] = 50.0
    weights = robust_weights(data, name)
    assert weights[17, 1] < 0.04
    assert weights.shape == data.shape
    assert weights == pytest.approx(robust_weights(data * [1e-3, 1.0, 40.0], name), rel=1e-12)
    assert robust_weights(data, name, sigma=np.ones(3), tuning=1e9) == pytest.approx(1.0)


def test_constant_columns_keep_their_zeros():
    data = np.array([[0.0], [0.0], [0.0], [2.0]])
    assert robust_weights(data, "huber").ravel().tolist() == [1, 1, 1, 0]
    assert robust_weights(data, "biweight").ravel().tolist() == [1, 1, 1, 0]


def test_refusals():
    with pytest.raises(ConfigError, match="robust loss 'cauchy' is unknown: expected one of huber"):
        robust_weights(np.zeros((3, 1)), "cauchy")
    with pytest.raises(ConfigError, match=r"robust loss huber: tuning = 0\.0: expected a positive"):
        robust_weights(np.zeros((3, 1)), "huber", tuning=0.0)
