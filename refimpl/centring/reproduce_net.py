"""One net of ``reproduce``: data, training, test scores and aim; it can be stopped and goes on."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.centring.judge import judge, of_net
from refimpl.centring.reproduce_plan import CLASSIFIER, Plan
from refimpl.centring.samples import Samples
from refimpl.centring.scores import scores_of
from refimpl.centring.simulate_samples import samples as simulated
from refimpl.centring.simulate_view import crop_rule
from refimpl.centring.simulate_windows import windows
from refimpl.centring.splits import PARTS, Split, split_crystals
from refimpl.errors import MissingExtra
from refimpl.io.atomic import make_folder, write_text
from refimpl.scaleout import checkpoint

try:
    import torch

    from refimpl.centring.nets import parameters_of
    from refimpl.centring.training import TrainingSettings, train
except ImportError as error:
    raise MissingExtra("centring", "training") from error

__all__ = ["Task", "data_of", "work"]


@dataclass(frozen=True)
class Task:
    """All that a worker needs.

    Attributes
    ----------
    arch, target
        Of the net; the classifier has no target.
    plan
        Data and training.
    table
        CSV file for the true and predicted targets of the test set.
    workplace
        Folder for checkpoints, removed when all is done.
    keep
        File that the best weights go to; None: they are thrown away.
    """

    arch: str
    target: str
    plan: Plan
    table: Path
    workplace: Path
    keep: Path | None = None


class _Stopped(Exception):
    """Ctrl-C was pressed; Lightning would take a KeyboardInterrupt for its own and exit."""


def work(task: Task) -> dict[str, Any]:
    """Train and judge; return the numbers, None where one is not defined.

    Raises
    ------
    KeyboardInterrupt
        The run is being stopped; what was trained is in the workplace.
    """
    make_folder(task.workplace)
    try:
        found = _classifier(task) if task.arch == CLASSIFIER else _regressor(task)
    except _Stopped:
        raise KeyboardInterrupt from None
    if task.keep is not None:
        shutil.move(task.workplace / "best.ckpt", make_folder(task.keep.parent) / task.keep.name)
    shutil.rmtree(task.workplace)
    return {k: _plain(v) for k, v in found.items()}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _watch(epoch: int, row: dict[str, float]) -> None:
    try:
        checkpoint()
    except KeyboardInterrupt:
        raise _Stopped from None


def _settings(task: Task) -> TrainingSettings:
    p = task.plan
    return TrainingSettings(
        arch="a_fcn" if task.arch == CLASSIFIER else task.arch, target=task.target or "tanh",
        epochs=p.epochs, batch=p.batch, lr=p.lr, patience=p.patience, seed=p.seed,
        threads=p.threads,
    )  # fmt: skip


@lru_cache(maxsize=1)
def data_of(crystals: int, views: int, crops: int, size: int, seed: int) -> tuple[Samples, Split]:
    """Simulated pictures, and their split; kept for the next net of this process."""
    made = simulated(crystals, views, crops, size, seed)
    rows = Samples.of(made.image, made.rc, [str(k) for k in made.crystal])
    return rows, split_crystals(rows.crystal.tolist(), rows.count, seed=seed)


def _regressor(task: Task) -> dict[str, Any]:
    p = task.plan
    samples, split = data_of(p.crystals, p.views, p.crops, p.size, p.seed)
    done = train(
        samples, split, _settings(task), folder=task.workplace, resume=True, progress=_watch,
        crop=crop_rule().as_dict(),
    )  # fmt: skip
    part = split.part_of(samples.crystal.tolist())
    sets = {name: samples.some(np.flatnonzero(part == name)) for name in PARTS}
    net, test = done.net, sets["test"]
    predicted, true = _predicted(net, test.images), net.target.apply(test.count)
    scores = scores_of(predicted, true, net.target.apply(sets["train"].count))
    lines = [f"{c},{t:.9g},{y:.9g}" for c, t, y in zip(test.crystal, true, predicted, strict=True)]
    write_text(task.table, "\n".join(["crystal,true,predicted", *lines]) + "\n")
    checkpoint()
    out = {
        "arch": task.arch, "target": task.target, "parameters": parameters_of(net),
        "best_epoch": done.best_epoch, "epochs": done.epochs,
        **{f"n_{name}": len(rows) for name, rows in sets.items()},
        "crystals_test": len(split.test), **scores.as_dict(),
    }  # fmt: skip
    del out["n"]
    if p.aim:
        aimed = judge(
            of_net(net, step_um=p.step_um, threads=p.threads), p.aim, p.seed,
            progress=lambda done, of: checkpoint(),
        )  # fmt: skip
        out |= {f"aim_{k}": v for k, v in aimed.as_dict().items()}
    return out


def _predicted(net: Any, images: Any) -> Any:
    with torch.no_grad():
        parts = [
            net(torch.from_numpy(images[i : i + 64]).to(net.device)).double().cpu().numpy()
            for i in range(0, len(images), 64)
        ]
    return np.concatenate(parts)


def _classifier(task: Task) -> dict[str, Any]:
    from refimpl.centring.classify import train_classifier

    p = task.plan
    shown = windows(p.crystals, p.views, p.crops, p.size, p.seed)
    ids = [str(k) for k in shown.crystal]
    split = split_crystals(ids, shown.label, seed=p.seed)
    done = train_classifier(
        shown, split, _settings(task), folder=task.workplace, resume=True, progress=_watch
    )
    found, chosen = done.test, done.evaluation
    rows = chosen.part == "test"
    lines = [
        f"{c},{t:.0f},{y:.9g}"
        for c, t, y in zip(chosen.samples.crystal[rows], chosen.samples.count[rows],
                           chosen.probability[rows], strict=True)
    ]  # fmt: skip
    write_text(task.table, "\n".join(["crystal,empty,probability", *lines]) + "\n")
    return {
        "arch": CLASSIFIER, "target": "", "parameters": parameters_of(done.net),
        "best_epoch": done.best_epoch, "epochs": done.epochs, "n_test": found.n,
        "crystals_test": len(split.test), "loss": found.loss, "accuracy": found.accuracy,
        "baseline_loss": found.baseline_loss, "baseline_accuracy": found.baseline_accuracy,
        "balanced_accuracy": found.balanced_accuracy,
        "confusion": [list(row) for row in found.confusion],
    }  # fmt: skip
