"""One training loop, for every arm. Shapes: N images, B of them in a batch."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import lr_scheduler

from kmpl.config.experiment import Augmentation, Training
from kmpl.errors import DivergedError, UserError
from kmpl.images.augmentation import augment, redraw_views
from kmpl.images.transforms import to_float
from kmpl.models.embedding import predict
from kmpl.models.network import Network
from kmpl.runtime.seeds import derive, generator
from kmpl.training import metrics
from kmpl.training.centre_loss import CentreLoss
from kmpl.training.ema import RunningAverage
from kmpl.training.examples import Examples, batches
from kmpl.training.history import Epoch, Fit

# Numbers in the images that are augmented at once: fewer, larger pieces of work take less time.
_NUMBERS_AHEAD = 500_000

OnEpoch = Callable[[Epoch, int], None]
"""Called after each epoch with what it gave and with the number of epochs in all."""

OnBatch = Callable[[float, int], None]
"""Called after each step with how many epochs are done, as a fraction, and with the number of epochs in all."""


def optimizer(network: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """Return the optimiser that the settings ask for."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    return kind(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def _schedule(optimizer: torch.optim.Optimizer, settings: Training, steps: int) -> lr_scheduler.LRScheduler:
    if settings.schedule == "one-cycle":
        rise = 0.25 if steps == 5 else 0.2  # OneCycleLR divides by zero where the rise is exactly one step
        return lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=max(steps, 2), pct_start=rise)
    if settings.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    return lr_scheduler.ConstantLR(optimizer, factor=1.0)


