"""Whose turn it is: trials claimed by the processes that work on one study, and given on when one of them dies."""

import contextlib
import os
import platform
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from kmpl.runtime.locks import is_held
from kmpl.runtime.seeds import derive
from kmpl.tuning.search_space import Space

_SILENCE = timedelta(hours=1)  # after which a process on another machine, which nobody here can look after, is dead
_SIGN = 60.0  # seconds between two signs of life
_BEGINNING = timedelta(seconds=20)  # within which a trial that was asked for elsewhere says whose it is
_STARTUP = 6  # trials before the sampler learns from those before


class Worker:
    """A process at work. The operating system lets go of its lock when it dies, however it dies."""

    def __init__(self, folder: Path, studies: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.studies = studies
        self.path = folder / f"worker-{os.getpid()}-{uuid.uuid4().hex[:8]}.lock"
        self.lock = FileLock(self.path)
        self.last = 0.0

    def __enter__(self) -> "Worker":
        self.lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()
        self.path.unlink(missing_ok=True)

    def claims(self, trial: optuna.Trial) -> None:
        """Say whose trial it is."""
        about = {"host": platform.node(), "lock": str(self.path), "studies": str(self.studies or "")}
        trial.set_user_attr("worker", about)
        self.sign(trial, always=True)

    def sign(self, trial: optuna.Trial, always: bool = False) -> None:
        """Give a sign of life now and then, for processes on other machines."""
        if always or time.monotonic() - self.last > _SIGN:
            self.last = time.monotonic()
            trial.set_user_attr("seen", datetime.now().astimezone().isoformat(timespec="seconds"))


def counts(trial: FrozenTrial) -> bool:
    """Say whether a trial is done: by a value, by pruning, or by diverging; not by a kill."""
    diverged = trial.state == TrialState.FAIL and "diverged" in trial.user_attrs
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or diverged


def alive(trial: FrozenTrial, studies: Path | None = None) -> bool:
    """Say whether somebody is at work on a trial.

    Args:
        trial: of a study.
        studies: file that the study was read from. Who claimed the trial in another file, of which this one is a copy,
            is at work there and not here.
    """
    if trial.state != TrialState.RUNNING:
        return False
    worker, seen = trial.user_attrs.get("worker"), trial.user_attrs.get("seen")
    if worker is None:
        begun = trial.datetime_start
        return begun is not None and datetime.now() - begun < _BEGINNING
    if worker["host"] == platform.node():
        if studies and worker.get("studies") and not _same_file(Path(worker["studies"]), studies):
            return False
        return is_held(Path(worker["lock"]), remove_dead=True)
    return seen is not None and datetime.now().astimezone() - datetime.fromisoformat(seen) < _SILENCE


def _same_file(one: Path, other: Path) -> bool:
    return one == other or (one.exists() and one.samefile(other))


@dataclass(frozen=True)
class Queue:
    """The trials of one study, handed out one by one until there are as many as were asked for."""

    study: optuna.Study
    space: Space
    trials: int
    starts: Sequence[Mapping[str, Any]]
    """Values to try first."""
    seed: int
    locks: Path
    studies: Path | None = None
    """File that the study is kept in."""

    def claim(self, worker: Worker) -> tuple[optuna.Trial, dict[str, Any]] | None:
        """Return a trial to run and its values, or None when all are done; wait for those that others run.

        A trial whose process has died is failed, and its values are tried again.
        """
        while True:
            with self.alone():
                trials = self.revive()
                running = [t for t in trials if self.alive(t)]
                if len(done := [t for t in trials if counts(t)]) >= self.trials:
                    return None
                if len(done) + len(running) < self.trials:
                    asked = self._ask(worker, [*done, *running])
                    if not self._surplus(asked[0]):
                        return asked
            time.sleep(0.5)  # one of the others may die

    def alive(self, trial: FrozenTrial) -> bool:
        """Say whether somebody is at work on a trial."""
        return alive(trial, self.studies)

    def revive(self) -> list[FrozenTrial]:
        """Fail the trials of dead processes, put their values into the queue; return all trials as they are then."""
        dead = [t for t in self.study.get_trials(deepcopy=False) if t.state == TrialState.RUNNING and not self.alive(t)]
        for trial in dead:
            self.study.tell(trial.number, state=TrialState.FAIL)
            if len(trial.params) == len(self.space) and "diverged" not in trial.user_attrs:
                self.study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
        return self.study.get_trials(deepcopy=False)

    def _ask(self, worker: Worker, others: Sequence[FrozenTrial]) -> tuple[optuna.Trial, dict[str, Any]]:
        # A sampler of its own for each trial, so that a study that was killed draws what it would have drawn.
        self.study.sampler = optuna.samplers.TPESampler(n_startup_trials=_STARTUP, seed=derive(self.seed, len(others)))
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        left = [dict(start) for start in self.starts if dict(start) not in [t.params for t in others]]
        if left and not waiting:
            self.study.enqueue_trial(left[0])
        trial = self.study.ask()
        worker.claims(trial)
        return trial, {name: _suggest(trial, name, self.space) for name in self.space}

    def _surplus(self, trial: optuna.Trial) -> bool:
        """Give a trial back that is one too many: a process on another machine asked at the same moment."""
        before = [t for t in self.study.get_trials(deepcopy=False) if t.number < trial.number]
        surplus = sum(counts(t) or self.alive(t) for t in before) >= self.trials
        if surplus:
            self.study.tell(trial, state=TrialState.FAIL)
        return surplus

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let one process at a time ask for a trial, or all would see the last one free and take it."""
        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / "claim.lock"):
            yield


def _suggest(trial: optuna.Trial, name: str, space: Space) -> float:
    one = space[name]
    if one.whole:
        return trial.suggest_int(name, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(name, one.low, one.high, log=one.log)
