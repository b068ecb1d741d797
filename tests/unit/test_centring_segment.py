"""The segment-first variant and the known backbone: trained, kept and used by the same doors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")

from refimpl.centring.backbones import ResidualNet  # noqa: E402
from refimpl.centring.crops import CropRule  # noqa: E402
from refimpl.centring.modules import Regressor, load_regressor  # noqa: E402
from refimpl.centring.nets import build, parameters_of  # noqa: E402
from refimpl.centring.samples import Samples  # noqa: E402
from refimpl.centring.segment import (  # noqa: E402
    Masked,
    Segmenter,
    load_segmenter,
    mask_samples,
    segment,
    train_segmenter,
)
from refimpl.centring.simulate import scene  # noqa: E402
from refimpl.centring.simulate_samples import samples  # noqa: E402
from refimpl.centring.splits import Split, split_crystals  # noqa: E402
from refimpl.centring.training import Trained, train  # noqa: E402
from refimpl.centring.training_settings import TrainingSettings  # noqa: E402
from refimpl.errors import ConfigError, FormatError  # noqa: E402

SHORT = TrainingSettings(epochs=6, patience=9, lr=4e-3)
RULE = CropRule(32.0, 0.0)


@pytest.fixture(scope="module")
def masked() -> Masked:
    """Bright discs anywhere in the crop, on noise."""
    rng = np.random.default_rng(0)
    at, radius = rng.uniform(4.0, 28.0, (160, 2, 1, 1)), rng.uniform(3.0, 7.0, (160, 1, 1))
    y, x = np.mgrid[:32, :32] + 0.5
    disc = np.hypot(x - at[:, 0], y - at[:, 1]) < radius
    images = 3.0 * disc + 0.5 * rng.normal(size=disc.shape)
    cells = disc.reshape(160, 8, 4, 8, 4).mean(axis=(2, 4)).astype(np.float32)
    names = [f"c{k % 20}" for k in range(160)]
    return Masked(Samples.of(images, rng.poisson(100.0, 160), names), cells)


@pytest.fixture(scope="module")
def split(masked: Masked) -> Split:
    return split_crystals(masked.samples.crystal.tolist(), masked.samples.count)


@pytest.fixture(scope="module")
def whole(masked: Masked, split: Split, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("segmenter")
    return train_segmenter(masked, split, SHORT, folder=folder, rule=RULE)


def weights(net: Any) -> list[bytes]:
    return [v.numpy().tobytes() for v in net.state_dict().values()]


def test_it_finds_the_discs_of_a_picture(whole: Trained) -> None:
    assert whole.history[whole.best_epoch]["val_overlap"] > 0.6
    y, x = np.mgrid[:120, :160] + 0.5
    rng = np.random.default_rng(3)
    picture = 100.0 + 15.0 * rng.normal(size=x.shape)
    picture[np.hypot(x - 40.0, y - 80.0) < 6.0] += 90.0
    picture[np.hypot(x - 120.0, y - 30.0) < 4.0] += 90.0
    pieces = segment(whole.net, picture, 1.0, step_px=2.0, least_px2=20.0, probability=0.5)
    assert len(pieces) >= 2
    assert np.hypot(pieces[0].x_px - 40.0, pieces[0].y_px - 80.0) < 4.0
    assert np.hypot(pieces[1].x_px - 120.0, pieces[1].y_px - 30.0) < 4.0
    one = pieces[0]
    assert one.left_px < one.x_px < one.right_px
    assert one.top_px < one.y_px < one.bottom_px
    assert 0.5 <= one.probability <= 1.0
    assert segment(whole.net, picture, 1.0, least_px2=1e6) == ()  # no crystal here


def test_the_same_seed_and_runs_that_go_on(
    masked: Masked, split: Split, whole: Trained, tmp_path: Path
) -> None:
    train_segmenter(masked, split, replace(SHORT, epochs=2), folder=tmp_path, rule=RULE)
    on = train_segmenter(masked, split, SHORT, folder=tmp_path, rule=RULE, resume=True)
    assert weights(on.net) == weights(whole.net)


def test_a_checkpoint_segments_alone(whole: Trained, tmp_path: Path) -> None:
    assert whole.checkpoint is not None
    net = load_segmenter(whole.checkpoint)
    assert weights(net) == weights(whole.net)
    assert net.crop == RULE
    with pytest.raises(FormatError, match="no checkpoint of a regressor"):
        load_regressor(whole.checkpoint)
    with pytest.raises(FormatError, match="cannot read: No such file"):
        load_segmenter(tmp_path / "none.ckpt")


def test_simulated_masks_are_those_of_the_crystals() -> None:
    made = mask_samples(6, 1, 8, 32, seed=2)
    assert made.samples.images.shape == (48, 1, 32, 32)
    assert made.mask.shape == (48, 8, 8)
    taken = samples(6, 1, 8, 32, seed=2, mask_px=8)
    again = samples(6, 1, 8, 32, seed=2)  # the same pictures with and without masks
    np.testing.assert_array_equal(taken.image, again.image)
    assert again.mask.size == 0
    # a crop whose middle is on a crystal has many reflections, and the other way round
    middle = made.mask[:, 3:5, 3:5].mean(axis=(1, 2))
    expected = taken.expected
    assert expected[middle > 0.6].min() > 100.0 > np.median(expected[middle == 0.0])
    assert scene(int(taken.scene_seed[0])).crystals


def test_what_cannot_be_segmented(masked: Masked, split: Split, whole: Trained) -> None:
    with pytest.raises(ConfigError, match="size 30 px: expected a multiple of 4"):
        mask_samples(1, size=30)
    with pytest.raises(ConfigError, match="probability 1: expected between 0 and 1"):
        segment(whole.net, np.zeros((60, 60)), 1.0, probability=1.0)
    with pytest.raises(ConfigError, match="the net has no crop rule"):
        segment(Segmenter(), np.zeros((60, 60)), 1.0)
    nothing = Split(("other",), split.val, split.test + split.train)
    with pytest.raises(ConfigError, match="no pictures of the crystals of train"):
        train_segmenter(masked, nothing, SHORT)


def test_parameters_of_the_backbone() -> None:
    """As published for 3 colours and 1000 classes; then 1 colour and 1 neuron less."""
    published = 11_689_512
    with torch.device("meta"):
        assert parameters_of(ResidualNet(3, 64, 1000)) == published
        grey = published - 2 * 7 * 7 * 64 - (512 + 1) * 999
        assert parameters_of(build("resnet18")) == grey == 11_170_753
        # a quarter of the filters: 784 weights of the first layer, a 16th of the other weights,
        # a quarter of the 9600 statistics, 129 of the neuron
        others = (grey - 7 * 7 * 64 - 9600 - 513) // 16
        assert parameters_of(build("resnet18_slim")) == others + 784 + 2400 + 129 == 700_657


def test_a_backbone_trains_and_exports_like_any_net(masked: Masked, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the extra centring (onnx)")
    from refimpl.centring.export import export_onnx

    own = replace(masked.samples, count=np.round(1000.0 * masked.mask.mean(axis=(1, 2))))
    parts = split_crystals(own.crystal.tolist(), own.count)
    settings = replace(SHORT, arch="resnet18_slim", target="vanilla", epochs=4, lr=1e-3)
    made = train(own, parts, settings, folder=tmp_path, crop=RULE.as_dict())
    assert made.checkpoint is not None
    assert made.history[made.best_epoch]["val_pearson"] > 0.3
    net = load_regressor(made.checkpoint)
    assert isinstance(net, Regressor)
    assert export_onnx(net, tmp_path / "net.onnx").difference < 1e-4
