"""A trained net as one ONNX file that takes plain pictures and answers with reflections.

The standardisation of the pictures and the way back from the target are part of the file, so that
a runtime in any language needs nothing else: a crop goes in as the camera gave it, (n, channels,
size, size) of any brightness, and ``value`` (the target) and ``count`` (reflections) come out,
(n,) each. The dense form of a fully convolutional net takes a whole picture that was drawn to the
scale of the crops, and answers for each 4 x 4 px of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.centring.crops import locally_standardised, standardised
from refimpl.centring.targets import Target
from refimpl.errors import ConfigError, MissingExtra
from refimpl.io.atomic import atomic_path, check_target

try:
    import onnx
    import torch
    from onnx.reference import ReferenceEvaluator

    from refimpl.centring.nets import FullyConvolutional
    from refimpl.centring.onnx_graph import GraphWriter
except ImportError as error:
    raise MissingExtra("centring", "the export to ONNX") from error

__all__ = ["NOTES_SCHEMA", "Exported", "export_onnx"]

NOTES_SCHEMA = 1
_NEAR_ONE = 1.0 - 2.0**-53  # as the target's own way back
_ALLOWED = 1e-3


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    path
        The file.
    inputs, outputs
        Names and shapes; a word stands for any number.
    notes
        What the file says of itself, under the key ``refimpl`` of its properties.
    difference
        Largest difference of a value between onnx's own evaluator and torch.
    bytes
        Size of the file.
    """

    path: Path
    inputs: dict[str, list[Any]]
    outputs: dict[str, list[Any]]
    notes: dict[str, Any]
    difference: float
    bytes: int


def export_onnx(net: Any, path: str | Path, *, dense: bool = False) -> Exported:
    """Write a regressor as ONNX, and check the file against torch.

    Parameters
    ----------
    net
        A regressor, as :func:`refimpl.centring.modules.load_regressor` gives it.
    path
        One file, weights included.
    dense
        A whole picture at once; fully convolutional nets only.

    Raises
    ------
    ConfigError
        ``dense`` of a net that cannot; a layer without translation; the file would not say what
        the net does.
    """
    inner, target, size = net.net, net.target, int(net.hparams["size"])
    channels = int(net.hparams["channels"])
    if dense and not isinstance(inner, FullyConvolutional):
        raise ConfigError(
            f"dense export: {net.hparams['arch']} is not fully convolutional: leave out dense",
            key="dense",
        )
    place = Path(path)
    check_target(place)
    net.eval()
    writer = GraphWriter()
    shape = ["n", channels, "height", "width"] if dense else ["n", channels, size, size]
    answer = ["n", "rows", "columns"] if dense else ["n"]
    seen = _local(writer, size) if dense else _standardised(writer)
    value = writer.heat(inner, seen) if dense else writer.whole(inner, seen, size)
    outputs = {writer.add("Identity", value, name="value"): answer}
    if target.is_invertible:
        outputs[_count(writer, "value", target)] = answer
    notes = _notes(net, dense, outputs)
    model = writer.model({"picture": shape}, outputs, {"refimpl": json.dumps(notes)})
    difference = _check(model, net, dense, size, channels)
    with atomic_path(place) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
    return Exported(place, {"picture": shape}, outputs, notes, difference, place.stat().st_size)


def _notes(net: Any, dense: bool, outputs: dict[str, list[Any]]) -> dict[str, Any]:
    import refimpl

    return {
        "schema": NOTES_SCHEMA, "refimpl": refimpl.__version__, "arch": net.hparams["arch"],
        "target": net.target.as_dict(), "crop": net.hparams["crop"],
        "size": int(net.hparams["size"]), "channels": int(net.hparams["channels"]),
        "form": "dense" if dense else "crops", "outputs": list(outputs),
        "stride": FullyConvolutional.STRIDE if dense else None,
    }  # fmt: skip


def _divided(
    writer: GraphWriter, away: str, variance: str, flat: float, kind: Any = np.float32
) -> str:
    """Differences over their deviation; 0 where there is no contrast."""
    varied = writer.add("Greater", variance, writer.constant(flat, kind))
    safe = writer.add("Where", varied, variance, writer.constant(1.0, kind))
    divided = writer.add("Div", away, writer.add("Sqrt", safe))
    return writer.add("Where", varied, divided, writer.constant(0.0, kind))


def _standardised(writer: GraphWriter) -> str:
    """Mean 0 and deviation 1 of each picture."""
    away = writer.add("Sub", "picture", writer.add("ReduceMean", "picture", axes=[2, 3]))
    # the first mean is rounded; the second takes what is left of it out
    away = writer.add("Sub", away, writer.add("ReduceMean", away, axes=[2, 3]))
    square = writer.add("ReduceMean", writer.add("Mul", away, away), axes=[2, 3])
    return _divided(writer, away, square, 1e-12)


