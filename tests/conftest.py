"""How tests are shared out among processes, the longest first.

The fixtures are in ``tests/helpers/shared_fixtures.py``, ``object_store.py`` and ``postgres.py``. Only processes that
run tests load them: they import all of kmpl, and the process that hands tests out needs none of it.
"""

import gc
import os
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

# Files that take longest, longest first: the last to be begun should be short ones.
LONGEST = (
    "tests/jobs/test_sweep.py",
    "tests/commands/test_cli.py",
    "tests/store/test_cached_steps.py",
    "tests/laws/test_laws.py",
    "tests/jobs/test_tune.py",
    "tests/jobs/test_label_folder.py",
    "tests/flows/",
    "tests/jobs/test_label_photographs.py",
    "tests/labelling/test_ways.py",
    "tests/tuning/test_study.py",
    "tests/commands/test_review.py",
    "tests/review/test_page.py",
    "tests/tracking/test_sweep_runs.py",
    "tests/commands/test_first_minutes.py",
    "tests/tuning/test_trial_claims.py",
    "tests/commands/test_help.py",
    "tests/tracking/test_load_model.py",
    "tests/method/test_pseudo_labels.py",
    "tests/training/test_loop.py",
    "tests/benchmarks/accuracy/test_fewest.py",
    "tests/reports/test_comparison.py",
    "tests/benchmarks/speed/test_table.py",
    "tests/method/test_pretext.py",
    "tests/tracking/test_client.py",
    "tests/docs/test_readme.py",
    "tests/commands/test_predict.py",
    "tests/models/backbones/",
    "tests/benchmarks/accuracy/test_pictures.py",
    "tests/commands/test_run.py",
    "tests/models/test_onnx_file.py",
    "tests/reports/test_experiment_plots.py",
    "tests/runtime/test_processes.py",
)

# Files that have commands forked (tests/helpers/forked.py): what they are forked from takes six seconds to import.
FORKING = (
    "tests/jobs/test_sweep.py",
    "tests/commands/test_cli.py",
    "tests/commands/test_review.py",
    "tests/review/test_page.py",
    "tests/tracking/test_sweep_runs.py",
    "tests/tracking/test_labelling_runs.py",
    "tests/tracking/test_client.py",
    "tests/tuning/test_trial_claims.py",
    "tests/store/test_store.py",
    "tests/datasets/test_mnist.py",
    "tests/runtime/test_forked.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, except in the process that only hands tests out to others."""
    hands_out = bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")
    gc.set_threshold(50_000, 20, 100)  # as in the command's process: importing takes a fifth less
    if not hands_out:
        config.pluginmanager.import_plugin("shared_fixtures")
        config.pluginmanager.import_plugin("object_store")
        config.pluginmanager.import_plugin("postgres")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    rank = {path: number for number, path in enumerate(LONGEST)}
    items.sort(key=lambda item: min((rank[path] for path in rank if item.nodeid.startswith(path)), default=len(rank)))


class WholeFiles(LoadFileScheduling):
    """Hands whole files to processes. What shares a server goes to one: all flows, and what is forked."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(FORKING):
            return "forked"
        return "tests/flows" if nodeid.startswith("tests/flows/") else super()._split_scope(nodeid)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:  # noqa: ARG001  (named by xdist)
    """Return one process more than there are cores: a sixth of the time tests wait for servers and for kills."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Return what shares tests out among processes."""
    return WholeFiles(config, log)
