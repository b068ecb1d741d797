"""Heat maps about the loop only, and how sure heat maps are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")
cv2 = pytest.importorskip("cv2", reason="needs the extra centring (OpenCV)")

from refimpl.centring.crops import CropRule, prepared  # noqa: E402
from refimpl.centring.heatmap import HeatMap, heat_map  # noqa: E402
from refimpl.centring.local_map import local_map  # noqa: E402
from refimpl.centring.modules import Regressor  # noqa: E402
from refimpl.centring.targets import Target  # noqa: E402
from refimpl.centring.uncertainty import Uncertain, dropout_map, ensemble_map  # noqa: E402
from refimpl.errors import ConfigError  # noqa: E402

RULE = CropRule(100.0, 0.0)
TARGET = Target("vanilla", 100.0, 50.0, 0.0)


def net_of(arch: str = "a_fcn", seed: int = 0, target: Target = TARGET) -> Regressor:
    torch.manual_seed(seed)
    return Regressor(arch, target.as_dict(), RULE.as_dict(), size=32).eval()


@pytest.fixture(scope="module")
def ring() -> Any:
    """A dark pin from the left that ends in a ring at (450, 300), some noise."""
    image = np.full((600, 800), 200, np.uint8)
    cv2.rectangle(image, (0, 250), (250, 350), 5, -1)
    cv2.line(image, (250, 300), (400, 300), 20, 9)
    cv2.ellipse(image, (450, 300), (50, 35), 0, 0, 360, 20, 7)
    return np.clip(image + np.random.default_rng(0).normal(0.0, 3.0, image.shape), 0.0, 255.0)


@pytest.mark.parametrize("mode", ["exact", "dense"])
def test_a_local_map_is_part_of_the_whole_one(ring: Any, mode: str) -> None:
    net = net_of()
    options: Any = {"size": 32, "step_px": 20.0, "mode": mode}
    found = local_map(net, ring, RULE, 1.0, TARGET, reach_um=200.0, **options)
    assert found.is_local
    assert abs(found.loop.y_px - 300.0) < 5.0
    x, y = np.meshgrid(found.heat.x_px, found.heat.y_px)
    assert max(np.abs(x - found.loop.x_px).max(), np.abs(y - found.loop.y_px).max()) <= 100.0
    assert found.heat.value.shape == x.shape
    assert x.shape[0] in (10, 11)
    assert (found.heat.outside == 0.0).all()
    if mode == "exact":
        crops = [
            prepared(ring, 1.0, RULE, size=32, centre_px=(float(a), float(b)))
            for a, b in zip(x.ravel(), y.ravel(), strict=True)
        ]
        with torch.no_grad():
            alone = net(torch.from_numpy(np.stack(crops)[:, None].astype(np.float32))).numpy()
        np.testing.assert_allclose(found.heat.value.ravel(), alone, atol=1e-5)
    else:  # the picture is drawn anew, from another corner
        whole = heat_map(net, ring, RULE, 1.0, TARGET, size=32, step_px=4.0, mode=mode)
        between = RegularGridInterpolator((whole.y_px, whole.x_px), whole.value)
        same = between(np.stack([y, x], axis=-1)).ravel()
        assert np.corrcoef(found.heat.value.ravel(), same)[0, 1] > 0.8
    assert found.loop_s > 0.0 < found.map_s


@pytest.mark.parametrize("shape", [(600, 800), (90, 120)])
def test_without_a_loop_the_whole_picture_is_looked_at(shape: tuple[int, int]) -> None:
    empty, net = np.full(shape, 128, np.uint8), net_of()
    options: Any = {"size": 32, "step_px": 30.0}
    found = local_map(net, empty, RULE, 1.0, TARGET, um_per_px=2.0, **options)
    assert not found.is_local
    whole = heat_map(net, empty, RULE, 1.0, TARGET, **options)
    np.testing.assert_array_equal(found.heat.value, whole.value)
    np.testing.assert_array_equal(found.heat.x_px, whole.x_px)
    with pytest.raises(ConfigError, match="reach 0 um: expected a positive number"):
        local_map(net, empty, RULE, 1.0, TARGET, reach_um=0.0)


def test_an_ensemble_is_the_mean_of_its_members(ring: Any) -> None:
    nets = [net_of(seed=k) for k in range(3)]
    seen: list[tuple[int, int]] = []
    found = ensemble_map(nets, ring, 1.0, step_px=50.0, progress=lambda *n: seen.append(n))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    values = [heat_map(n, ring, RULE, 1.0, TARGET, size=32, step_px=50.0).value for n in nets]
    np.testing.assert_allclose(found.heat.value, np.mean(values, axis=0))
    np.testing.assert_allclose(found.deviation, np.std(values, axis=0, ddof=1))
    np.testing.assert_allclose(found.count_deviation, 50.0 * found.deviation)
    np.testing.assert_allclose(found.heat.count, TARGET.invert(found.heat.value))


def test_members_of_other_statistics_are_drawn_together(ring: Any) -> None:
    """The same counts told by targets of another mean: nothing to differ about."""
    one, other = net_of(), net_of(target=Target("vanilla", 100.0, 50.0, 0.0))
    other.hparams["target"] = Target("vanilla", 0.0, 50.0, 0.0).as_dict()
    with torch.no_grad():
        for net in (one, other):  # counts of 250 and more
            net.net.layers[-1].bias.add_(5.0 if net is one else 7.0)
    found = ensemble_map([one, other], ring, 1.0, step_px=50.0)
    np.testing.assert_allclose(found.deviation, 0.0, atol=1e-5)
    np.testing.assert_allclose(found.count_deviation, 0.0, atol=1e-3)


def test_dropout_left_on(ring: Any) -> None:
    net, options = net_of("a4"), {"step_px": 100.0}
    found = dropout_map(net, ring, 1.0, n=4, seed=1, **options)
    assert len(found.members) == 4
    assert (found.deviation > 0.0).all()
    torch.rand(3)
    again = dropout_map(net, ring, 1.0, n=4, seed=1, **options)
    np.testing.assert_array_equal(found.heat.value, again.heat.value)
    assert not any(part.training for part in net.modules())
    other = dropout_map(net, ring, 1.0, n=4, seed=2, **options)
    assert not np.array_equal(found.heat.value, other.heat.value)


def member(x: float, y: float, count: float = 500.0) -> HeatMap:
    at = np.arange(5.0, 100.0, 10.0)
    away = np.hypot(at[None, :] - x, at[:, None] - y)
    value = np.exp(-(away**2) / 200.0)
    return HeatMap(at, at, value, count * value, np.zeros(value.shape))


def united(*members: HeatMap) -> Uncertain:
    value, count = (np.mean([getattr(m, k) for m in members], axis=0) for k in ("value", "count"))
    spread = np.std([m.count for m in members], axis=0)
    first = members[0]
    heat = HeatMap(first.x_px, first.y_px, value, count, first.outside)
    return Uncertain(heat, spread, spread, members)


def test_members_that_disagree_call_for_a_raster() -> None:
    same = united(*[member(25.0, 35.0)] * 3, member(85.0, 85.0)).verdict(15.0)
    assert same.point is not None
    assert (same.point.x_px, same.agreement, same.raster_instead) == (25.0, 0.75, False)
    assert same.count_deviation == pytest.approx(500.0 * np.sqrt(3) / 4, rel=1e-3)
    apart = united(member(15.0, 15.0), member(85.0, 85.0), member(15.0, 85.0))
    assert apart.verdict(15.0).raster_instead
    none = united(*[member(25.0, 35.0, 50.0)] * 3).verdict(15.0)
    assert none.point is None
    assert (none.agreement, none.raster_instead) == (1.0, False)  # sure that there is nothing
    torn = united(*[member(25.0, 35.0, 130.0)] * 2, *[member(85.0, 85.0, 0.0)] * 1).verdict(15.0)
    assert torn.point is None
    assert torn.raster_instead


def test_what_is_refused(ring: Any) -> None:
    net = net_of()
    with pytest.raises(ConfigError, match="ensemble of 1 nets: expected two or more"):
        ensemble_map([net], ring, 1.0)
    with pytest.raises(ConfigError, match="nets of targets tanh, vanilla: expected one kind"):
        ensemble_map([net, net_of(target=Target("tanh", 1.0, 1.0, 0.0))], ring, 1.0)
    with pytest.raises(ConfigError, match="a_fcn has no dropout to leave on: take an ensemble"):
        dropout_map(net, ring, 1.0)
    with pytest.raises(ConfigError, match="1 predictions with dropout"):
        dropout_map(net_of("a4"), ring, 1.0, n=1)
    bare = Regressor("a4", TARGET.as_dict(), size=32)
    with pytest.raises(ConfigError, match="the net has no crop rule"):
        dropout_map(bare, ring, 1.0)
    with pytest.raises(ConfigError, match="net 1 of the ensemble has no crop rule"):
        ensemble_map([bare, bare], ring, 1.0)
