"""Nets with what Lightning needs to train them, and what a checkpoint needs to predict alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from refimpl.centring.checkpoints import check_archive, reason
from refimpl.centring.crops import CropRule
from refimpl.centring.scores import scores_of
from refimpl.centring.targets import Target
from refimpl.errors import ConfigError, FormatError, MissingExtra

try:
    import pytorch_lightning as lightning
    import torch

    from refimpl.centring.nets import build
except ImportError as error:
    raise MissingExtra("centring", "training and prediction") from error

__all__ = ["SCHEMA", "Classifier", "Regressor", "Taught", "load_module", "load_regressor"]

SCHEMA = 1


class Taught(lightning.LightningModule):
    """What nets share that answer pictures with what ``loss_of`` compares with the truth."""

    loss_of: Any

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        """Loss of a batch."""
        images, wanted = batch
        loss: torch.Tensor = self.loss_of(self(images), wanted)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Answer of the net."""
        answer: torch.Tensor = self.net(images)
        return answer

    def on_validation_epoch_start(self) -> None:
        """Begin with nothing seen."""
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def validation_step(self, batch: Any, index: int) -> None:
        """Keep answers and truth: errors are of the whole set."""
        images, wanted = batch
        self.seen.append((self(images).detach().cpu(), wanted.detach().cpu()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=float(self.hparams["lr"]))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another schema."""
        schema = checkpoint.get("hyper_parameters", {}).get("schema")
        if schema != SCHEMA:
            raise FormatError(
                f"checkpoint of schema {schema}: this refimpl reads {SCHEMA}: train again"
            )


_Module = TypeVar("_Module", bound=Taught)


class Regressor(Taught):
    """A net that predicts the target of a reflection count.

    Parameters
    ----------
    arch
        Name of the net.
    target
        Content of :class:`~refimpl.centring.targets.Target`: all that the way back needs.
    crop
        Content of :class:`~refimpl.centring.crops.CropRule`; None where pictures come cropped.
    size, channels
        Of the pictures.
    lr
        Step of Adam.
    baseline
        Mean of the targets of the training set, for the baseline of the validation.
    """

    def __init__(
        self, arch: str, target: Mapping[str, Any], crop: Mapping[str, Any] | None = None, *,
        size: int = 128, channels: int = 1, lr: float = 1e-3, baseline: float = 0.0,
        schema: int = SCHEMA,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.net = build(arch, channels=channels, size=size)
        self.loss_of = torch.nn.functional.mse_loss

    @property
    def target(self) -> Target:
        """The target that it was taught."""
        return Target(**self.hparams["target"])

    @property
    def crop(self) -> CropRule | None:
        """How pictures were cropped."""
        content = self.hparams["crop"]
        return None if content is None else CropRule(**content)

    def on_validation_epoch_end(self) -> None:
        """Errors over the whole set, beside the baseline."""
        predicted, wanted = (torch.cat(part).numpy() for part in zip(*self.seen, strict=True))
        found = scores_of(predicted, wanted, [float(self.hparams["baseline"])])
        self.log("val_loss", found.mse, prog_bar=True)
        self.log("val_mse", found.mse)
        self.log("val_baseline_mse", found.baseline_mse)
        self.log("val_pearson", found.pearson if found.pearson == found.pearson else 0.0)

    def predict_step(self, batch: Any, index: int = 0) -> torch.Tensor:
        """Targets of a batch of pictures, with or without what they should be."""
        answer: torch.Tensor = self(batch[0] if isinstance(batch, list | tuple) else batch)
        return answer


class Classifier(Taught):
    """The net that tells empty loops (1) from crystals (0); it answers with a logit.

    Schurmann & Lindhe (2019), section 2.4: binary cross-entropy, alphabetical labels.
    """

    def __init__(
        self, *, size: int = 128, channels: int = 1, lr: float = 1e-3, schema: int = SCHEMA
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = build("classifier", channels=channels, size=size)
        self.loss_of = torch.nn.functional.binary_cross_entropy_with_logits

    def on_validation_epoch_end(self) -> None:
        """Loss and share of right answers over the whole set."""
        answer, wanted = (torch.cat(part) for part in zip(*self.seen, strict=True))
        self.log("val_loss", self.loss_of(answer, wanted), prog_bar=True)
        self.log("val_acc", ((answer > 0.0) == (wanted > 0.5)).float().mean())

    def predict_step(self, batch: Any, index: int = 0) -> torch.Tensor:
        """Probability of an empty loop."""
        return torch.sigmoid(self(batch[0] if isinstance(batch, list | tuple) else batch))


def load_regressor(path: str | Path) -> Regressor:
    """Read a checkpoint; it is all that predicting needs.

    Raises
    ------
    FormatError
        The file is missing, no checkpoint of a regressor, or of another schema.
    """
    net = load_module(Regressor, path, "a regressor")
    try:
        _ = net.target, net.crop  # what they say is looked at here, and not amid the work
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"no checkpoint of a regressor: {reason(error)}", path=path) from error
    return net


def load_module(kind: type[_Module], path: str | Path, what: str) -> _Module:
    """Read a checkpoint of a kind of module; `what` names it in messages.

    Raises
    ------
    FormatError
        As :func:`load_regressor`.
    """
    check_archive(path, f"of {what}")
    try:
        # weights_only: a checkpoint is data, and no program of whoever sent it
        net = kind.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except FormatError as error:
        raise FormatError(str(error), path=path) from error
    except Exception as error:  # torch, pickle and zip raise a dozen kinds for a broken file
        raise FormatError(f"no checkpoint of {what}: {reason(error)}", path=path) from error
    net.eval()
    made: _Module = net
    return made
