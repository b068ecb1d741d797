"""The nets: parameter counts of the published tables, shapes, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")

from refimpl.centring.net_sizes import NETS, output_size, weights_of  # noqa: E402
from refimpl.centring.nets import build, parameters_of  # noqa: E402
from refimpl.errors import ConfigError  # noqa: E402

# Table 2.2 of the thesis (layers) with Keras's unpadded convolutions: specification, B1.
COUNTS = {
    "a1": 31_523_993, "a2": 60_999_977, "a3": 59_028_025, "a4": 13_824_569, "a5": 59_114_489,
    "a6": 15_754_137, "a7": 63_014_625, "a8": 32_547_409, "a9": 32_514_641, "a10": 32_555_601,
    "classifier": 831_009, "a_fcn": 32_865,
}  # fmt: skip


@pytest.mark.parametrize("name", [*NETS, "classifier", "a_fcn"])
def test_parameter_counts(name: str) -> None:
    with torch.device("meta"):  # counts need no memory
        assert parameters_of(build(name)) == COUNTS[name]
        first = 32 if name == "classifier" else 16 if name == "a_fcn" else 8
        assert parameters_of(build(name, channels=3)) == COUNTS[name] + 2 * 9 * first


def test_the_golden_counts(real_data: Any) -> None:
    golden = json.loads((real_data("centring") / "golden_params.json").read_text())
    assert len(golden) == 11
    for name, counts in golden.items():
        for padding in ("valid", "same"):
            for channels in (1, 3):
                with torch.device("meta"):
                    net = build({"cls": "classifier"}.get(name, name), channels=channels,
                                padding=padding)  # fmt: skip
                assert parameters_of(net) == counts[f"{padding}_c{channels}"], (name, padding)


def test_arithmetic_of_the_thesis() -> None:
    assert output_size(28, 5) == 24
    assert weights_of(5, 3) == 76
    assert weights_of(5, 3, 32) == 2432
    assert output_size(128, 2, stride=2) == 64
    with pytest.raises(ConfigError, match="a window of 5 does not fit into 3 px"):
        output_size(3, 5)


@pytest.mark.parametrize("name", ["a4", "a8", "a9", "classifier", "a_fcn"])
def test_a_picture_gets_one_answer(name: str) -> None:
    torch.manual_seed(1)
    net = build(name, size=32).eval()
    images = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 1, 32, 32)).astype("f4"))
    with torch.no_grad():
        answer = net(images)
        alone = net(images[1:2])
    assert answer.shape == (3,)
    assert float(alone[0]) == pytest.approx(float(answer[1]), abs=1e-5)


def test_layers_begin_as_those_of_keras() -> None:
    torch.manual_seed(2)
    net = build("a4", size=64)
    for layer in net:
        if hasattr(layer, "weight"):
            n_in, n_out = torch.nn.init._calculate_fan_in_and_fan_out(layer.weight)
            limit = (6.0 / (n_in + n_out)) ** 0.5
            largest = float(layer.weight.detach().abs().max())
            assert 0.9 * limit < largest <= limit
            assert (layer.bias == 0.0).all()


def test_the_convolutional_net_answers_for_every_point() -> None:
    torch.manual_seed(3)
    net = build("a_fcn").eval()
    rng = np.random.default_rng(3)
    wide = torch.from_numpy(rng.normal(size=(1, 1, 192, 192)).astype("f4"))
    with torch.no_grad():
        heat = net.heat(wide)
        # a crop of 128 about the point 96: its middle is far enough from the rim to agree
        answer = net(wide[:, :, 32:160, 32:160])
    assert heat.shape == (1, 48, 48)
    assert float(answer[0]) == pytest.approx(float(heat[0, 23:25, 23:25].mean()), abs=1e-5)
    # what it sees: a point beyond the field changes nothing
    other = wide.clone()
    other[0, 0, 96 + net.FIELD // 2 + 4 :, :] += 5.0
    with torch.no_grad():
        assert float(net.heat(other)[0, 23, 23]) == pytest.approx(float(heat[0, 23, 23]), abs=1e-5)
        assert float(net.heat(other)[0, 40, 23]) != pytest.approx(float(heat[0, 40, 23]), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "a11"}, "net 'a11': expected one of a1, a2"),
        ({"name": "a1", "channels": 2}, "channels 2: expected 1 or 3"),
        ({"name": "a1", "padding": "full"}, "padding 'full': expected valid or same"),
        ({"name": "classifier", "size": 8}, "a window of 2 does not fit into 1 px"),
    ],
)
def test_nets_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(**options)
