"""How fast nets are trained and drawn as heat maps, on the GPU where there is one; data loading."""

from __future__ import annotations

import math
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from harness import measure
from page import Table, seconds

__all__ = ["GOAL_LOADING", "data_loading", "net_speeds"]

GOAL_LOADING = 0.1
BATCHES = {"cpu": (8, 16, 32, 64), "cuda": (32, 64, 128, 256, 512, 1024)}
ENOUGH = 1.05
"""A larger batch is taken where it is faster by this factor."""


def net_speeds(archs: list[str], size: int) -> Table:
    """Pictures a second in training and heat maps a second, each with its best batch."""
    import torch

    torch.set_num_threads(1)
    where = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if where == "cuda" else "CPU, one thread"
    table = Table(
        f"Nets at {size} px, {name}", "net", "batch, training", "pictures / s, training", "use",
        "batch, prediction", "crops / s", "heat maps / s", "of", "use, maps",
    )  # fmt: skip
    for arch in archs:
        taught, quiet, use = _fastest(lambda batch, a=arch: _step(a, size, batch, where), where)
        drawn, calm, _ = _fastest(lambda batch, a=arch: _look(a, size, batch, where), where)
        maps, points, busy = _heat_maps(arch, size, drawn[0], where)
        table.add(
            arch, taught[0], f"{taught[1]:.0f}", use, drawn[0], f"{drawn[1]:.0f}",
            f"{maps:.2f}" if maps < 100 else f"{maps:.0f}", points, busy, quiet=quiet and calm,
        )  # fmt: skip
    table.note(
        "Each batch is the smallest that no larger one beats by 5 %. A heat map: 480 x 600 px at "
        "zoom 2, a point each 20 px, its crops cut by one thread of the CPU. Use: of the GPU as "
        "its driver counts it, or of one core."
    )
    return table


def _fastest(
    make: Callable[[int], Callable[[], object]], where: str
) -> tuple[tuple[int, float], bool, str]:
    """Best batch and its pictures a second, whether the machine was quiet, and the use."""
    best, quiet, use = (0, 0.0), True, ""
    for batch in BATCHES[where]:
        try:
            call = make(batch)
            with _use_of(where) as used:
                timing = measure(call, 3, attempts=1)
        except (RuntimeError, MemoryError) as error:  # torch says so where memory is short
            if "memory" not in str(error).lower():
                raise
            break
        rate = batch / timing.median_s
        if rate > ENOUGH * best[1]:
            cores = f"{100 * timing.cpu_s / timing.median_s:.0f} %"
            best, quiet, use = (batch, rate), timing.quotable, used.get("gpu", cores)
    return best, quiet, use


def _step(arch: str, size: int, batch: int, where: str) -> Callable[[], object]:
    import torch

    from refimpl.centring.nets import build

    net = build(arch, size=size).to(where)
    moved = torch.optim.Adam(net.parameters())
    images = torch.randn(batch, 1, size, size)
    wanted = torch.randn(batch)

    def step() -> None:
        # with the way to the device, which a training has too
        moved.zero_grad()
        answer = net(images.to(where))
        torch.nn.functional.mse_loss(answer, wanted.to(where)).backward()
        moved.step()
        if where == "cuda":
            torch.cuda.synchronize()

    return step


def _look(arch: str, size: int, batch: int, where: str) -> Callable[[], object]:
    import torch

    from refimpl.centring.nets import build

    net = build(arch, size=size).to(where).eval()
    images = torch.randn(batch, 1, size, size)

    def look() -> None:
        with torch.no_grad():
            net(images.to(where)).cpu()

    return look


