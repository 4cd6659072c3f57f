"""The bars of one experiment: the time left follows the last epoch."""

import io
import re

import pytest
from rich.console import Console

from kmpl.jobs import progress_bars
from kmpl.training.history import Epoch

BATCHES = 20


def left(*seconds: float, epochs: int = 100) -> str:
    """Return the time left as it is shown after epochs that took so many seconds each."""
    console, now = Console(file=io.StringIO(), force_terminal=True, width=140), 0.0
    with progress_bars.show_training(console, clock=lambda: now) as watch:
        for number, took in enumerate(seconds):
            for batch in range(1, BATCHES + 1):
                now += took / BATCHES
                watch.batch("pretrain", number + batch / BATCHES, epochs)
            watch.epoch(
                "pretrain",
                Epoch(
                    number=number + 1,
                    loss=0.5,
                    accuracy=0.8,
                    validation_loss=0.3,
                    validation_accuracy=0.9,
                    learning_rate=0.001,
                    seconds=took,
                ),
                epochs,
            )
    return re.findall(r"left .*?(\d+:\d\d:\d\d)", console.file.getvalue())[-1]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        ((2.0,) * 40, "0:02:00"),
        ((2.0,) * 39 + (20.0,), "0:20:00"),  # the machine got busy an epoch ago
        ((20.0,) * 39 + (2.0,), "0:02:00"),  # free
        ((2.0,) * 39 + (200.0,), "3:20:00"),  # an epoch that takes longer than rich's own column looks back
        ((2.0,) * 100, "0:00:00"),
    ],
)
def test_the_time_left_is_that_of_the_last_epoch(seconds: tuple[float, ...], shown: str) -> None:
    assert left(*seconds) == shown


def test_steps_found_in_the_store_are_shown_as_done() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    with progress_bars.show_training(console) as watch:
        watch.found("pretrain")
    assert "found in the store" in console.file.getvalue()  # type: ignore[attr-defined]
