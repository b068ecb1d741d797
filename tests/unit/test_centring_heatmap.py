"""Heat maps: crop by crop and all at once, best points, and aims against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")

from refimpl.centring.aim import aim_of, aim_scores  # noqa: E402
from refimpl.centring.crops import CropRule  # noqa: E402
from refimpl.centring.heatmap import HeatMap, heat_map  # noqa: E402
from refimpl.centring.nets import build  # noqa: E402
from refimpl.centring.targets import Target  # noqa: E402
from refimpl.errors import ConfigError  # noqa: E402

TARGET = Target("vanilla", 100.0, 50.0, 0.0)
RULE = CropRule(64.0, 0.0)


class Brightness(torch.nn.Module):
    """Answers with the middle of the picture."""

    def forward(self, images: Any) -> Any:
        half = images.shape[-1] // 2
        return images[:, 0, half - 1 : half + 1, half - 1 : half + 1].mean(dim=(1, 2))


def spot(x: float, y: float) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[0:120, 0:160] + 0.5
    noise = np.random.default_rng(1).normal(size=(120, 160))
    return 80.0 + 100.0 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 50.0) + noise


def test_the_highest_point_is_where_the_spot_is() -> None:
    found = heat_map(Brightness(), spot(105.0, 45.0), RULE, 1.0, TARGET, step_px=5.0, size=64)
    assert found.value.shape == (24, 32)
    best = found.best(1, least=0.0)[0]
    assert (best.x_px, best.y_px) == (pytest.approx(105.0, abs=3.0), pytest.approx(45.0, abs=3.0))
    assert best.count == pytest.approx(float(TARGET.invert(found.value.max())))
    assert found.contrast > 3.0


@pytest.mark.parametrize("size", [64, 96])  # a smaller crop ends within what the net sees
def test_dense_is_exact_but_for_the_standardisation(size: int) -> None:
    torch.manual_seed(4)
    net = build("a_fcn").eval()
    image = spot(80.0, 60.0) + spot(50.0, 40.0)
    options: Any = {"rule": RULE, "zoom": 1.0, "target": TARGET, "step_px": 6.0, "size": size}
    dense = heat_map(net, image, mode="dense", **options)
    exact = heat_map(net, image, mode="exact", batch=7, **options)
    inner = exact.outside == 0.0
    assert inner.sum() > 50
    correlation = np.corrcoef(dense.value[inner], exact.value[inner])[0, 1]
    assert correlation > 0.7
    np.testing.assert_array_equal(dense.x_px, exact.x_px)
    # the batch is of no matter
    again = heat_map(net, image, mode="exact", batch=100, **options)
    np.testing.assert_allclose(again.value, exact.value, atol=1e-5)


@pytest.mark.parametrize("mode", ["dense", "exact"])
def test_the_mean_of_all_turns_turns_with_the_picture(mode: str) -> None:
    torch.manual_seed(5)
    net = build("a_fcn").eval()
    image, options = spot(50.0, 40.0), dict(step_px=20.0, size=32, mode=mode, turns=8)
    found = heat_map(net, image, RULE, 1.0, TARGET, **options)
    quarter = heat_map(net, np.rot90(image), RULE, 1.0, TARGET, **options)
    mirrored = heat_map(net, image[:, ::-1], RULE, 1.0, TARGET, **options)
    np.testing.assert_allclose(quarter.value, np.rot90(found.value), atol=1e-5)
    np.testing.assert_allclose(mirrored.value, found.value[:, ::-1], atol=1e-5)
    one = heat_map(net, image, RULE, 1.0, TARGET, **(options | {"turns": 1}))
    assert np.abs(one.value - found.value).max() > 1e-3
    np.testing.assert_allclose(
        heat_map(Brightness(), image, RULE, 1.0, TARGET, step_px=20.0, size=32, turns=8).value,
        heat_map(Brightness(), image, RULE, 1.0, TARGET, step_px=20.0, size=32).value, atol=1e-4,
    )  # fmt: skip


def test_a_smoothed_map() -> None:
    options: Any = {"rule": RULE, "zoom": 1.0, "target": TARGET, "size": 64, "step_px": 5.0}
    sharp = heat_map(Brightness(), spot(80.0, 60.0), **options)
    smooth = heat_map(Brightness(), spot(80.0, 60.0), smooth_px=10.0, **options)
    assert smooth.value.max() < 0.6 * sharp.value.max()
    by_steps = gaussian_filter(sharp.value, 10.0 / 5.0, mode="nearest")
    np.testing.assert_allclose(smooth.value, by_steps, atol=1e-12)
    np.testing.assert_array_equal(smooth.count, TARGET.invert(smooth.value))
    for name, value in (("turns", 3), ("smooth_px", -1.0)):
        with pytest.raises(ConfigError, match=f"{name} {value:g}: expected"):
            heat_map(Brightness(), spot(1.0, 1.0), **(options | {name: value}))


def made(value: np.ndarray[Any, Any], outside: float = 0.0) -> HeatMap:
    h, w = value.shape
    x, y = 10.0 * np.arange(w), 10.0 * np.arange(h)
    return HeatMap(x, y, value, 100.0 * value, np.full(value.shape, outside))


def test_best_points_stand_apart() -> None:
    value = np.zeros((5, 9))
    value[2, 1], value[2, 2], value[3, 7] = 5.0, 4.0, 3.0
    points = made(value).best(3, apart_px=25.0, least=100.0)
    assert [(p.x_px, p.y_px, p.count) for p in points] == [(10.0, 20.0, 500.0), (70.0, 30.0, 300.0)]
    assert made(value).best(1, least=600.0) == ()  # no crystal here
    assert made(value, outside=0.6).best(1) == ()
    with pytest.raises(ConfigError, match="expected positive ones"):
        made(value).best(0)


def test_a_flat_map_has_no_contrast() -> None:
    assert made(np.ones((4, 4))).contrast == 0.0


def test_progress_and_what_is_refused() -> None:
    seen: list[tuple[int, int]] = []
    options: Any = {"rule": RULE, "zoom": 1.0, "target": TARGET, "size": 64, "step_px": 40.0}
    heat_map(Brightness(), spot(1.0, 1.0), batch=5, progress=lambda *n: seen.append(n), **options)
    assert seen[-1] == (12, 12)
    with pytest.raises(ConfigError, match="this net is not fully convolutional"):
        heat_map(Brightness(), spot(1.0, 1.0), mode="dense", **options)
    with pytest.raises(ConfigError, match="mode 'fast': expected auto, exact or dense"):
        heat_map(Brightness(), spot(1.0, 1.0), mode="fast", **options)
    with pytest.raises(ConfigError, match="step 0 px"):
        heat_map(Brightness(), spot(1.0, 1.0), **(options | {"step_px": 0.0}))


def test_an_aim_against_the_truth() -> None:
    true = np.zeros((10, 20))
    true[4, 12], true[4, 11] = 400.0, 100.0
    crystal = true > 50.0
    aims = [
        aim_of((12.5, 4.5), true, crystal, 2.0), aim_of((11.2, 4.9), true, crystal, 2.0),
        aim_of((2.5, 4.5), true, crystal, 2.0), aim_of(None, true, crystal, 2.0),
    ]  # fmt: skip
    assert [a.hit for a in aims] == [True, True, False, False]
    assert [a.relative for a in aims] == [1.0, 0.25, 0.0, 0.0]
    assert aims[0].away_um == 0.0
    assert aims[2].away_um == pytest.approx(20.0)
    found = aim_scores(aims)
    assert (found.found, found.hit, found.relative) == (0.75, 0.5, 0.3125)
    with pytest.raises(ConfigError, match="no reflections anywhere"):
        aim_of(None, 0.0 * true, crystal, 1.0)
    with pytest.raises(ConfigError, match="aim: no pictures"):
        aim_scores([])