def _heat_maps(arch: str, size: int, batch: int, where: str) -> tuple[float, str, str]:
    """Heat maps a second, points of one and the way, and the use."""
    from refimpl.centring.heatmap import heat_map
    from refimpl.centring.nets import CONVOLUTIONAL, build
    from refimpl.centring.simulate_scene import scene
    from refimpl.centring.simulate_view import crop_rule
    from refimpl.centring.targets import fit_target

    net = build(arch, size=size).to(where).eval()
    if where == "cuda":
        _from_afar(net, where)
    picture, target = scene(3).picture(2.0, 0.3), fit_target("tanh", np.arange(100.0))
    points = [0]

    def draw() -> None:
        made = heat_map(net, picture, crop_rule(), 2.0, target, step_px=20.0, size=size,
                        batch=batch)  # fmt: skip
        points[0] = made.value.size

    with _use_of(where) as used:
        timing = measure(draw, 2, attempts=1)
    way = "all at once" if arch == CONVOLUTIONAL else "crop by crop"
    cores = f"{100 * timing.cpu_s / timing.median_s:.0f} %"
    return 1.0 / timing.median_s, f"{points[0]} points, {way}", used.get("gpu", cores)


def _from_afar(net: Any, where: str) -> None:
    """Let a net on a device take pictures from the CPU, and answer there."""
    for name in ("heat", "forward"):
        if hasattr(net, name):
            inner = getattr(net, name)
            setattr(net, name, lambda images, inner=inner: inner(images.to(where)).cpu())


@contextmanager
def _use_of(where: str) -> Iterator[dict[str, str]]:
    """Mean use of the GPU meanwhile, under ``gpu``, where its driver tells."""
    used: dict[str, str] = {}
    tool = shutil.which("nvidia-smi")
    if where != "cuda" or tool is None:
        yield used
        return
    seen: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        command = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not ended.is_set():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            first = (done.stdout.splitlines() or [""])[0].strip()
            if first.isdigit():
                seen.append(float(first))
            ended.wait(0.1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield used
    finally:
        ended.set()
        thread.join()
        if seen:
            used["gpu"] = f"{np.mean(seen):.0f} %"


def data_loading(size: int, crystals: int = 32) -> tuple[Table, float]:
    """Part of an epoch that goes by until the pictures of its batches are there, and the worst."""
    import torch

    from refimpl.centring.datamodule import CrystalDataModule
    from refimpl.centring.datasets import simulated
    from refimpl.centring.training_settings import TrainingSettings

    torch.set_num_threads(1)
    where = "cuda" if torch.cuda.is_available() else "cpu"
    table = Table(
        f"Waiting for pictures, {size} px, turned at random, {where.upper()}", "net", "pictures",
        "an epoch", "of it waiting", "part",
    )  # fmt: skip
    rows, worst = simulated(crystals, 2, 10, size, 0), 0.0
    for arch in ("a8", "a_fcn"):
        batch = 256 if where == "cuda" else 32
        data = CrystalDataModule(rows, None, TrainingSettings(arch, "tanh", batch=batch))
        data.setup("fit")
        loader, (net, moved) = data.train_dataloader(), _taught(arch, size, where)
        whole, waited, n = math.inf, math.inf, 0
        for _ in range(3):  # the first one warms up
            n, waiting, start = 0, 0.0, time.perf_counter()
            batches = iter(loader)
            while True:
                before = time.perf_counter()
                found = next(batches, None)
                waiting += time.perf_counter() - before
                if found is None:
                    break
                images, wanted = (part.to(where) for part in found)
                moved.zero_grad()
                torch.nn.functional.mse_loss(net(images), wanted).backward()
                moved.step()
                n += len(images)
            if where == "cuda":
                torch.cuda.synchronize()
            spent = time.perf_counter() - start
            if spent < whole:
                whole, waited = spent, waiting
        worst = max(worst, waited / whole)
        table.add(arch, n, seconds(whole), seconds(waited), f"{100 * waited / whole:.1f} %")
    table.note("The best of three epochs. Pictures are in memory, no process beside this one.")
    return table, worst


def _taught(arch: str, size: int, where: str) -> tuple[Any, Any]:
    import torch

    from refimpl.centring.nets import build

    net = build(arch, size=size).to(where)
    return net, torch.optim.Adam(net.parameters())
