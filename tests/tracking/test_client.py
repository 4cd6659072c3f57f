"""Opening the store: the folder that was asked for, whatever was opened before, and a line where it cannot be."""

import os
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
from databases import copy_database
from forked import run_forked
from mlflow.exceptions import MlflowException
from prefect.exceptions import TerminationSignal
from sqlalchemy.exc import OperationalError

from kmpl import tracking
from kmpl.errors import UserError
from kmpl.tracking.client import closing, experiment_id, search
from kmpl.tracking.experiment_runs import start


def test_each_folder_is_a_store_of_its_own(tmp_path: Path) -> None:
    one, other = tracking.open_store(tmp_path / "one"), tracking.open_store(tmp_path / "other")
    run = start(one, "a run", {"kind": "sweep"})
    assert [found.info.run_id for found in search(one, kind="sweep")] == [run]
    assert search(other, kind="sweep") == []
    assert (tmp_path / "other" / "mlflow.db").is_file()
    assert one.get_run(run).info.artifact_uri.startswith((tmp_path / "one" / "artifacts").as_uri())
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_the_store_that_the_environment_names_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_database(tmp_path / "named.db")
    named = f"sqlite:///{tmp_path}/named.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    client = tracking.open_store(tmp_path / "mlruns")
    assert client.tracking_uri == named
    assert os.environ["MLFLOW_TRACKING_URI"] == named
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"^cannot write [^\n]*file[^\n]*; choose another folder with --mlruns$"):
        tracking.open_store(tmp_path / "file")


def test_a_database_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=rf"^cannot open the runs at sqlite:///{tmp_path}/mlflow.db: [^\n]+$"):
        tracking.open_store(tmp_path)


BOTH = """
import os, sys
from pathlib import Path
from kmpl import tracking
other = os.fork()
tracking.open_store(Path(sys.argv[1]))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) if other else 0)
"""


def test_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    both = run_forked([sys.executable, "-c", BOTH, str(tmp_path)])
    assert (both.returncode, both.stderr) == (0, "")
    assert experiment_id(tracking.open_store(tmp_path))


def test_all_pages_of_a_search_are_read_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tracking.open_store(tmp_path)
    made = [start(client, f"run {i}", {"kind": "arm", "sweep": "a"}, seconds_ago=10 - i) for i in range(7)]
    start(client, "another", {"kind": "arm", "sweep": "b"})
    ask = client.search_runs
    monkeypatch.setattr(client, "search_runs", lambda *a, **k: ask(*a, **k | {"max_results": 3}))
    assert [run.info.run_id for run in search(client, kind="arm", sweep="a")] == made[::-1]


def test_only_failures_from_outside_may_be_tried_again() -> None:
    def from_(cause: BaseException) -> BaseException:
        error = UserError("one line")
        error.__cause__ = cause
        return error

    for outside in (OSError("no route"), MlflowException("no answer")):
        assert tracking.failed_outside(outside)
        assert tracking.failed_outside(from_(from_(outside)))
    for own in (UserError("a wrong setting"), ValueError("a mistake")):
        assert not tracking.failed_outside(own)
        assert not tracking.failed_outside(from_(own))


def test_a_store_that_fails_too_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tracking.open_store(tmp_path)
    run = start(client, "a run", {})

    def gone(*_: object, **__: object) -> None:
        raise MlflowException("the server is gone")

    monkeypatch.setattr(client, "set_tag", gone)
    monkeypatch.setattr(client, "set_terminated", gone)
    with pytest.raises(ValueError, match="the first error"), closing(client, run):
        raise ValueError("the first error")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), "KILLED", None),
        (TerminationSignal(signal=15), "KILLED", None),  # Prefect's, when a flow run is cancelled
        (SystemExit(), "KILLED", None),
        (ValueError("too small"), "FAILED", "too small"),
        (ValueError(), "FAILED", "ValueError"),
    ],
    ids=repr,
)
def test_a_run_that_is_stopped_is_killed_and_not_failed(
    error: BaseException, status: str, said: str | None, tmp_path: Path
) -> None:
    client = tracking.open_store(tmp_path)
    run = start(client, "a run", {})
    with pytest.raises(type(error)), closing(client, run):
        raise error
    closed = client.get_run(run)
    assert (closed.info.status, closed.data.tags.get("error")) == (status, said)


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from kmpl import tracking

said = []

@event.listens_for(Engine, "before_cursor_execute")
def count(*about):
    said.append(about)
    if len(said) == statements:
        os.kill(os.getpid(), signal.SIGKILL)

for statements in map(int, sys.argv[2:]):  # a process for each
    if not os.fork():
        tracking.open_store(Path(sys.argv[1]) / str(statements))
        sys.exit()
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_kill_while_the_database_is_made_leaves_no_half_of_it(tmp_path: Path) -> None:
    moments = ("30", "150")
    killed = run_forked([sys.executable, "-c", KILLED, str(tmp_path), *moments])
    assert killed.returncode == 0, killed.stderr
    assert killed.stdout.split() == [f"-{signal.SIGKILL:d}"] * len(moments)
    for folder in (tmp_path / statements for statements in moments):
        assert list(folder.glob(".mlflow-*"))
        assert not (folder / "mlflow.db").exists()
        client = tracking.open_store(folder)
        assert client.get_run(start(client, "a run", {"kind": "sweep"})).info.status == "RUNNING"
        assert not list(folder.glob(".mlflow-*"))


def test_a_store_that_fails_on_the_way_is_said_in_one_line_without_tracebacks(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    client = tracking.open_store(tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("DROP TABLE tags")
    with pytest.raises(UserError, match=r"can no longer be written: [^\n]*$"), tracking.store_answers():
        start(client, "a run", {"kind": "sweep"})
    assert capfd.readouterr().err == ""


def test_the_cause_is_told_rather_than_when_it_was_noticed() -> None:
    error = OperationalError("INSERT INTO tags", {}, sqlite3.OperationalError("database or disk is full"))
    error.add_detail("raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block")
    assert str(error).startswith("(raised as a result")
    with (
        pytest.raises(UserError, match=r"can no longer be written: .*database or disk is full"),
        tracking.store_answers(),
    ):
        raise error
