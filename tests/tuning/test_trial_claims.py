"""Claims: as many trials as asked for, none lost and none doubled, whoever works on a study and whoever dies."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import forked
import optuna
import pytest
from optuna.trial import TrialState

from kmpl.runtime import database_locks
from kmpl.runtime.database_locks import DatabaseLocks
from kmpl.runtime.locks import FileLocks
from kmpl.tuning.search_space import Range
from kmpl.tuning.storage import open_studies
from kmpl.tuning.study_mark import StudyMark
from kmpl.tuning.trial_claims import CLAIM, TrialClaims, Worker, is_finished, is_running

SPACE = {"x": Range(0, 1, whole=False, log=False), "n": Range(1, 100, whole=True, log=True)}
START = {"x": 0.5, "n": 10}


def claims(folder: Path, trials: int, starts: tuple[dict[str, float], ...] = ()) -> TrialClaims:
    storage = open_studies(str(folder / "optuna.journal"))
    study = optuna.create_study(storage=storage, study_name="one", direction="maximize", load_if_exists=True)
    locks = FileLocks(folder / "locks")
    with locks.hold(CLAIM):
        mark = StudyMark(study)
    return TrialClaims(study=study, mark=mark, space=SPACE, trials=trials, first_values=starts, seed=7, locks=locks)


def work(folder: Path, trials: int, starts: tuple[dict[str, float], ...] = (), seconds: float = 0.0) -> TrialClaims:
    """Run what is missing of the study, as one process; each trial takes some seconds."""
    one = claims(folder, trials, starts)
    with Worker(one.locks) as worker:
        while claimed := one.claim(worker):
            trial, values = claimed
            time.sleep(seconds)
            one.study.tell(trial, values["x"] - 0.001 * values["n"])
    return one


def values(one: TrialClaims) -> list[dict[str, float]]:
    return [t.params for t in one.study.trials if is_finished(t)]


def process(script: str, *arguments: object) -> forked.Forked:
    """Start a process that has this file as ``t``; it imports it once for all that it forks."""
    folders = [str(Path(file).parent) for file in (__file__, forked.__file__)]
    imports = f"import os, signal, sys; from pathlib import Path; sys.path[:0] = {folders}"
    command = [sys.executable, "-c", f"{imports}\nimport test_trial_claims as t\n{script}", *map(str, arguments)]
    return forked.Forked(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


CLAIMING = """
for folder in map(Path, sys.argv[2:]):
    if not os.fork():
        one = t.claims(folder, int(sys.argv[1])); worker = t.Worker(one.locks); worker.__enter__()
        print(folder.name, os.getpid(), one.claim(worker)[0].number, flush=True)
        signal.pause()
for _ in sys.argv[2:]:
    os.wait()
