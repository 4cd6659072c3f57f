"""The command line as a person meets it: what it prints, what it leaves behind, and how it fails."""

import json
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import copy_database
from forked import run_forked
from mlflow import MlflowClient
from sweeping import KMPL, forked, here, kmpl, wait_for_line
from terminal import one_line

from kmpl.cli import main
from kmpl.config.base import flatten
from kmpl.config.experiment import ExperimentConfig

TINY_TOML = """
protocol = "literature"
labels = 100
threads = 1
[pool]
size = 600
image_size = 16
[pretrain]
epochs = 2
images_per_epoch = 600
batch_size = 64
ema = 0.0
[retrain]
epochs = 1
images_per_epoch = 600
ema = 0.0
[clustering]
n_clusters = 30
n_prototypes = 20
[pseudo_labels]
rounds = 2
threshold = 0.0
"""
RUN = ("run", "--config", "tiny.toml", "--labels", "60")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "mine.toml").write_text(TINY_TOML, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> subprocess.CompletedProcess[str]:
    arms = "labelled-only,pseudo-label,oracle"
    done = kmpl("run", "--config", "mine.toml", "--arms", arms, "--json", "out.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def numbers(folder: Path, finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert finished.returncode == 0
    return json.loads((folder / "out.json").read_text(encoding="utf-8"))


def test_run_ends_with_a_table_and_says_where_to_look(finished: subprocess.CompletedProcess[str]) -> None:
    for word in ("labelled-only", "pseudo-label", "oracle", "clean", "kept", "kmpl ui"):
        assert word in finished.stdout
    assert finished.stderr == ""


def test_json_has_the_documented_form(numbers: dict[str, Any]) -> None:
    assert {"protocol", "seed", "labelled", "unlabelled", "config", "arms", "mlflow_run_id"} <= numbers.keys()
    assert (numbers["labelled"], numbers["unlabelled"]) == (100, 500)
    before, after = numbers["arms"]["labelled-only"], numbers["arms"]["pseudo-label"]
    for arm in (before, after):
        assert {"test_accuracy", "views", "validation_accuracy", "seconds"} <= arm.keys()
        assert 0 < arm["test_accuracy"] < 1
        assert arm["views"] == {"clean": arm["test_accuracy"]}
    assert {"pseudo_label_accuracy", "coverage", "rounds"} <= after.keys()
    assert len(after["rounds"]) == 2
    assert sum(map(sum, after["confusion"])) == 10_000


def test_the_run_is_tracked_with_parent_children_params_metrics_and_files(
    folder: Path, numbers: dict[str, Any]
) -> None:
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    parent = client.get_run(numbers["mlflow_run_id"])
    children = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    title = parent.info.run_name
    assert {run.info.run_name for run in children} == {
        f"{title}, {arm}" for arm in ("labelled-only", "pseudo-label", "oracle")
    }
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    assert parent.data.params.keys() == flatten(numbers["config"]).keys()
    assert {"version.torch", "version.python", "machine", "mlflow.source.git.commit"} <= parent.data.tags.keys()
    assert parent.inputs.dataset_inputs[0].dataset.digest == numbers["pool_digest"][:36]
    assert {f.path for f in client.list_artifacts(parent.info.run_id)} == {
        "environment.txt", "figures", "report.json", "split.json",
    }  # fmt: skip
    figures = {Path(f.path).stem for f in client.list_artifacts(parent.info.run_id, "figures")}
    assert figures == {"views", "confusion", "coverage", "curves", "features", "clusters"}
    for run in children:
        assert run.data.metrics["test/accuracy"] == numbers["arms"][run.data.tags["arm"]]["test_accuracy"]
        assert run.data.metrics["accuracy/test"] == run.data.metrics["test/accuracy"]
        assert {"train/loss", "train/accuracy", "validation/accuracy", "test/accuracy_clean"} <= run.data.metrics.keys()
        assert run.data.params["pretrain.epochs"] == "2"
    after = next(run for run in children if run.data.tags["arm"] == "pseudo-label")
    assert [m.step for m in client.get_metric_history(after.info.run_id, "pseudo_labels/coverage")] == [1, 2]
    assert [m.step for m in client.get_metric_history(after.info.run_id, "train/loss")] == [1, 2, 3, 4]
    assert (after.info.end_time - after.info.start_time) / 1000 >= numbers["arms"]["pseudo-label"]["seconds"]
    assert "**pseudo-label**" in parent.data.tags["mlflow.note.content"]


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    heavy = ("torch", "mlflow", "sklearn", "matplotlib", "pydantic", "prefect", "optuna", "numpy")
    code = f"import sys, kmpl.cli; sys.exit(kmpl.cli.main(['--help']) or any(m in sys.modules for m in {heavy}))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(5):
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # The processor's time: other tests run beside this one.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5 * 0.5


def test_a_warning_of_ours_is_one_line_without_source() -> None:
    code = (
        "import warnings, kmpl.cli; from kmpl.errors import DamagedWarning\n"
        "kmpl.cli.app = lambda *_, **__: (warnings.warn('x.journal: cut off', DamagedWarning), "
        "warnings.warn('other'))\n"
        "kmpl.cli.main([])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stderr.splitlines()
    assert shown[0] == "kmpl: x.journal: cut off"
    assert "UserWarning: other" in shown[1]


def test_every_setting_is_a_flag_with_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["run", "--help-all"]) == 0
    shown = capsys.readouterr().out
    for name in flatten(ExperimentConfig().model_dump()):
        assert f"--{name.replace('_', '-')}" in shown


def test_a_process_that_refuses_its_input_says_one_line_and_ends_with_status_2(tmp_path: Path) -> None:
    command = [KMPL, "run", "--arms", "labelled-onl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "did you mean 'labelled-only'?" in one_line(done.stderr)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ratio", "0"], "--ratio: Input should be greater than 0"),
        (["--ratio", "1"], "ratio: Input should be less than 1"),
        (["--ratio", "-0.5"], "ratio: Input should be greater than 0"),
        (["--ratio", "nan"], "ratio: Input should be a finite number"),
        (["--ratio", "0.0001"], "fewer labels than the 10 classes"),
        (["--labels", "9"], "fewer labels than the 10 classes"),
        (["--labels", "60000", "--protocol", "literature"], "some must stay unlabelled"),
        (["--labels", "100", "--ratio", "0.1"], "give ratio or labels, not both"),
        (["--clustering.n-clusters", "0"], "--clustering.n-clusters: Input should be greater than or equal to 1"),
        (["--clustering.n-clusters", "40000"], "--clustering.n-clusters 40000: the pool has 29700 images"),
        (["--arms", "notebook", "--pseudo-labels.k", "51"], "--pseudo-labels.k 51: there are 50 prototypes"),
        (["--arms", "notebook", "--labels", "50"], "--clustering.n-prototypes 50: 40 images are labelled"),
        (["--protocol", "notbook"], "unknown protocol 'notbook'; did you mean 'notebook'?"),
        (["--arms", "labelled-onl"], "unknown arm 'labelled-onl'; did you mean 'labelled-only'?"),
        (["--network", "vgg"], "unknown network 'vgg'; did you mean 'vgg16'?"),
        (["--dataset", "MINST"], "unknown dataset 'MINST'; did you mean 'MNIST'?"),
        (["--preset", "quik"], "unknown preset 'quik'; did you mean 'quick'?"),
        (["--pretrain.epoch", "3"], "Did you mean --pretrain.epochs?"),
        (["--pretrain.epochs", "many"], "pretrain.epochs: give a whole number, got 'many'"),
        (["--pseudo-labels.strategy", "concensus"], "did you mean 'consensus'?"),
        (["--config", "nowhere.toml"], "cannot read nowhere.toml: No such file"),
        (["--json", "nowhere/out.json"], "make it first"),
        (["--dataset", "KMNIST"], "cannot get KMNIST"),
    ],
)
def test_bad_input_gets_one_line_and_status_2(
    arguments: list[str], said: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    assert said in refused("run", *arguments)
    assert not list(tmp_path.iterdir())


def test_unknown_key_in_a_file_names_the_file_and_the_nearest_key(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "my.toml").write_text("[pretrain]\nlerning_rate = 1.0\n", encoding="utf-8")
    line = refused("run", "--config", "my.toml")
    assert "my.toml: unknown key 'pretrain.lerning_rate'; did you mean 'pretrain.learning_rate'?" in line


def test_mlruns_that_cannot_be_written_is_refused_before_any_training(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "mlruns").write_text("a file, not a folder", encoding="utf-8")
    assert "choose another folder with --mlruns" in refused("run", "--preset", "quick")
    assert [path.name for path in tmp_path.iterdir()] == ["mlruns"]


def test_divergence_names_epoch_and_learning_rate_and_fails_the_run(folder: Path) -> None:
    done = here(*RUN, "--pretrain.learning-rate", "1e30", "--mlruns", "diverged", cwd=folder)
    assert done.returncode == 2
    assert "diverged at epoch 1, learning rate 1e+30" in done.stderr
    assert statuses(folder / "diverged") == ["FAILED"]


def statuses(mlruns: Path) -> list[str]:
    client = MlflowClient(f"sqlite:///{mlruns}/mlflow.db")
    return sorted(run.info.status for run in client.search_runs([e.experiment_id for e in client.search_experiments()]))


def test_ctrl_c_exits_with_130_and_closes_the_run_as_killed(folder: Path) -> None:
    copy_database(folder / "stopped" / "mlflow.db")
    with forked(*RUN, "--pretrain.epochs", "500", "--mlruns", "stopped", cwd=folder) as process:
        wait_for_line(process, "epoch 1/500")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "kmpl: interrupted; the same command goes on where it was\n"
    assert statuses(folder / "stopped") == ["KILLED"]


def test_full_disk_while_writing_a_checkpoint_is_one_line_and_leaves_no_half_file(folder: Path) -> None:
    no_large_files = (
        "import resource, signal, sys; from kmpl.cli import main; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_300_000, 1_300_000))  # the database fits, the network does not\n"
        "sys.exit(main())"
    )
    copy_database(folder / "full" / "mlflow.db")
    command = [sys.executable, "-c", no_large_files, *RUN, "--arms", "labelled-only", "--mlruns", "full"]
    done = run_forked(command, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert one_line(done.stderr)
    assert statuses(folder / "full") == ["FAILED"]
    assert not [path for path in (folder / "full" / "cache").rglob("*") if path.is_file()]


def test_ui_refuses_a_port_that_is_taken(tmp_path: Path, refused: Callable[..., str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        line = refused("ui", "--port", str(other.getsockname()[1]))
    assert "choose another with --port" in line
    assert not list(tmp_path.iterdir())
