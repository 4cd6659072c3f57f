"""Claims on trials by the processes that share a study: a lease with a heartbeat; trials of the dead are run again."""

import contextlib
import os
import platform
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from kmpl.runtime.locks import Locks
from kmpl.runtime.seeds import derive
from kmpl.tuning.search_space import Space
from kmpl.tuning.study_mark import StudyMark

CLAIM = "claim"
"""Name of the lock of claims: one process at a time claims a trial, or all would see the last one free."""
_LEASE = timedelta(hours=1)  # without a heartbeat for so long, a process whose locks are not seen here counts as dead
_HEARTBEAT_SECONDS = 60.0
_CLAIM_TIMEOUT = timedelta(seconds=20)  # from the creation of a trial on another machine to its claim
_STARTUP_TRIALS = 6  # random trials, before the sampler learns from earlier ones


class Worker:
    """A process that runs trials. It gives a sign of life, which ends however the process ends."""

    def __init__(self, locks: Locks, studies_file: Path | None = None) -> None:
        self.studies_file = studies_file
        self.locks = locks
        self.life = ""
        self.last_heartbeat = 0.0
        self._alive = contextlib.ExitStack()

    def __enter__(self) -> "Worker":
        name = f"worker-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.life = self._alive.enter_context(self.locks.living(name))
        return self

    def __exit__(self, *_: object) -> None:
        self._alive.close()

    def claim(self, trial: optuna.Trial) -> None:
        """Write host and sign of life of this process into the trial."""
        owner = {"host": platform.node(), "lock": self.life, "studies": str(self.studies_file or "")}
        trial.set_user_attr("worker", owner)
        self.heartbeat(trial, always=True)

    def heartbeat(self, trial: optuna.Trial, always: bool = False) -> None:
        """Write the time into the trial, for processes on other machines; at most once in ``_HEARTBEAT_SECONDS``."""
        if always or time.monotonic() - self.last_heartbeat > _HEARTBEAT_SECONDS:
            self.last_heartbeat = time.monotonic()
            trial.set_user_attr("seen", datetime.now().astimezone().isoformat(timespec="seconds"))


def is_finished(trial: FrozenTrial) -> bool:
    """Say whether a trial is complete, was pruned or diverged. A trial whose process was killed is not finished."""
    diverged = trial.state == TrialState.FAIL and "diverged" in trial.user_attrs
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or diverged


def is_running(trial: FrozenTrial, locks: Locks, studies_file: Path | None = None) -> bool:
    """Say whether a living process runs a trial.

    Args:
        trial: of a study.
        locks: by which processes give signs of life.
        studies_file: file that the study was read from. If that file is a copy, a process that claimed the trial in the
            original runs it there, not here.
    """
    if trial.state != TrialState.RUNNING:
        return False
    owner = trial.user_attrs.get("worker")
    heartbeat = trial.user_attrs.get("seen")
    if owner is None:
        start = trial.datetime_start
        return start is not None and datetime.now() - start < _CLAIM_TIMEOUT
    is_original = not (studies_file and owner.get("studies")) or _same_file(Path(owner["studies"]), studies_file)
    if owner["host"] == platform.node() and not is_original:
        return False
    is_living = locks.is_living(owner["lock"], owner["host"])
    if is_living is not None:
        return is_living
    return heartbeat is not None and datetime.now().astimezone() - datetime.fromisoformat(heartbeat) < _LEASE


def _same_file(first: Path, second: Path) -> bool:
    return first == second or (first.exists() and first.samefile(second))


@dataclass(frozen=True, kw_only=True)
class TrialClaims:
    """Hands out the trials of one study, one by one, until the study has as many as it should."""

    study: optuna.Study
    mark: StudyMark
    space: Space
    trials: int
    """Number of trials that the study should have."""
    first_values: Sequence[Mapping[str, Any]]
    """Values of the first trials."""
    seed: int
    locks: Locks
    """By which processes agree on trials."""
    studies_file: Path | None = None
    """File of the study; None if a server stores it."""

    def claim(self, worker: Worker) -> tuple[optuna.Trial, dict[str, Any]] | None:
        """Return a trial to run and its values; None when all are finished. Wait while other processes run the last.

        The trial of a dead process is marked as failed, and its values are tried again.
        """
        while True:
            with self.locks.hold(CLAIM):
                self.mark.check()
                trials = self.requeue_dead()
                finished = [t for t in trials if is_finished(t)]
                running = [t for t in trials if self.is_running(t)]
                if len(finished) >= self.trials:
                    return None
                if len(finished) + len(running) < self.trials:
                    trial, values = self._ask(worker, [*finished, *running])
                    if not self._return_surplus(trial):
                        return trial, values
            time.sleep(0.5)  # one of the other processes may die

    def is_running(self, trial: FrozenTrial) -> bool:
        """Say whether a living process runs a trial."""
        return is_running(trial, self.locks, self.studies_file)

    def requeue_dead(self) -> list[FrozenTrial]:
        """Mark the trials of dead processes as failed and enqueue their values again; return all trials after that."""
        trials = self.study.get_trials(deepcopy=False)
        for trial in [t for t in trials if t.state == TrialState.RUNNING and not self.is_running(t)]:
            self.study.tell(trial.number, state=TrialState.FAIL)
            if len(trial.params) == len(self.space) and "diverged" not in trial.user_attrs:
                self.study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
        return self.study.get_trials(deepcopy=False)

    def _ask(self, worker: Worker, others: Sequence[FrozenTrial]) -> tuple[optuna.Trial, dict[str, Any]]:
        """Create a trial, claim it, and return it with its values."""
        # A sampler of its own for each trial, so that a study that was killed draws what it would have drawn.
        sampler_seed = derive(self.seed, len(others))
        self.study.sampler = optuna.samplers.TPESampler(n_startup_trials=_STARTUP_TRIALS, seed=sampler_seed)
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        untried = [dict(values) for values in self.first_values if dict(values) not in [t.params for t in others]]
        if untried and not waiting:
            self.study.enqueue_trial(untried[0])
        trial = self.study.ask()
        worker.claim(trial)
        return trial, {name: _suggest(trial, name, self.space) for name in self.space}

    def _return_surplus(self, trial: optuna.Trial) -> bool:
        """Mark a trial as failed if it is one too many; a process on another machine asked at the same moment."""
        earlier = [t for t in self.study.get_trials(deepcopy=False) if t.number < trial.number]
        is_surplus = sum(is_finished(t) or self.is_running(t) for t in earlier) >= self.trials
        if is_surplus:
            self.study.tell(trial, state=TrialState.FAIL)
        return is_surplus


def _suggest(trial: optuna.Trial, name: str, space: Space) -> float:
    limits = space[name]
    if limits.whole:
        return trial.suggest_int(name, int(limits.low), int(limits.high), log=limits.log)
    return trial.suggest_float(name, limits.low, limits.high, log=limits.log)
