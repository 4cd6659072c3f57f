"""What a sweep's events say of the time left."""

from collections.abc import Iterator
from itertools import product

import pytest

from kmpl.config.presets import load
from kmpl.config.sweep import SweepConfig, experiment_name
from kmpl.jobs.sweep_state import SweepState
from kmpl.jobs.time_left import Plan

SETTINGS = SweepConfig(ratios=(0.4, 0.2), seeds=(0, 1), arms=("labelled-only", "pseudo-label"))
CELLS = [experiment_name(ratio, seed) for seed, ratio in product(SETTINGS.seeds, SETTINGS.ratios)]
STEPS = [("", "pretrain", 12), ("pseudo-label", "retrain, round 1", 5), ("pseudo-label", "retrain, round 2", 5)]
STEPS.append(("pseudo-label", "retrain, round 3", 15))
PLAN = Plan.of(load(change={"arms": SETTINGS.arms}))
IMAGES = dict(
    zip(("pretrain", *(f"retrain, round {n}" for n in (1, 2, 3))), (*PLAN.arms[0], *PLAN.arms[2]), strict=True)
)


class Machine:
    """Trains images at a rate that changes, and tells a sweep's state of it; nothing else takes any time."""

    def __init__(self) -> None:
        self.now, self.rate = 0.0, 3_000.0
        self.state = SweepState(SETTINGS, begin=0.0, clock=lambda: self.now)

    def tell(self, cell: str, kind: str, **more: object) -> None:
        self.state.add({"cell": cell, "kind": kind, "at": self.now} | more)

    def epochs(self) -> Iterator[tuple[int, int]]:
        """Yield after each epoch of the sweep: its experiment's place and how many epochs that has behind it."""
        for place, cell in enumerate(CELLS):
            self.tell(cell, "begun")
            entered, count = "", 0
            for arm, step, epochs in STEPS:
                if arm != entered:
                    self.tell(cell, "arm", arm="labelled-only")
                    self.tell(cell, "arm", arm=arm)
                    entered = arm
                for part in range(10 * epochs):
                    if part % 10 == 0 and part:
                        count += 1
                        self.tell(cell, "epoch", step=step, done=part / 10 / epochs, epochs=epochs, said="")
                        yield place, count
                    self.now += IMAGES[step] / epochs / 10 / self.rate
                    self.tell(cell, "batch", step=step, done=(part + 1) / 10 / epochs, epochs=epochs)
            self.tell(cell, "finished")

    def time_left(self) -> float:
        """Return the seconds left as they are said."""
        number, unit = self.state.time_left().split()
        return float(number) * {"min": 60, "s": 1}[unit]


@pytest.mark.parametrize("change", [0.1, 10.0, 1.0])
@pytest.mark.parametrize("when", [(0, 12), (0, 20), (1, 8), (2, 30)])
def test_the_time_left_is_right_within_an_epoch_after_the_speed_has_changed(
    when: tuple[int, int], change: float
) -> None:
    machine, said = Machine(), None
    for now in machine.epochs():
        if now == when:
            machine.rate *= change
        elif said is None and now[0] == when[0] and now[1] == when[1] + 1:
            said = machine.now, machine.time_left()
    assert said is not None
    at, left = said
    assert left == pytest.approx(machine.now - at, rel=0.2, abs=30)  # whole minutes are said


def test_steps_found_in_the_store_take_no_time_and_predict_none() -> None:
    machine = Machine()
    for step in ("pretrain", "retrain, round 1"):
        machine.now += 1.0
        machine.tell(CELLS[0], "found", step=step, done=1.0)
        assert machine.state.time_left() == "–"
    assert machine.state.share() > 0.03


def test_two_experiments_at_once_are_as_slow_as_both_are() -> None:
    machine = Machine()
    for cell in CELLS[:2]:
        machine.tell(cell, "begun")
    for part in range(1, 25):
        machine.now += 10.0 if part > 20 else 1.0
        for cell in CELLS[:2]:
            machine.tell(cell, "batch", step="pretrain", done=part / 24, epochs=12)
    done = machine.state.share()
    assert machine.time_left() == pytest.approx(10 * 24 * (1 - done) / done, rel=0.1)
