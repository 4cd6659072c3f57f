"""``kmpl run``: one experiment, before and after pseudo-labelling."""

from pathlib import Path

from rich.console import Console

from kmpl.commands.flags import MLRUNS, Flag, Folder
from kmpl.commands.options import ExperimentSettings, overrides_of, print_new_clusters
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import load, overrides_from, preset_pool_size
from kmpl.runtime.output_paths import check_target
from kmpl.runtime.typed_command import next_command, typed_command


def run(
    *,
    preset: str = "default",
    config: Path | None = None,
    json: Path | None = None,
    mlruns: Folder = MLRUNS,
    quiet: Flag = False,
    settings: ExperimentSettings = None,
) -> None:
    """Run the experiment: pretrain on the few labels, pseudo-label the rest, retrain, compare on the test.

    Args:
        preset: default (the protocol as written), quick (a smaller pool, fewer epochs) or notebook (VGG16, the
            notebook's constants).
        config: TOML file of settings; it wins over the preset.
        json: Write the report to this file.
        mlruns: Folder of the tracked runs.
        quiet: Print nothing but errors.
        settings: Single settings; they win over the file and the preset.
    """
    loaded = load(preset, config, overrides_of(settings))
    overrides = overrides_from(config, overrides_of(settings))
    if json is not None:
        check_target(json, "--json")
    # Heavy modules are imported only now that the settings are valid.
    from kmpl.method.pool_size import fitted

    console = Console(quiet=quiet)
    experiment_config = fitted(loaded, overrides, preset_pool_size(preset))
    print_new_clusters(loaded, experiment_config, console)
    _run(experiment_config, json, mlruns, console)


def _run(config: ExperimentConfig, json: Path | None, mlruns: Path, console: Console) -> None:
    """Run one experiment, tracked, and print its table and where to look."""
    from kmpl import tracking
    from kmpl.jobs import progress_bars, whole_job
    from kmpl.jobs.workspace import Workspace
    from kmpl.method import experiment
    from kmpl.method.evaluation import evaluate
    from kmpl.method.step_interface import Steps
    from kmpl.method.steps import load as load_pool
    from kmpl.reports import experiment_report as reports
    from kmpl.store.cached_steps import cached
    from kmpl.tracking.experiment_runs import experiment_run

    pool_and_truth = load_pool(config)
    client = tracking.open_store(mlruns)
    with tracking.store_answers(), experiment_run(client, config, typed_command()) as tracked:
        with progress_bars.show_training(console, whole_job.of_experiment(config)) as watch:
            steps = Steps(
                evaluate=evaluate,
                load=lambda _: pool_and_truth,
                watch=watch,
                begun=tracked.log_pool,
                report=tracked.log_arm,
            )
            outcome = experiment.run(config, cached(steps, Workspace(mlruns).store))
        numbers = reports.summary(config, outcome, tracked.id)
        tracked.log_report(outcome, numbers)
        if json is not None:
            reports.write_json(numbers, json)
    console.print(reports.table(outcome))
    for line in reports.notes(outcome):
        console.print(line, highlight=False, markup=False)
    command = next_command("ui", mlruns=mlruns)
    console.print(f"Curves, confusions, clusters, models: [bold]{command}[/bold], then run {tracked.id[:8]}")
