"""The data module: parts, loaders, what a checkpoint keeps of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")

from refimpl.centring.crops import turned  # noqa: E402
from refimpl.centring.datamodule import CrystalDataModule  # noqa: E402
from refimpl.centring.datasets import write_hdf5  # noqa: E402
from refimpl.centring.samples import Samples  # noqa: E402
from refimpl.centring.splits import PARTS, Split, load_split, split_crystals  # noqa: E402
from refimpl.centring.targets import fit_target  # noqa: E402
from refimpl.centring.training import TrainingSettings  # noqa: E402
from refimpl.errors import ConfigError, FormatError  # noqa: E402

SETTINGS = TrainingSettings(batch=7, seed=3)


@pytest.fixture(scope="module")
def samples() -> Samples:
    rng = np.random.default_rng(0)
    crystal = [f"c{k}" for k in np.repeat(np.arange(10), 4)]
    return Samples.of(rng.normal(size=(40, 8, 8)), rng.poisson(rng.exponential(300.0, 40)), crystal)


def module(samples: Samples, **others: Any) -> CrystalDataModule:
    data = CrystalDataModule(samples, None, replace(SETTINGS, **others))
    data.setup("fit")
    return data


def seen(loader: Any, epoch: int = 0) -> tuple[Any, Any]:
    if hasattr(loader.sampler, "set_epoch"):
        loader.sampler.set_epoch(epoch)
    images, wanted = zip(*loader, strict=True)
    return torch.cat(images).numpy(), torch.cat(wanted).numpy()


def test_parts_share_no_crystal_and_the_target_is_of_the_training(samples: Samples) -> None:
    data = module(samples)
    crystals = [set(data.parts[p].crystal.tolist()) for p in PARTS]
    assert sum(len(c) for c in crystals) == len(set.union(*crystals)) == 10
    assert data.split == split_crystals(samples.crystal.tolist(), samples.count, seed=3)
    assert data.target == fit_target("tanh", data.parts["train"].count)
    assert module(samples, statistics="all").target == fit_target("tanh", samples.count)
    assert data.baseline == pytest.approx(data.parts["train"].targets(data.target).mean())
    by_rank = module(samples, per_crystal="rank")
    train = by_rank.parts["train"]
    want = fit_target("tanh", train.count, train.crystal, per_crystal="rank")
    assert by_rank.target == want


def test_four_loaders(samples: Samples) -> None:
    data = module(samples, augment=False)
    for name, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        images, wanted = seen(loader)
        np.testing.assert_array_equal(images, data.parts[name].images)
        np.testing.assert_allclose(wanted, data.parts[name].targets(data.target), rtol=1e-6)
    images, wanted = seen(data.predict_dataloader())
    np.testing.assert_array_equal(images, samples.images)
    batches = [len(images) for images, _ in data.train_dataloader()]
    assert batches == [7, 7, 7, 3]
    images, wanted = seen(data.train_dataloader())
    train = data.parts["train"]
    order = [
        int(np.flatnonzero((train.images == image).all(axis=(1, 2, 3)))[0]) for image in images
    ]
    assert sorted(order) == list(range(24)) != order
    np.testing.assert_allclose(wanted, train.targets(data.target)[order], rtol=1e-6)


def which_way(image: Any, train: Samples) -> tuple[int, int]:
    """Row and turn of a picture."""
    for way in range(8):
        same = (turned(train.images, way) == image).all(axis=(1, 2, 3))
        if same.any():
            return int(np.flatnonzero(same)[0]), way
    raise AssertionError("no picture of the training set")


def test_pictures_are_turned_anew_each_epoch(samples: Samples) -> None:
    data = module(samples)
    loader, train = data.train_dataloader(), data.parts["train"]
    epochs = [seen(loader, epoch)[0] for epoch in (0, 1, 0)]
    np.testing.assert_array_equal(epochs[0], epochs[2])
    found = [[which_way(image, train) for image in images] for images in epochs[:2]]
    for ways in found:
        assert sorted(row for row, _ in ways) == list(range(24))
        assert len({way for _, way in ways}) > 4
    assert dict(found[0]) != dict(found[1])
    np.testing.assert_array_equal(seen(data.val_dataloader())[0], data.parts["val"].images)


def test_all_eight_ways_of_every_set(samples: Samples) -> None:
    data = module(samples, augment="all")
    images, _ = seen(data.train_dataloader())
    ways = [which_way(image, data.parts["train"]) for image in images]
    assert sorted(ways) == [(row, way) for row in range(24) for way in range(8)]
    images, wanted = seen(data.val_dataloader())
    assert len(images) == 8 * len(data.parts["val"])
    np.testing.assert_array_equal(images[3], turned(data.parts["val"].images[0], 3))
    assert len(set(wanted[:8])) == 1


@pytest.mark.slow
def test_processes_show_what_one_does(samples: Samples) -> None:
    alone = module(samples)
    with_two = module(samples, workers=2)
    for epoch in (0, 1):
        for a, b in zip(
            seen(alone.train_dataloader(), epoch), seen(with_two.train_dataloader(), epoch),
            strict=True,
        ):  # fmt: skip
            np.testing.assert_array_equal(a, b)


def test_a_source_that_is_read(samples: Samples, tmp_path: Path) -> None:
    path = write_hdf5(samples, tmp_path / "a.h5")
    told: list[tuple[int, int]] = []
    data = CrystalDataModule(path, None, SETTINGS, size=8, keep=tmp_path / "split.json")
    data.setup()
    np.testing.assert_array_equal(data.samples.images, samples.images)
    assert load_split(tmp_path / "split.json") == data.split
    again = CrystalDataModule(path, tmp_path / "split.json", replace(SETTINGS, seed=9), size=8)
    again.setup()
    assert again.split == data.split
    made = CrystalDataModule(
        "simulated:4x1x2", None, SETTINGS, size=8, progress=lambda n, of: told.append((n, of))
    )
    made.setup()
    assert told[-1] == (4, 4)
    assert made.rule is not None
    with pytest.raises(FormatError, match="cannot read"):
        CrystalDataModule(tmp_path / "none.h5", None, SETTINGS)


def test_what_cannot_be_split(samples: Samples) -> None:
    split = Split(("c0",), ("elsewhere",), tuple(f"c{k}" for k in range(1, 10)))
    with pytest.raises(ConfigError, match="no pictures of the crystals of val"):
        CrystalDataModule(samples, split, SETTINGS).setup()
    with pytest.raises(ConfigError, match="'c1' is in no part of the split, nor are 8 others"):
        CrystalDataModule(samples, Split(("c0",), ("a",), ("b",)), SETTINGS).setup()


def test_a_run_goes_on_with_the_same_only(samples: Samples) -> None:
    data = module(samples)
    state = data.state_dict()
    module(samples, epochs=7, patience=1, threads=2, workers=1).load_state_dict(state)
    with pytest.raises(ConfigError, match=r"the run began with lr 0\.001, not 0\.5"):
        module(samples, lr=0.5).load_state_dict(state)
    other = replace(samples, count=samples.count + 1.0)
    with pytest.raises(ConfigError, match="the run began with other pictures"):
        module(other).load_state_dict(state)
    parts = data.split
    assert parts is not None
    swapped = CrystalDataModule(samples, Split(parts.train, parts.test, parts.val), SETTINGS)
    swapped.setup()
    with pytest.raises(ConfigError, match="the run began with another split"):
        swapped.load_state_dict(state)


def test_settings_and_augmentation() -> None:
    assert TrainingSettings(augment=True) == TrainingSettings(augment="train")
    assert TrainingSettings(augment=False).augment == "none"
    assert TrainingSettings(**SETTINGS.as_dict()) == SETTINGS
    for name, value in (
        ("augment", "some"), ("target", "cube"), ("per_crystal", "half"), ("plateau", -1),
        ("workers", -1),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=f"{name} .*: expected"):
            replace(SETTINGS, **{name: value})