"""


@pytest.fixture(scope="module")
def killed_at_work(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, int]]:
    """By the trials that were finished before: a study, and the trial that a process had claimed and was killed at."""
    folder, found = tmp_path_factory.mktemp("killed"), {}
    for before in (0, 4):
        (folder / str(before)).mkdir()
        work(folder / str(before), before)
    with process(CLAIMING, 8, folder / "0", folder / "4") as working:
        assert working.stdout is not None
        for _ in range(2):
            name, pid, number = working.stdout.readline().split()
            [trial] = [t for t in claims(folder / name, 8).study.trials if t.number == int(number)]
            assert is_running(trial, FileLocks(folder / name / "locks"))
            os.kill(int(pid), signal.SIGKILL)
            found[int(name)] = (folder / name, int(number))
        assert working.wait() == 0
    return found


def test_trials_of_earlier_processes_count(tmp_path: Path) -> None:
    assert len(values(work(tmp_path, 3))) == 3
    assert len(values(work(tmp_path, 5))) == 5
    assert len(values(work(tmp_path, 4))) == 5


def test_starts_come_first_and_once(tmp_path: Path) -> None:
    other = {"x": 0.1, "n": 3}
    assert values(work(tmp_path, 4, (START, other, START)))[:2] == [START, other]
    assert Counter(str(v) for v in values(work(tmp_path, 8, (START, other))))[str(START)] == 1


def test_a_study_that_goes_on_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    whole = values(work(tmp_path / "a", 12, (START,)))
    for trials in (1, 5, 6, 9, 12):
        parts = work(tmp_path / "b", trials, (START,))
    assert values(parts) == whole
    assert len({str(v) for v in whole}) == 12  # a sampler that starts anew with its seed repeats itself


@pytest.mark.parametrize("before", [0, 4])
def test_law_5_a_trial_of_a_dead_process_is_failed_and_its_values_are_tried_again(
    before: int, killed_at_work: dict[int, tuple[Path, int]], tmp_path: Path
) -> None:
    whole = values(work(tmp_path, 8))
    folder, number = killed_at_work[before]
    again = work(folder, 8)
    assert [t.state for t in again.study.trials if t.number == number] == [TrialState.FAIL]
    assert values(again) == whole
    assert len(again.study.trials) == 9
    assert [t.user_attrs["again"] for t in again.study.trials if "again" in t.user_attrs] == [number]


def test_a_trial_at_work_is_left_to_its_process(tmp_path: Path) -> None:
    with Worker(FileLocks(tmp_path / "locks")) as first:
        one = claims(tmp_path, 2)
        claimed = one.claim(first)
        assert claimed
        assert len([t for t in one.requeue_dead() if t.state == TrialState.RUNNING]) == 1
        with Worker(FileLocks(tmp_path / "locks")) as second:
            other = claims(tmp_path, 2).claim(second)
            assert other
            assert other[0].number != claimed[0].number
            assert other[1] != claimed[1]


def test_a_diverged_trial_counts_and_a_killed_one_does_not(tmp_path: Path) -> None:
    one = claims(tmp_path, 2)
    with Worker(FileLocks(tmp_path / "locks")) as worker:
        first, _ = one.claim(worker) or pytest.fail("nothing to claim")
        first.set_user_attr("diverged", "at epoch 1")
        one.study.tell(first, state=TrialState.FAIL)
        second, _ = one.claim(worker) or pytest.fail("nothing to claim")
        one.study.tell(second, state=TrialState.FAIL)
        third, _ = one.claim(worker) or pytest.fail("nothing to claim")
        one.study.tell(third, 0.5)
        assert one.claim(worker) is None


def test_a_process_that_dies_once_its_trial_has_diverged_leaves_nothing_to_do_again(tmp_path: Path) -> None:
    one = claims(tmp_path, 1)
    with Worker(FileLocks(tmp_path / "locks")) as worker:
        trial, _ = one.claim(worker) or pytest.fail("nothing to claim")
        trial.set_user_attr("diverged", "at epoch 1")
    with Worker(FileLocks(tmp_path / "locks")) as worker:
        assert one.claim(worker) is None
    assert [t.state for t in one.study.trials] == [TrialState.FAIL]


def test_in_a_copy_nobody_is_at_work_on_the_originals_trials(tmp_path: Path) -> None:
    original = tmp_path / "original"
    with Worker(FileLocks(original / "locks"), original / "optuna.journal") as worker:
        claimed = claims(original, 2).claim(worker)
        assert claimed
        shutil.copytree(original, tmp_path / "copy")
        copied = replace(claims(tmp_path / "copy", 2), studies_file=tmp_path / "copy" / "optuna.journal")
        first = copied.requeue_dead()[0]
        assert (first.state, Path(worker.life).exists()) == (TrialState.FAIL, True)
        mine = replace(claims(original, 2), studies_file=original / "optuna.journal")
        assert mine.is_running(mine.requeue_dead()[0])  # whatever was done in the copy
        by_link = tmp_path / "link.journal"
        by_link.symlink_to(original / "optuna.journal")
        assert is_running(mine.study.trials[0], mine.locks, by_link)


def test_a_process_elsewhere_is_alive_while_it_gives_signs(tmp_path: Path) -> None:
    one = claims(tmp_path, 1)
    with Worker(FileLocks(tmp_path / "locks")) as worker:
        claimed = one.claim(worker)
        assert claimed
        claimed[0].set_user_attr("worker", {"host": "elsewhere", "lock": "/nowhere"})
        assert is_running(one.study.trials[0], one.locks)
        claimed[0].set_user_attr("seen", "2020-01-01T00:00:00+00:00")
        assert not is_running(one.study.trials[0], one.locks)


def test_on_machines_that_share_a_database_who_dies_is_noticed_whatever_machine_it_was(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_locks, "DEAD_SECONDS", 0.2)
    monkeypatch.setattr(database_locks, "RESTART_SECONDS", 0.0)
    locks = DatabaseLocks(postgres)
    with Worker(locks) as worker:
        one = replace(claims(tmp_path, 2), locks=locks)
        claimed = one.claim(worker)
        assert claimed
        owner = claimed[0].user_attrs["worker"]
        claimed[0].set_user_attr("worker", owner | {"host": "another"})
        claimed[0].set_user_attr("seen", "2020-01-01T00:00:00+00:00")  # a long step: no heartbeat, and no matter
        assert one.is_running(one.study.trials[0])
    assert not one.is_running(one.study.trials[0])
    claimed[0].set_user_attr("seen", datetime.now().astimezone().isoformat())
    assert one.requeue_dead()[0].state == TrialState.FAIL  # at once, not after an hour


def test_three_processes_share_a_study_without_a_lost_or_doubled_trial(tmp_path: Path) -> None:
    script = """
for _ in range(3):
    if not os.fork():
        t.work(Path(sys.argv[1]), 12, seconds=0.4)
        sys.exit()
sys.exit(any(os.wait()[1] for _ in range(3)))
"""
    with process(script, tmp_path) as working:
        working.communicate(timeout=120)
    assert working.returncode == 0
    one = claims(tmp_path, 12)
    assert len(one.study.trials) == 12
    assert {t.state for t in one.study.trials} == {TrialState.COMPLETE}
    assert len({str(t.params) for t in one.study.trials}) == 12
    assert len({t.user_attrs["worker"]["lock"] for t in one.study.trials}) >= 2
    assert not list((tmp_path / "locks").glob("worker-*"))
