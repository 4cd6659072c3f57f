"""How far a sweep is: what experiments tell, what is read of it, what people see."""

import io
import json
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.config.sweep import SweepConfig, experiment_name
from kmpl.jobs import progress
from kmpl.jobs.experiment import identity
from kmpl.jobs.journal import Journal, epoch_line
from kmpl.jobs.progress import Display, SweepState, render
from kmpl.method import experiment
from kmpl.method.results import Evaluation
from kmpl.method.step_interface import Steps
from kmpl.training.history import Epoch

SETTINGS = SweepConfig(ratios=(0.4, 0.2), seeds=(0, 1), arms=("labelled-only", "pseudo-label", "oracle"))
CELLS = [experiment_name(ratio, seed) for seed in SETTINGS.seeds for ratio in SETTINGS.ratios]
Event = dict[str, Any]


def training(cell: str, step: str, epochs: int = 2) -> Iterator[Event]:
    for number in range(1, epochs + 1):
        for share in (0.3, 0.8):
            yield {"cell": cell, "kind": "batch", "step": step, "done": (number - 1 + share) / epochs}
        yield {"cell": cell, "kind": "epoch", "step": step, "done": number / epochs, "said": f"epoch {number}/{epochs}"}


def events_of(cell: str) -> Iterator[Event]:
    """Yield what an experiment of three arms and two rounds tells of itself; it finds one of its rounds."""
    yield {"cell": cell, "kind": "begun"}
    yield from training(cell, "pretrain")
    yield {"cell": cell, "kind": "arm", "arm": "labelled-only"}
    yield {"cell": cell, "kind": "arm", "arm": "pseudo-label"}
    yield {"cell": cell, "kind": "found", "step": "retrain, round 1", "done": 1.0}
    yield from training(cell, "retrain, round 2")
    yield {"cell": cell, "kind": "arm", "arm": "oracle"}
    yield from training(cell, "retrain, round 0")
    yield {"cell": cell, "kind": "finished"}


def interleaved() -> list[Event]:
    """Return the events of a sweep, two experiments at a time, one finished in an earlier turn."""
    events: list[Event] = [{"cell": CELLS[0], "kind": "finished before"}]
    for one, other in zip(events_of(CELLS[1]), events_of(CELLS[2]), strict=True):
        events += [one, other]
    return events + list(events_of(CELLS[3]))


def shown(state: SweepState) -> str:
    console = Console(width=100, file=io.StringIO())
    with console.capture() as capture:
        console.print(render(state))
    return capture.get()


def test_the_share_never_falls_and_ends_at_one() -> None:
    state, shares = SweepState(SETTINGS), [0.0]
    for event in interleaved():
        state.add(event)
        shares.append(state.share())
    assert shares == sorted(shares)
    assert shares[1] == 0.25  # what was finished before counts at once
    assert shares[-1] == 1
    assert len(set(shares)) > 40  # it moves with almost every event, within rounds and between them
    assert max(b - a for a, b in pairwise(shares)) == 0.25


def test_each_event_is_one_line_and_batches_have_none() -> None:
    state = SweepState(SETTINGS)
    cell, lines = CELLS[1], [line for event in events_of(CELLS[1]) if (line := SweepState.add(state, event))]
    assert re.fullmatch(rf"{cell}: finished \(1 of 4, \d+ s left\)", lines.pop())
    assert all(re.search(r"; \d+% of all done(, \d+ s left)?$", line) for line in lines if "epoch" in line)
    assert [line.split("; ")[0] for line in lines] == [
        f"{cell}: begun",
        f"{cell}: pretrain: epoch 1/2",
        f"{cell}: pretrain: epoch 2/2",
        f"{cell}, pseudo-label: retrain, round 1: found in the store",
        f"{cell}, pseudo-label: retrain, round 2: epoch 1/2",
        f"{cell}, pseudo-label: retrain, round 2: epoch 2/2",
        f"{cell}, oracle: retrain, round 0: epoch 1/2",
        f"{cell}, oracle: retrain, round 0: epoch 2/2",
    ]
    assert state.add({"cell": cell, "kind": "finished before"}) == f"{cell}: finished before"


