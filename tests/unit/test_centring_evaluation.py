"""Evaluations: scores of each part, hits, heat maps of pictures, aims beside others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")

from refimpl.centring.aiming import compare_aims  # noqa: E402
from refimpl.centring.crops import CropRule  # noqa: E402
from refimpl.centring.datasets import simulated, write_hdf5  # noqa: E402
from refimpl.centring.evaluation import evaluate, hit_table, parts_of  # noqa: E402
from refimpl.centring.evaluation_files import open_for, pictures_of, run_of  # noqa: E402
from refimpl.centring.heat_shown import rule_for, shown, shown_files, step_for  # noqa: E402
from refimpl.centring.modules import Regressor  # noqa: E402
from refimpl.centring.samples import Samples  # noqa: E402
from refimpl.centring.simulate_view import crop_rule  # noqa: E402
from refimpl.centring.splits import Split  # noqa: E402
from refimpl.centring.targets import Target, fit_target  # noqa: E402
from refimpl.errors import ConfigError, FormatError  # noqa: E402

TANH = Target("tanh", 200.0, 150.0, 0.0)
RULE = CropRule(64.0, 0.0)


class Middle(torch.nn.Module):
    """Answers with the middle of the picture, darker is more."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = torch.nn.Parameter(torch.tensor(-1.0))

    def forward(self, images: Any) -> Any:
        half = images.shape[-1] // 2
        return self.sign * images[:, 0, half - 1 : half + 1, half - 1 : half + 1].mean(dim=(1, 2))


def regressor(target: Target = TANH, crop: CropRule | None = RULE, size: int = 32) -> Regressor:
    rule = None if crop is None else crop.as_dict()
    net = Regressor("a_fcn", target.as_dict(), rule, size=size)
    net.net = Middle()
    return net.eval()


@pytest.fixture(scope="module")
def samples() -> Samples:
    rng = np.random.default_rng(1)
    count = rng.integers(0, 400, 60)
    images = rng.normal(size=(60, 32, 32))
    images[:, 14:18, 14:18] -= 0.01 * count[:, None, None]
    return Samples.of(images, count, [f"c{k % 12}" for k in range(60)])


SPLIT = Split(
    tuple(f"c{k}" for k in range(6)), ("c6", "c7", "c8"), ("c9", "c10", "c11")
)  # fmt: skip


def test_scores_of_each_part_with_the_baseline_of_the_training(samples: Samples) -> None:
    found = evaluate(regressor(), samples, SPLIT, checkpoint="best.ckpt", source="here")
    assert list(found.scores) == ["train", "val", "test"]
    assert [s.n for s in found.scores.values()] == [30, 15, 15]
    assert found.judged == "test"
    wanted = TANH.apply(samples.count)
    taught = wanted[found.part == "train"].mean()
    test = found.part == "test"
    assert found.scores["test"].baseline_mse == pytest.approx(((wanted[test] - taught) ** 2).mean())
    assert found.scores["test"].spearman > 0.8
    assert found.scores["test"].mae == pytest.approx(
        np.abs(found.predicted[test] - wanted[test]).mean()
    )
    said = found.as_dict()
    assert said["checkpoint"] == Path("best.ckpt")
    assert said["parts"]["test"]["crystals"] == 3
    assert "predicting the mean" in "\n".join(found.sentences())


def test_without_a_split_and_with_new_crystals(samples: Samples) -> None:
    alone = evaluate(regressor(), samples)
    assert list(alone.scores) == ["all"]
    wanted = TANH.apply(samples.count)
    assert alone.scores["all"].baseline_mse == pytest.approx(wanted.var())
    some = replace(samples, crystal=np.where(samples.crystal == "c9", "other", samples.crystal))
    found = evaluate(regressor(), some, part=parts_of(some, SPLIT))
    assert [(n, s.n) for n, s in found.scores.items()][-2:] == [("test", 10), ("new", 5)]
    with pytest.raises(ConfigError, match="crystal 'other' is in no part of the split"):
        evaluate(regressor(), some, SPLIT)


def test_pictures_of_files_that_are_cropped_already(tmp_path: Path) -> None:
    made = simulated(3, 1, 2, 32)
    rule = crop_rule()
    write_hdf5(made, tmp_path / "known.h5", rule=rule)
    write_hdf5(made, tmp_path / "unknown.h5")
    net = regressor(crop=rule)
    for name in ("known.h5", "unknown.h5"):
        found = open_for(net, str(tmp_path / name))
        np.testing.assert_array_equal(found.images, made.images)
        assert pictures_of(evaluate(net, found), str(tmp_path / name), 2) is None
    with pytest.raises(ConfigError, match=r"cropped to 60 \+ 60 zoom px, the net was taught 64"):
        open_for(regressor(), str(tmp_path / "known.h5"))
    with pytest.raises(ConfigError, match="the net was taught 64"):
        open_for(regressor(), "simulated:2")
    alone = open_for(regressor(crop=None), "simulated:3x1x2")
    np.testing.assert_array_equal(alone.images, made.images)