class _Run:
    """What a training carries from step to step."""

    def __init__(
        self, network: Network, data: Examples, settings: Training, *, augmentation: Augmentation, seed: int
    ) -> None:
        device = next(network.parameters()).device
        self.network = network
        self.settings = settings
        self.augmentation = augmentation
        self.data = Examples(**{field.name: getattr(data, field.name).to(device) for field in fields(data)})
        self.views = bool(augmentation.views and data.mirrored.any())
        self.draws = generator(seed, "batches")
        self.per_epoch = settings.images_per_epoch or len(data.labels)
        self.optimizer = optimizer(network, settings)
        steps = settings.epochs * sum(1 for _ in self._order())
        self.draws = generator(seed, "batches")
        self.schedule = _schedule(self.optimizer, settings, steps)
        self.centroids = CentreLoss(int(data.groups.max()) + 1, network.dimension, device)
        self.average = RunningAverage(network, settings.ema) if settings.ema else None

    def _order(self) -> Iterator[Tensor]:
        size = self.settings.batch_size
        return batches(len(self.data.labels), per_epoch=self.per_epoch, size=size, draws=self.draws)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each batch's indices and augmented images, as float."""
        d = self.data
        order = self._order()
        several = max(1, _NUMBERS_AHEAD // (self.settings.batch_size * d.images[0].numel()))
        while indices := list(islice(order, several)):
            which = torch.cat(indices).to(d.images.device)
            images = augment(to_float(d.images.index_select(0, which)), self.augmentation, self.draws)
            if self.views:
                images = redraw_views(images, d.mirrored[which], self.augmentation.views, self.draws)
            images = images.contiguous(memory_format=torch.channels_last)
            yield from zip(indices, images.split([len(index) for index in indices]), strict=True)

    def result(self, best: "_Best | None" = None) -> Network:
        """Return the network as it would be used now, or as it was in its best epoch: the running average, if any."""
        network = self.average.network if self.average else self.network
        if best:
            network.load_state_dict(best.weights)
        return network

    def loss(self, index: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted loss of a batch and how many of its images are classified as trained on."""
        d = self.data
        s = self.settings
        features = self.network.embed(images)
        logits = self.network.head(features)
        labels = d.labels[index]
        weights = d.weights[index]
        loss = cross_entropy(logits, labels, reduction="none", label_smoothing=s.label_smoothing)
        if s.clustering_loss:
            loss = loss + s.clustering_loss * self.centroids.distance(features, d.groups[index], weights)
        return (loss * weights).sum() / weights.sum().clamp(min=1e-12), (logits.detach().argmax(dim=1) == labels).sum()

    def epoch(self, on_share: Callable[[float], None]) -> tuple[float, float]:
        """Train one epoch; return mean loss and accuracy, read from the device only once, at the end."""
        self.network.train()
        device = self.data.labels.device
        loss_sum = torch.zeros((), device=device)
        hits = torch.zeros((), device=device)
        count = 0
        for index, images in self._batches():
            loss, right = self.loss(index.to(device), images)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.rate = self.optimizer.param_groups[0]["lr"]
            self.schedule.step()
            if self.average:
                self.average.update()
            loss_sum = loss_sum + loss.detach() * len(index)
            hits = hits + right
            count = count + len(index)
            on_share(min(count / self.per_epoch, 1.0))
        return float(loss_sum) / count, float(hits) / count


def fit(
    network: Network,
    data: Examples,
    settings: Training,
    *,
    augmentation: Augmentation,
    seed: int,
    validation: tuple[Tensor, np.ndarray],
    on_epoch: OnEpoch | None = None,
    on_batch: OnBatch | None = None,
) -> Fit:
    """Train ``network`` in place and return it as it is to be used, with its history.

    Args:
        network: with fresh weights, on the device to train on.
        data: what to train on, N images.
        settings: epochs, optimiser, losses, early stopping.
        augmentation: random changes of the images, drawn anew for every batch.
        seed: of batches, augmentation and dropout.
        validation: images (V, channels, height, width) uint8 and labels (V,); V may be 0.
        on_epoch: told of each epoch.
        on_batch: told of each step.

    Raises:
        DivergedError: a loss or a weight is no longer finite.
        UserError: fewer than two images.
    """
    if len(data.labels) < 2:
        raise UserError(f"{len(data.labels)} images cannot be trained on: batch norm needs at least 2")
    begin = time.perf_counter()
    patience = settings.patience if len(validation[1]) else 0  # nothing to compare epochs by
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "dropout"))
        run = _Run(network, data, settings, augmentation=augmentation, seed=seed)
        history, best = _epochs(run, validation, patience=patience, on_epoch=on_epoch, on_batch=on_batch)
    stopped_early = len(history) < settings.epochs
    return Fit(
        network=run.result(best),
        history=tuple(history),
        kept_epoch=best.epoch.number if best else len(history),
        stop_reason=f"no better validation for {patience} epochs" if stopped_early else "last epoch",
        images=len(data.labels),
        seconds=time.perf_counter() - begin,
    )


@dataclass(frozen=True, slots=True)
class _Best:
    """The best epoch so far."""

    epoch: Epoch
    weights: dict[str, Any]


def _epochs(
    run: _Run,
    validation: tuple[Tensor, np.ndarray],
    *,
    patience: int,
    on_epoch: OnEpoch | None,
    on_batch: OnBatch | None,
) -> tuple[list[Epoch], _Best | None]:
    """Train until the last epoch, or until validation has not improved for ``patience`` epochs; 0: no best is kept."""
    history: list[Epoch] = []
    best: _Best | None = None
    for number in range(1, run.settings.epochs + 1):
        epoch = _epoch(run, number, validation, on_batch=on_batch)
        history.append(epoch)
        if on_epoch:
            on_epoch(epoch, run.settings.epochs)
        if patience and (best is None or _better(epoch, best.epoch)):
            best = _Best(epoch, copy.deepcopy(run.result().state_dict()))
        if best and number - best.epoch.number >= patience:
            break
    return history, best


def _epoch(run: _Run, number: int, validation: tuple[Tensor, np.ndarray], *, on_batch: OnBatch | None) -> Epoch:
    begin = time.perf_counter()
    epochs = run.settings.epochs
    loss, accuracy = run.epoch(lambda share: on_batch(number - 1 + share, epochs) if on_batch else None)
    if not (math.isfinite(loss) and all(bool(p.isfinite().all()) for p in run.network.parameters())):
        raise DivergedError(
            f"diverged at epoch {number}, learning rate {run.settings.learning_rate:g}: loss or weights are no longer "
            "finite; try a smaller learning rate"
        )
    images, labels = validation
    held_loss = held_accuracy = math.nan
    if len(labels):
        probabilities = predict(run.result(), images)
        held_loss = metrics.log_loss(probabilities, labels)
        held_accuracy = metrics.accuracy(probabilities.argmax(axis=1), labels)
    return Epoch(
        number=number,
        loss=loss,
        accuracy=accuracy,
        validation_loss=held_loss,
        validation_accuracy=held_accuracy,
        learning_rate=run.rate,
        seconds=time.perf_counter() - begin,
    )


def _better(new: Epoch, old: Epoch) -> bool:
    """Say whether validation improved: accuracy first, log-loss where it ties (few images tie often)."""
    return (new.validation_accuracy, -new.validation_loss) > (old.validation_accuracy, -old.validation_loss)