def test_the_picture_has_a_row_per_ratio_what_runs_and_how_much_is_left() -> None:
    state = SweepState(SETTINGS)
    lines = shown(state).splitlines()
    assert lines[0].split() == ["ratio", "seeds", "done", "running", "left"]
    assert [line.split() for line in lines[1:3]] == [["0.4", "0/2", "2"], ["0.2", "0/2", "2"]]
    assert lines[-1].strip().endswith("0%, 0.0 min, left –")
    state.add({"cell": CELLS[0], "kind": "finished before"})
    for event in [e for e in events_of(CELLS[1]) if e["kind"] != "finished"]:
        state.add(event)
    lines = shown(state).splitlines()
    assert [line.split() for line in lines[1:3]] == [["0.4", "1/2", "1"], ["0.2", "0/2", "seed", "0", "1"]]
    assert lines[3].split(maxsplit=4) == [*CELLS[1].split(), "oracle  retrain, round 0  100%  epoch 2/2"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_picture_fits_any_terminal(width: int) -> None:
    state = SweepState(SETTINGS)
    for event in interleaved()[:-1]:
        state.add(event | ({"said": "a long word about it " * 20} if "said" in event else {}))
    console = Console(width=width, file=io.StringIO())
    with console.capture() as capture:
        console.print(render(state))
    assert all(len(line) <= width for line in capture.get().splitlines())


def _after(seconds: float, *events: Event) -> str:
    state = SweepState(SETTINGS, begin=time.monotonic() - seconds)
    for event in events:
        state.add(event)
    return state.time_left()


def test_the_time_left_is_guessed_from_what_was_computed_not_from_what_was_found() -> None:
    done = [{"cell": cell, "kind": "finished"} for cell in CELLS]
    before = {"cell": CELLS[0], "kind": "finished before"}
    assert _after(600) == "–"
    assert _after(600, before) == "–"
    assert _after(600, done[0]) == "30 min"
    assert _after(600, before, done[1]) == "20 min"  # a third of what was left took ten minutes
    assert _after(20, done[0]) == "60 s"
    assert _after(600, *done) == "0 s"


def test_a_line_about_an_epoch_leaves_out_a_validation_that_there_is_not() -> None:
    epoch = Epoch(
        number=2,
        loss=0.51234,
        accuracy=0.8,
        validation_loss=0.3,
        validation_accuracy=0.875,
        learning_rate=0.001,
        seconds=1.0,
    )
    assert epoch_line(epoch, 3, "without labels, round 1").split(", ")[2] == "clusters named rightly 80.00%"
    assert epoch_line(epoch, 3, "pretrain") == "epoch 2/3, loss 0.512, training accuracy 80.00%, validation 87.50%"
    assert (
        epoch_line(
            Epoch(
                number=1,
                loss=0.5,
                accuracy=0.8,
                validation_loss=float("nan"),
                validation_accuracy=float("nan"),
                learning_rate=0.001,
                seconds=1.0,
            ),
            3,
            "retrain, round 1",
        )
        == "epoch 1/3, loss 0.500, training accuracy 80.00%"
    )


def events_in(path: Path) -> list[Event]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_real_training_is_told_step_by_step(tiny: ExperimentConfig, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    journal = Journal(path, cell="a cell")
    nothing = Evaluation(
        accuracy=0.0,
        views={},
        class_accuracy=(),
        confusion=np.zeros((10, 10)),
        calibration_error=0.0,
        log_loss=0.0,
        seconds=0.0,
    )
    handed = Steps(
        evaluate=lambda _: nothing, watch=journal.watch(), entering=lambda a: journal.write(kind="arm", arm=a)
    )
    experiment.run(merge(tiny, {"arms": "pseudo-label"}), identity(handed, ""))
    events = events_in(path)
    assert {event["cell"] for event in events} == {"a cell"}
    told = [event for event in events if event["kind"] == "epoch"]
    assert [(e["step"], round(e["done"], 3)) for e in told] == [
        ("pretrain", 0.333), ("pretrain", 0.667), ("pretrain", 1.0),
        ("retrain, round 1", 0.5), ("retrain, round 1", 1.0),
        ("retrain, round 2", 0.5), ("retrain, round 2", 1.0),
    ]  # fmt: skip
    assert all("validation" in e["said"] for e in told)
    assert 1 <= len([e for e in events if e["kind"] == "batch"]) < 40  # of more than a hundred
    state = SweepState(SETTINGS)
    assert all(isinstance(state.add(event), str) for event in events)


def test_lines_of_several_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    journals = [Journal(path, cell=f"cell {i}") for i in range(3)]
    for number in range(50):
        for journal in journals:
            journal.write(kind="epoch", step="pretrain", done=number / 50, said="ü" * 100)
    events = events_in(path)
    assert len(events) == 150
    assert [e["done"] for e in events if e["cell"] == "cell 1"] == [number / 50 for number in range(50)]


@pytest.mark.parametrize("where", ["no such folder", "a folder", "below a file", "nowhere"])
def test_a_journal_that_cannot_be_written_fails_nothing(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    paths = {"no such folder": tmp_path / "no" / "e", "a folder": tmp_path, "below a file": tmp_path / "file" / "e"}
    journal = Journal(paths.get(where), cell="a cell")
    journal.write(kind="begun")
    watch = journal.watch()
    watch.batch("pretrain", 0.5, 2)
    watch.epoch(
        "pretrain",
        Epoch(
            number=1,
            loss=0.5,
            accuracy=0.8,
            validation_loss=0.3,
            validation_accuracy=0.9,
            learning_rate=0.001,
            seconds=1.0,
        ),
        2,
    )
    watch.found("pretrain")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def quiet() -> Console:
    return Console(file=io.StringIO())


def wait_for(lines: list[str], n: int) -> None:
    end = time.monotonic() + 10
    while len(lines) < n and time.monotonic() < end:
        time.sleep(0.02)


def test_a_half_written_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path, lines = tmp_path / "events.jsonl", list[str]()
    display = Display(path, SETTINGS, quiet(), lines.append)
    display._read()  # there is no file yet
    whole = [json.dumps({"cell": cell, "kind": "begun"}).encode() + b"\n" for cell in CELLS]
    with path.open("ab", buffering=0) as file:
        file.write(whole[0] + whole[1][:20])
        display._read()
        assert lines == [f"{CELLS[0]}: begun"]
        display._read()
        assert len(lines) == 1
        file.write(whole[1][20:] + whole[2][:-1])
        display._read()
        assert lines == [f"{cell}: begun" for cell in CELLS[:2]]
        file.write(b"\n" + whole[3])
        display._read()
    assert lines == [f"{cell}: begun" for cell in CELLS]


def test_a_line_behind_half_a_line_of_a_killed_process_is_lost_and_all_after_it_are_told(tmp_path: Path) -> None:
    path, lines = tmp_path / "events.jsonl", list[str]()
    display = Display(path, SETTINGS, quiet(), lines.append)
    whole = [json.dumps({"cell": cell, "kind": "begun"}).encode() + b"\n" for cell in CELLS]
    path.write_bytes(whole[0] + whole[1][:20] + whole[2] + whole[3])
    display._read()
    assert lines == [f"{cell}: begun" for cell in (CELLS[0], CELLS[3])]


def test_events_written_while_they_are_shown_are_told_and_their_file_is_removed(tmp_path: Path) -> None:
    lines: list[str] = []
    with progress.show_progress(tmp_path, SETTINGS, quiet(), lines.append) as path:
        Journal(path, cell=CELLS[0]).write(kind="begun")
        wait_for(lines, 1)
        assert lines == [f"{CELLS[0]}: begun"]
        Journal(path, cell=CELLS[0]).write(kind="finished")  # read at the end at the latest
    assert lines[0] == f"{CELLS[0]}: begun"
    assert re.fullmatch(rf"{CELLS[0]}: finished \(1 of 4, \d+ s left\)", lines[1])
    assert list(tmp_path.iterdir()) == []


def test_events_of_a_killed_process_with_the_same_id_are_not_told_again(tmp_path: Path) -> None:
    lines: list[str] = []
    with progress.show_progress(tmp_path, SETTINGS, quiet()) as path:
        pass
    Journal(path, cell=CELLS[0]).write(kind="finished")
    with progress.show_progress(tmp_path, SETTINGS, quiet(), lines.append):
        pass
    assert lines == []
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_not_hidden_by_the_display(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "no such folder", tmp_path / "file"):
        with pytest.raises(ValueError, match="the failure"), progress.show_progress(folder, SETTINGS, quiet()):
            raise ValueError("the failure")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_without_a_terminal_lines_are_printed_whole_and_on_one_the_picture_is_drawn(tmp_path: Path) -> None:
    printed, drawn = io.StringIO(), io.StringIO()
    for file, terminal in ((printed, False), (drawn, True)):
        console = Console(file=file, force_terminal=terminal, width=60, color_system=None)
        with progress.show_progress(tmp_path, SETTINGS, console) as path:
            for event in events_of(CELLS[1]):
                Journal(path).write(**event)
    told = printed.getvalue().splitlines()
    assert told[0] == f"{CELLS[1]}: begun"
    assert f"{CELLS[1]}, pseudo-label: retrain, round 1: found in the store" in told  # longer than the terminal is wide
    assert "seeds done" not in printed.getvalue()
    assert "seeds done" in drawn.getvalue()
    assert "begun" not in drawn.getvalue()
    assert "25%" in drawn.getvalue()


def test_progress_counts_trials_and_untuned_experiments() -> None:
    settings = SweepConfig(ratios=(0.4, 0.1), seeds=(0,), trials=10)
    state, shares = SweepState(settings), [0.0]
    for ratio in settings.ratios:
        for worker in ("1", "2"):
            state.add({"cell": f"ratio {ratio}, tuning {worker}", "kind": "begun"})
        for trial in range(1, 21):
            worker = f"ratio {ratio}, tuning {1 + trial % 2}"
            assert state.add({"cell": worker, "kind": "trial", "said": f"trial {trial}", "share": trial / 20})
            shares.append(state.share())
        state.add({"cell": f"ratio {ratio}, tuning 1", "kind": "finished"})
    tuning = 2 * 10 / (2 * 10 + 4)  # a trial of both studies trains what an experiment of both arms does
    assert shares[-1] == pytest.approx(tuning)
    for name in state.names():
        state.add({"cell": name, "kind": "finished"})
        shares.append(state.share())
    assert len(state.names()) == 4
    assert shares == sorted(shares)
    assert shares[-1] == 1
