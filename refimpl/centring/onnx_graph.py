"""Layers of torch as nodes of ONNX: the few kinds that the nets here are made of.

Written out by hand: torch's own exporter needs a further package, and puts large weights into a
second file. Operators of set 17, which runtimes since 2022 know.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.errors import ConfigError, MissingExtra

try:
    import onnx
    import torch
    from onnx import TensorProto, helper, numpy_helper
    from torch import nn

    from refimpl.centring.nets import FullyConvolutional
except ImportError as error:
    raise MissingExtra("centring", "the export to ONNX") from error

__all__ = ["OPSET", "GraphWriter"]

OPSET = 17
_IR_VERSION = 8  # of the same time as the set of operators


class GraphWriter:
    """Nodes and weights so far."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node; return the name of its result."""
        result = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [result], **attributes))
        return result

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        """Keep numbers; return their name."""
        name = f"weights_{len(self.weights)}"
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        self.weights.append(numpy_helper.from_array(np.array(array, dtype=kind), name))
        return name

    def model(
        self, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]], notes: dict[str, str]
    ) -> onnx.ModelProto:
        """Make the model: float32 inputs and outputs with their shapes, a text for each note."""

        def values(of: dict[str, list[Any]]) -> list[Any]:
            return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in of.items()]

        graph = helper.make_graph(
            self.nodes, "refimpl", values(inputs), values(outputs), self.weights
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="refimpl"
        )
        model.ir_version = _IR_VERSION
        helper.set_model_props(model, notes)
        onnx.checker.check_model(model, full_check=True)
        return model

    def layer(self, layer: nn.Module, x: str) -> str:
        """Add a layer in its state of prediction: dropout is nothing, statistics are fixed.

        Raises
        ------
        ConfigError
            A kind of layer that has no translation here.
        """
        if isinstance(layer, nn.Sequential):
            for part in layer:
                x = self.layer(part, x)
            return x
        if isinstance(layer, nn.Dropout | nn.Identity):
            return x
        if isinstance(layer, nn.ReLU):
            return self.add("Relu", x)
        if isinstance(layer, nn.Flatten):
            return self.add("Flatten", x, axis=1)
        if isinstance(layer, nn.Linear):
            return self.add(
                "Gemm", x, self.constant(layer.weight), self.constant(layer.bias), transB=1
            )
        if isinstance(layer, nn.Conv2d):
            return self._convolution(layer, x)
        if isinstance(layer, nn.MaxPool2d):
            return self._pooling(layer, x)
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            return self.add("GlobalAveragePool", x)
        if isinstance(layer, nn.BatchNorm2d):
            numbers = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
            return self.add(
                "BatchNormalization", x, *(self.constant(n) for n in numbers), epsilon=layer.eps
            )
        if hasattr(layer, "body") and hasattr(layer, "short"):  # a residual block
            both = self.add("Add", self.layer(layer.body, x), self.layer(layer.short, x))
            return self.add("Relu", both)
        raise ConfigError(f"export: no translation of the layer {type(layer).__name__}")

    def heat(self, net: FullyConvolutional, x: str) -> str:
        """(n, h / 4, w / 4) of a fully convolutional net."""
        return self.add("Squeeze", self.layer(net.layers, x), self.constant([1], np.int64))

    def whole(self, net: nn.Module, x: str, size: int) -> str:
        """(n,) answer of a net to pictures of an edge."""
        if not isinstance(net, FullyConvolutional):
            inner = getattr(net, "layers", net)
            return self.add("Squeeze", self.layer(inner, x), self.constant([1], np.int64))
        cells = size // net.STRIDE
        ends = [[(cells - 1) // 2] * 2, [cells // 2 + 1] * 2, [1, 2]]
        middle = self.add("Slice", self.heat(net, x), *(self.constant(e, np.int64) for e in ends))
        return self.add("ReduceMean", middle, axes=[1, 2], keepdims=0)

    def _convolution(self, layer: nn.Conv2d, x: str) -> str:
        dilation = [int(d) for d in layer.dilation]
        if isinstance(layer.padding, str):
            reach = [d * (k - 1) for d, k in zip(dilation, layer.kernel_size, strict=True)]
            reach = reach if layer.padding == "same" else [0, 0]
            before, after = [r // 2 for r in reach], [r - r // 2 for r in reach]
        else:
            before = after = [int(p) for p in layer.padding]
        if layer.padding_mode == "replicate":
            x = self.pad(x, before, after)
            before = after = [0, 0]
        elif layer.padding_mode != "zeros":
            raise ConfigError(f"export: no translation of padding {layer.padding_mode!r}")
        weights = [self.constant(layer.weight)]
        if layer.bias is not None:
            weights.append(self.constant(layer.bias))
        return self.add(
            "Conv", x, *weights, pads=[*before, *after], dilations=dilation, group=layer.groups,
            strides=[int(s) for s in layer.stride], kernel_shape=list(layer.kernel_size),
        )  # fmt: skip

    def pad(self, x: str, before: list[int], after: list[int]) -> str:
        """Repeat the rim of (n, c, h, w)."""
        ends = self.constant([0, 0, *before, 0, 0, *after], np.int64)
        return self.add("Pad", x, ends, mode="edge")

    def _pooling(self, layer: nn.MaxPool2d, x: str) -> str:
        kernel, stride, padding = (
            [int(v)] * 2 if isinstance(v, int) else [int(e) for e in v]
            for v in (layer.kernel_size, layer.stride, layer.padding)
        )
        return self.add("MaxPool", x, kernel_shape=kernel, strides=stride, pads=[*padding] * 2)
