"""What training a network gives: one record an epoch, and the network."""

from dataclasses import dataclass

from kmpl.models.network import Network


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One pass of training."""

    number: int
    """From 1."""
    loss: float
    """Mean training loss, nats."""
    accuracy: float
    """Accuracy on the training batches as they were augmented, against the labels trained on; fraction."""
    validation_loss: float
    """Mean cross-entropy on validation, nats; NaN where there is no validation image."""
    validation_accuracy: float
    """Fraction; NaN where there is no validation image."""
    learning_rate: float
    """At the end of the epoch."""
    seconds: float
    """Wall time, validation included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """A trained network and how it came about."""

    network: Network
    history: tuple[Epoch, ...]
    kept_epoch: int
    """The epoch whose weights are in the network."""
    stop_reason: str
    """Why training stopped, for people."""
    images: int
    """Images in the training set, repeated ones counted as often as they come."""
    seconds: float

    @property
    def validation_accuracy(self) -> float:
        """Of the epoch that was kept; NaN where there is no validation image."""
        return self.history[self.kept_epoch - 1].validation_accuracy

    @property
    def validation_loss(self) -> float:
        """Of the epoch that was kept, nats; NaN where there is no validation image."""
        return self.history[self.kept_epoch - 1].validation_loss
