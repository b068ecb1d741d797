"""Teach a small net where crystals diffract, and let it aim at crystals that it has not seen.

Simulated photographs; the net is told a reflection count for each crop and never where the crystal
is. Beside it: lucid3, which finds loops, and the true middle of the loop. More crystals than the
80 here make it better: ``python examples/centring_aim.py 1000``.
"""

from __future__ import annotations

import sys

from refimpl.centring.datasets import simulated
from refimpl.centring.judge import Seen, judge, of_loop, of_net
from refimpl.centring.simulate_scene import scene
from refimpl.centring.splits import split_crystals
from refimpl.centring.training import TrainingSettings, train


def middle_of_the_loop(seen: Seen) -> tuple[float, float]:
    """What a perfect loop finder would say."""
    made = scene(seen.scene_seed)
    view = made.view(seen.zoom, seen.omega_rad, seen.at_um)
    x, y = view.to_px(view.across(made.mount.offset_um))
    return float(x), float(y)


n = int(sys.argv[1]) if len(sys.argv) > 1 else 80
samples = simulated(n, views=2, crops=10, size=64)
split = split_crystals(samples.crystal, samples.count, seed=0)
print(f"{len(samples)} pictures of {n} crystals, {len(split.train)} of them to learn from")

trained = train(samples, split, TrainingSettings(arch="a_fcn", target="tanh", epochs=20))
best = trained.history[trained.best_epoch]
print(f"epoch {trained.best_epoch} of {trained.epochs}: mean square {best['val_loss']:.3f}, "
      f"predicting the mean {best['val_baseline_mse']:.3f}")  # fmt: skip

for name, point_of in (
    ("net", of_net(trained.net)),
    ("lucid3, corrected", of_loop()),
    ("middle of the loop", middle_of_the_loop),
):
    found = judge(point_of, 40, seed=1)
    print(f"{name:18}: on the crystal in {found.hit:.2f}, {found.relative:.2f} of the best count")