def test_hits_by_hand(samples: Samples) -> None:
    found = hit_table(np.array([50.0, 150.0, 150.0, 90.0]), np.array([10.0, 20.0, 300.0, 101.0]))
    assert found.table == ((1, 1), (1, 1))
    assert (found.accuracy, found.baseline_accuracy) == (0.5, 0.5)
    assert sum(map(sum, evaluate(regressor(), samples).hits["all"].table)) == 60
    rank = fit_target("vanilla", samples.count, samples.crystal, per_crystal="rank")
    assert evaluate(regressor(rank), samples).hits == {}


def test_pictures_that_the_net_was_not_taught(samples: Samples) -> None:
    with pytest.raises(ConfigError, match="pictures of size 32: the net was taught 64"):
        evaluate(regressor(size=64), samples)
    with pytest.raises(ConfigError, match="no pictures to judge"):
        evaluate(regressor(), samples.some(np.arange(0)))


def spot(x: float, y: float) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[0:120, 0:160] + 0.5
    dark = 150.0 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 50.0)
    return (200.0 - dark).astype(np.uint8)


def test_heat_maps_of_files(tmp_path: Path) -> None:
    for name, x in (("a.png", 40.0), ("b.png", 110.0)):
        Image.fromarray(spot(x, 60.0)).save(tmp_path / name)
    seen: list[tuple[int, int]] = []
    found = shown_files(
        regressor(), tmp_path, ["a.png", "b.png"], np.array([1.0, 1.0]), across=32,
        progress=lambda *n: seen.append(n),
    )  # fmt: skip
    assert [s.title for s in found] == ["a.png", "b.png"]
    assert [s.points[0].x_px for s in found] == pytest.approx([40.0, 110.0], abs=4.0)
    assert found[0].heat.x_px[1] - found[0].heat.x_px[0] == 5.0
    assert seen[-1] == (2, 2)
    with pytest.raises(FormatError, match="cannot read"):
        shown_files(regressor(), tmp_path, ["none.png"], np.array([1.0]))


def test_no_crystal_is_an_answer_and_targets_per_crystal_have_no_limit() -> None:
    flat = np.full((120, 160), 90.0)
    assert shown(regressor(), flat, 1.0, step_px=20.0).points != ()  # 0 is the mean, 200
    assert shown(regressor(), flat, 1.0, step_px=20.0, least=300.0).points == ()
    rank = fit_target("vanilla", [1.0, 500.0], ["a", "a"], per_crystal="rank")
    assert len(shown(regressor(rank), spot(60.0, 60.0), 1.0, step_px=10.0).points) == 1
    with pytest.raises(ConfigError, match="a least number of reflections says nothing"):
        shown(regressor(rank), flat, 1.0, least=5.0)


def test_crop_rules() -> None:
    assert rule_for(regressor()) == RULE
    assert rule_for(regressor(crop=None), RULE) == RULE
    with pytest.raises(ConfigError, match="the checkpoint has no crop rule"):
        rule_for(regressor(crop=None))
    with pytest.raises(ConfigError, match=r"was taught crops of 64 \+ 0 zoom px"):
        rule_for(regressor(), CropRule(1.0, 2.0))


def test_aims_beside_others() -> None:
    pytest.importorskip("cv2")
    seen: list[tuple[int, int]] = []
    found = compare_aims(
        regressor(crop=None), 2, 3, pictures=1, step_um=60.0, progress=lambda *n: seen.append(n)
    )
    assert list(found.scores) == ["net", "middle of the picture", "lucid, corrected"]
    assert all(s.n == 2 for s in found.scores.values())
    assert found.scores["net"].found == 1.0
    assert len(found.shown) == 1
    truth = found.shown[0]
    assert truth.best_px is not None
    assert truth.on_crystal is not None
    assert truth.on_crystal[int(truth.best_px[1]), int(truth.best_px[0])]
    assert seen[-1] == (2, 2)
    assert found.as_dict()["net"]["n"] == 2
    assert found.sentences()[0].startswith("aim, net: on the crystal in")
    assert step_for(regressor()) == 24.0


def test_a_net_of_colours_sees_them() -> None:
    net = Regressor("a_fcn", TANH.as_dict(), RULE.as_dict(), size=32, channels=3).eval()
    grey = spot(60.0, 40.0)
    colour = np.stack([grey, grey[::-1], grey], axis=-1)
    for mode in ("exact", "dense"):
        one, two, three = (
            shown(net, p, 1.0, step_px=20.0, mode=mode).heat.value
            for p in (grey, np.stack([grey] * 3, axis=-1), colour)
        )
        np.testing.assert_array_equal(one, two)
        assert np.abs(three - one).max() > 1e-4


@pytest.mark.parametrize("seed", ['"x"', "Infinity", "null", "9" * 400, "[" * 100_000])
def test_a_run_whose_seed_is_no_number_is_refused(tmp_path: Path, seed: str) -> None:
    text = '{"source": "simulated:4", "settings": {"seed": SEED}}'
    (tmp_path / "run.json").write_text(text.replace("SEED", "3"))
    assert run_of(tmp_path / "best.ckpt").seed == 3
    (tmp_path / "run.json").write_text(text.replace("SEED", seed))
    with pytest.raises(FormatError, match="not a run of refimpl centring"):
        run_of(tmp_path / "best.ckpt")
