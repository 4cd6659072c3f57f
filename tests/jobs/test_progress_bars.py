"""The bars of one experiment: the time left follows the last epoch."""

import io
import re
from dataclasses import replace

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


@pytest.mark.parametrize("width", [80, 120, 150])
def test_bar_epoch_and_time_left_fit_the_terminal(width: int) -> None:
    console, now = Console(file=io.StringIO(), force_terminal=True, width=width), 0.0
    epoch = Epoch(
        number=11,
        loss=0.5,
        accuracy=0.8123,
        validation_loss=0.3,
        validation_accuracy=0.9,
        learning_rate=0.001,
        seconds=1.0,
    )
    with progress_bars.show_training(console, [("retrain, round 12", 1)], clock=lambda: now) as watch:
        for share in (10.0, 11.0):
            now += 60.0
            watch.batch("retrain, round 12", share, 12)
        watch.epoch("retrain, round 12", epoch, 12)
        watch.epoch("retrain, round 12", replace(epoch, validation_accuracy=float("nan")), 12)
    drawn = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", console.file.getvalue())  # type: ignore[attr-defined]
    lines = [line.rstrip() for line in re.split(r"[\r\n]", drawn) if line.startswith("retrain, round 12")]
    assert all(len(line) <= width for line in lines)
    assert "━" in lines[-1]
    assert "epoch 11/12, " in lines[-1]
    assert "81.23%" in lines[-1]
    assert lines[-1].endswith("left 0:01:00")
