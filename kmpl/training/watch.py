"""Who is told what training does, while it does it."""

from collections.abc import Callable
from dataclasses import dataclass

from kmpl.training.history import Epoch


def ignore(*_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Watch:
    """Who is told how training goes; the first argument is the step's name."""

    epoch: Callable[[str, Epoch, int], None] = ignore
    """What an epoch gave, and the number of epochs in all."""
    batch: Callable[[str, float, int], None] = ignore
    """How many epochs are done, as a fraction, and the number of epochs in all."""
    found: Callable[[str], None] = ignore
    """The step was not computed: its result was found in the store."""
