"""One labelled ratio of a sweep, tuned by one process or by several that share its studies."""

from dataclasses import dataclass, replace

from kmpl import tracking
from kmpl.config.experiment import ExperimentConfig
from kmpl.jobs.experiment import Wrap, error_context, without_test_set
from kmpl.jobs.journal import Journal
from kmpl.jobs.workers import exit_with_parent
from kmpl.jobs.workspace import Workspace
from kmpl.reports.studies import StudyRecord
from kmpl.runtime.devices import use_threads

Studies = tuple[StudyRecord, StudyRecord]
"""Of labelled-only and of pseudo-label."""


@dataclass(frozen=True)
class Tuning:
    """What one process does for one labelled ratio."""

    name: str
    sweep: str
    config: ExperimentConfig
    place: Workspace
    trials: int
    search: tuple[str, ...] = ()
    before: tuple[StudyRecord, ...] = ()
    """Studies of the ratio tuned before."""
    draws: int = 1
    """That decide."""

    def shared(self, jobs: int) -> list["Tuning"]:
        """Return the same for each of several processes."""
        return [self] if jobs == 1 else [replace(self, name=f"{self.name} {i}") for i in range(1, jobs + 1)]


def run_tuning(wrap: Wrap, cell: Tuning) -> Studies:
    """Work on the studies of one labelled ratio until all their trials are done; return what they found."""
    from kmpl import tuning  # slow to import, and most sweeps do without

    exit_with_parent()
    use_threads(cell.config.threads)
    journal, client = Journal(cell.place.events, cell=cell.name), tracking.open_store(cell.place.mlruns)
    with error_context(cell.name), tracking.store_answers():
        journal.write(kind="begun")
        where = tuning.address(cell.place.mlruns, cell.place.studies)
        desk = tuning.Desk(
            tuning.open_studies(where), client, cell.place.mlruns, cell.sweep, journal.say, tuning.studies_file(where)
        )
        steps = wrap(without_test_set(cell.place, cell.name), cell.name)
        with tuning.studies_answer(where):
            found = tuning.tune(cell.config, cell.trials, steps, desk, cell.search, cell.before, cell.draws)
        journal.write(kind="finished")
    return found
