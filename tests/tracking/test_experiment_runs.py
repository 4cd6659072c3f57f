"""What MLflow keeps of an experiment whose data set has a long name."""

from pathlib import Path

from kmpl import tracking
from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.folder_dataset import MAX_PATH_LENGTH, PREFIX
from kmpl.method.steps import load
from kmpl.tracking.experiment_runs import experiment_run


def test_the_longest_path_that_is_taken_is_a_data_set_in_mlflow(tiny: ExperimentConfig, tmp_path: Path) -> None:
    pool, _ = load(tiny)
    named = tiny.model_copy(update={"dataset": PREFIX + "/a" * (MAX_PATH_LENGTH // 2)})
    client = tracking.open_store(tmp_path)
    with experiment_run(client, named) as tracked:
        tracked.log_pool(pool)
    name = client.get_run(tracked.id).info.run_name
    assert (len(name), name[0], name[-39:]) == (250, "…", "/a/a/a/a/a literature labels 100 seed 0")
    (data,) = client.get_run(tracked.id).inputs.dataset_inputs
    assert len(data.dataset.name) == 500
    assert data.dataset.name.startswith("…")
    assert data.dataset.name.endswith("/a/a, literature protocol, 100 labels")