def _local(writer: GraphWriter, size: int) -> str:
    """Mean 0 and deviation 1 about each pixel, over a square as large as the crops.

    Sums over squares are differences of running sums, in double precision: the same work for a
    square of any size.
    """
    kinds = onnx.TensorProto
    plain = writer.add("Cast", "picture", to=kinds.DOUBLE)
    near = writer.add("Sub", plain, writer.add("ReduceMean", plain, axes=[2, 3]))
    before, after = size // 2, size - size // 2 - 1

    def mean(x: str) -> str:
        for axis in (2, 3):
            low, high = [0, 0], [0, 0]
            low[axis - 2], high[axis - 2] = before, after + 1  # one more: sums leave out their end
            padded = writer.pad(x, low, high)
            at = writer.constant(axis, np.int64)
            sums = writer.add("CumSum", padded, at, exclusive=1)
            ends = [writer.constant([v], np.int64) for v in (0, -size, size, 2**31 - 1, axis)]
            first = writer.add("Slice", sums, ends[0], ends[1], ends[4])
            last = writer.add("Slice", sums, ends[2], ends[3], ends[4])
            x = writer.add("Sub", last, first)
        return writer.add("Div", x, writer.constant(size * size, np.float64))

    middle = mean(near)
    square = mean(writer.add("Mul", near, near))
    variance = writer.add("Sub", square, writer.add("Mul", middle, middle))
    seen = _divided(writer, writer.add("Sub", near, middle), variance, 1e-9, np.float64)
    return writer.add("Cast", seen, to=kinds.FLOAT)


def _count(writer: GraphWriter, value: str, target: Target) -> str:
    """The way back, in double precision: near its ends tanh has little left of single."""
    double, single = onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT

    def number(x: float) -> str:
        return writer.constant(x, np.float64)

    def expm1(x: str) -> str:
        return writer.add("Sub", writer.add("Exp", x), number(1.0))

    y = writer.add("Cast", value, to=double)
    scale, shift = target.deviation, target.mean
    if target.name == "log":
        z, shift = expm1(y), target.least
    elif target.name == "log_first":
        inner = writer.add("Mul", y, number(target.deviation))
        z, scale, shift = expm1(writer.add("Add", inner, number(target.mean))), 1.0, 0.0
    elif target.name == "log_literal":
        z = writer.add("Exp", y)
    elif target.name == "slog":
        z = writer.add("Mul", writer.add("Sign", y), expm1(writer.add("Abs", y)))
    elif target.name == "tanh":
        drawn = writer.add("Clip", y, number(-_NEAR_ONE), number(target.ceiling))
        upper = writer.add("Log", writer.add("Add", number(1.0), drawn))
        lower = writer.add("Log", writer.add("Sub", number(1.0), drawn))
        z = writer.add("Mul", writer.add("Sub", upper, lower), number(0.5))
    elif target.name == "vanilla":
        z = y
    else:
        raise ConfigError(f"export: no translation of the target {target.name!r}")
    count = writer.add("Add", writer.add("Mul", z, number(scale)), number(shift))
    return writer.add("Cast", count, to=single, name="count")


def _check(model: Any, net: Any, dense: bool, size: int, channels: int) -> float:
    """Largest difference from torch for pictures of different brightness and contrast."""
    rng = np.random.default_rng(0)
    edges = (size + 8, size + 12) if dense else (size, size)
    rough = rng.normal(size=(3, channels, *edges))
    slope = np.linspace(-1.0, 1.0, edges[1]) * np.linspace(0.2, 1.0, edges[0])[:, None]
    picture = 120.0 + np.array([3.0, 20.0, 40.0])[:, None, None, None] * (rough + 2.0 * slope)
    given = picture.astype(np.float32)
    got = ReferenceEvaluator(model).run(None, {"picture": given})
    plain = given.astype(np.float64)
    with torch.no_grad():
        if dense:
            seen = np.stack([[locally_standardised(c, size) for c in one] for one in plain])
            wanted = net.net.heat(torch.from_numpy(seen.astype(np.float32))).numpy()
        else:
            wanted = net(torch.from_numpy(standardised(plain).astype(np.float32))).numpy()
    difference = float(np.abs(got[0] - wanted).max())
    if not difference <= _ALLOWED * (1.0 + float(np.abs(wanted).max())):
        raise ConfigError(f"export: the file's values differ from the net's by {difference:.2g}")
    if len(got) > 1:
        back = net.target.invert(got[0])
        if not np.allclose(got[1], back, rtol=1e-5, atol=1e-3):
            raise ConfigError("export: the file's counts differ from those of the target")
    return difference
