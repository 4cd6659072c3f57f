"""Tuning of one labelled ratio of a sweep, by one process or by several that share its studies."""

from dataclasses import dataclass, replace

from kmpl import tracking
from kmpl.config.experiment import ExperimentConfig
from kmpl.jobs.experiment import Wrap, error_context, without_test_set
from kmpl.jobs.journal import Journal
from kmpl.jobs.remote import received
from kmpl.jobs.workers import exit_with_parent
from kmpl.jobs.workspace import Workspace
from kmpl.reports.studies import StudyRecord
from kmpl.runtime.devices import use_threads

Studies = tuple[StudyRecord, StudyRecord]
"""The study of labelled-only and that of pseudo-label."""


@dataclass(frozen=True, kw_only=True)
class TuningJob:
    """The work of one process on the studies of one labelled ratio."""

    name: str
    sweep: str
    config: ExperimentConfig
    workspace: Workspace
    trials: int
    search: tuple[str, ...] = ()
    previous: tuple[StudyRecord, ...] = ()
    """Studies of the ratio that was tuned before this one."""
    draws: int = 1
    """Number of draws that decide a study."""

    @property
    def needs_folder(self) -> bool:
        """Whether processes agree by files in the folder of runs: by studies or by locks that lie there."""
        return not self.workspace.shares_studies

    def copies(self, jobs: int) -> list["TuningJob"]:
        """Return one copy for each of several processes, with names of their own."""
        return [self] if jobs == 1 else [replace(self, name=f"{self.name} {i}") for i in range(1, jobs + 1)]


def run_tuning(wrap: Wrap, job: TuningJob) -> Studies:
    """Run trials of the studies of one labelled ratio until all are finished; return the studies."""
    from kmpl import tuning  # slow to import, and most sweeps do without

    exit_with_parent()
    with error_context(job.name):
        job = received(job)
    use_threads(job.config.threads)
    journal = Journal(job.workspace.events, cell=job.name)
    client = tracking.open_store(job.workspace.mlruns)
    with error_context(job.name), tracking.store_answers():
        journal.write(kind="begun")
        address = tuning.storage_address(job.workspace.mlruns, job.workspace.studies)
        context = tuning.StudyContext(
            storage=tuning.open_studies(address),
            client=client,
            locks=job.workspace.study_locks,
            mlruns=job.workspace.mlruns,
            sweep=job.sweep,
            on_trial=journal.write_trial,
            studies_file=tuning.studies_file(address),
        )
        with tuning.studies_answer(address):
            studies = tuning.tune(
                job.config,
                trials=job.trials,
                steps=wrap(without_test_set(job.workspace, job.name), job.name),
                context=context,
                ranges=job.search,
                previous=job.previous,
                draws=job.draws,
            )
        journal.write(kind="finished")
    return studies
