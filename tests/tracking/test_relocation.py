"""A moved or copied store is one of its new place: nothing is lost, nothing is written into the other. Real stores."""

import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock
from mlflow import MlflowClient, experiments

from kmpl import tracking
from kmpl.errors import MovedWarning, UserError
from kmpl.tracking import relocation
from kmpl.tracking.client import EXPERIMENT, search
from kmpl.tracking.experiment_runs import start
from kmpl.tracking.relocation import BACKUP, HOME


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two runs and their files, a model of one of them in the registry, and a labelling's lock."""
    folder = tmp_path_factory.mktemp("made") / "mlruns"
    client = tracking.open_store(folder)
    for name in ("one", "two"):
        run = start(client, name, {"kind": "labelling", "lock": str(folder / "locks" / f"{name}.lock")})
        client.log_text(run, name, "said.txt")
        client.set_terminated(run)
    model = client.create_logged_model(client.get_run(run).info.experiment_id, "model", run)
    client.create_registered_model("kmpl")
    client.create_model_version("kmpl", f"{client.get_run(run).info.artifact_uri}/model", run)
    assert model.artifact_location.startswith(folder.as_uri())
    return folder


@pytest.fixture
def moved(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder in another place, and nothing where it was."""
    aside = made.with_name("aside")
    shutil.copytree(made, tmp_path / "moved to" / "mlruns")
    made.rename(aside)
    yield tmp_path / "moved to" / "mlruns"
    shutil.rmtree(made, ignore_errors=True)
    aside.rename(made)


def content(database: Path) -> str:
    """Return all that a database holds; a change that was not finished is taken back first, as in every opening."""
    with sqlite3.connect(database) as opened:
        text = "\n".join(opened.iterdump())
    opened.close()
    return text


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def opened(folder: Path) -> tuple[MlflowClient, str]:
    """Open a store that is not where it was; return what was said, in one line."""
    with pytest.warns(MovedWarning) as said:
        client = tracking.open_store(folder)
    (line,) = (str(warning.message) for warning in said)
    assert "\n" not in line
    return client, line


def test_a_moved_store_says_its_new_place_everywhere_and_keeps_the_database_as_it_was(made: Path, moved: Path) -> None:
    before = content(moved / "mlflow.db")
    client, line = opened(moved)
    assert line == (
        f"{moved} was {made} before it was moved or copied: 8 locations in its database are rewritten (its former "
        f"content is kept: {moved / BACKUP})"
    )
    assert content(moved / BACKUP) == before
    now = content(moved / "mlflow.db")
    # Nothing but the place has changed; the experiment says where that is.
    assert now.replace(moved.as_uri(), made.as_uri()).replace(str(moved), str(made)) == before
    runs = search(client, kind="labelling")
    assert len(runs) == 2
    for run in runs:
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["said.txt"]
        assert Path(run.data.tags["lock"]).parent == moved / "locks"
    tracking.open_store(moved)  # and says no more
    assert not made.exists()


def test_a_copy_and_its_original_never_write_into_each_other(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    before = files(made)
    client, _ = opened(copy)
    run = start(client, "in the copy", {"kind": "arm"})
    client.log_text(run, "new", "said.txt")
    for old in search(client, kind="labelling"):
        client.log_text(old.info.run_id, "more", "more.txt")
    client.set_terminated(run)
    assert files(made) == before
    after = files(copy)
    tracking.open_store(made)  # which has nothing to say
    assert files(copy) == after


@pytest.mark.parametrize("place", ["an experiment's", "a run's"])
def test_locations_outside_the_store_are_left_and_named(place: str, made: Path, moved: Path, tmp_path: Path) -> None:
    disk = (tmp_path / "other disk").as_uri()
    with sqlite3.connect(moved / "mlflow.db") as database:
        if place == "a run's":
            database.execute("UPDATE runs SET artifact_uri = ? WHERE name = 'one'", (f"{disk}/one",))
        else:
            row = (
                "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) VALUES (?, ?, ?, ?)"
            )
            database.execute(row, (7, "bucket", "s3://bucket/runs", "active"))
            database.execute(
                "UPDATE runs SET experiment_id = 7, artifact_uri = 's3://bucket/runs/1' WHERE name = 'one'"
            )
    database.close()
    client, line = opened(moved)
    left = f"{disk}/one" if place == "a run's" else "s3://bucket/runs"
    assert line.endswith(f"; locations outside it are unchanged: {left}")
    with sqlite3.connect(moved / "mlflow.db") as database:
        found = dict(database.execute("SELECT name, artifact_uri FROM runs"))
    database.close()
    assert found["one"] == (left if place == "a run's" else f"{left}/1")
    assert found["two"].startswith(moved.as_uri())
    assert str(made) not in content(moved / "mlflow.db").replace(left, "")
    assert client


def test_a_folder_that_is_still_there_by_its_old_name_is_left_as_it_is(made: Path, moved: Path) -> None:
    before = content(moved / "mlflow.db")
    made.symlink_to(moved)
    tracking.open_store(moved)
    made.unlink()
    assert content(moved / "mlflow.db") == before
    assert not (moved / BACKUP).exists()


def test_a_store_of_a_version_that_did_not_say_its_place_is_known_by_its_locations(made: Path, moved: Path) -> None:
    with sqlite3.connect(moved / "mlflow.db") as database:
        database.execute("DELETE FROM experiment_tags WHERE key = ?", (HOME,))
    database.close()
    assert opened(moved)[1].startswith(f"{moved} was {made} before")
    tracking.open_store(moved)


def test_the_database_alone_copied_names_the_runs_whose_files_are_not_here(made: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    shutil.copy(made / "mlflow.db", tmp_path / "alone" / "mlflow.db")
    _, line = opened(tmp_path / "alone")
    brings = f"cp -rn {made}/artifacts {tmp_path}/alone/"
    assert line.endswith(f"; the files of 2 runs are still in {made}: {brings} copies them")
    subprocess.run(brings.split(), check=True)
    client = tracking.open_store(tmp_path / "alone")
    for run in search(client, kind="labelling"):
        assert client.list_artifacts(run.info.run_id)


@pytest.mark.parametrize("name", ["two words", "#1 (ü)", "it's", "100%"])
def test_a_store_may_be_moved_to_any_name(name: str, moved: Path) -> None:
    odd = moved.with_name(name)
    moved.rename(odd)
    client, _ = opened(odd)
    run = start(client, "a run", {"kind": "arm"})
    client.log_text(run, "new", "said.txt")
    assert (odd / "artifacts" / run / "artifacts" / "said.txt").read_text() == "new"
    assert {path.name for path in odd.parent.iterdir()} == {odd.name}


@pytest.mark.parametrize("name", ["a%20b", "what?"])
def test_a_name_that_mlflow_would_read_as_another_is_refused_and_nothing_is_written(name: str, moved: Path) -> None:
    odd = moved.with_name(name)
    moved.rename(odd)
    before = files(odd.parent)
    with pytest.raises(UserError, match=r"^runs cannot be kept in [^\n]*; rename the folder, or choose another"):
        tracking.open_store(odd)
    assert files(odd.parent) == before


def test_nothing_is_changed_under_a_process_at_work_that_knows_the_folder_by_its_old_name(
    made: Path, moved: Path
) -> None:
    (moved / "locks").mkdir()
    before = content(moved / "mlflow.db")
    with FileLock(moved / "locks" / "sweep-a.lock"):
        line = rf"^{moved} was {made} before, and a process still uses it under that name \(sweep-a\.lock\); stop it"
        with pytest.raises(UserError, match=line):
            tracking.open_store(moved)
    assert content(moved / "mlflow.db") == before
    opened(moved)


def test_where_no_copy_of_the_database_can_be_kept_nothing_is_changed(moved: Path) -> None:
    before = files(moved)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(
            UserError, match=r"backup of its database cannot be written before the change: [^\n]*; nothing is changed$"
        ):
            tracking.open_store(moved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(moved) == before
    opened(moved)


# The module alone: to import MLflow in three processes takes many seconds.
RELOCATE = """
import importlib.util, os, signal, sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("relocation", sys.argv[1])
relocation = importlib.util.module_from_spec(spec)
spec.loader.exec_module(relocation)
if sys.argv[3] == "die":
    relocation._locations_elsewhere = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
relocation.relocate(Path(sys.argv[2]), "kmpl")
"""


def test_killed_on_the_way_it_is_as_it_was_and_two_processes_that_come_then_do_it_once(moved: Path) -> None:
    before, database = content(moved / "mlflow.db"), str(moved / "mlflow.db")
    command = [sys.executable, "-c", RELOCATE, relocation.__file__, database]
    assert subprocess.run([*command, "die"], check=False).returncode == -signal.SIGKILL
    assert (moved / "mlflow.db-journal").exists()  # it had begun to write
    assert content(moved / "mlflow.db") == before
    both = [subprocess.Popen([*command, "live"], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(text.count("MovedWarning") for text in said) == [0, 1]
    assert content(moved / BACKUP) == before
    tracking.open_store(moved)  # and has nothing to say


def test_an_experiment_that_was_deleted_is_said_with_what_brings_it_back(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "copy")
    client, _ = opened(tmp_path / "copy")
    number = client.get_experiment_by_name(EXPERIMENT).experiment_id
    client.delete_experiment(number)
    again = r"^MLflow's experiment 'kmpl' with all runs at [^\n]* was deleted; to have it back: "
    with pytest.raises(UserError, match=again), tracking.store_answers():  # who was at work meanwhile
        start(client, "a run", {})
    with pytest.raises(UserError, match=r"was deleted; to have it back: (.*); to remove it for good: (.*)$") as said:
        tracking.open_store(tmp_path / "copy")
    uri = f"sqlite:///{tmp_path}/copy/mlflow.db"
    back = f"MLFLOW_TRACKING_URI={uri} mlflow experiments restore --experiment-id {number}"
    gone = f"MLFLOW_TRACKING_URI={uri} mlflow gc --experiment-ids {number}"
    assert f"{back}; to remove it for good: {gone}" in str(said.value)
    restored = CliRunner().invoke(experiments.commands, back.split()[3:], catch_exceptions=False)
    assert restored.exit_code == 0
    assert len(search(tracking.open_store(tmp_path / "copy"), kind="labelling")) == 2
