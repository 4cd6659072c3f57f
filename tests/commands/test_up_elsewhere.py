"""``kmpl up`` with servers that are there already: what it refuses, what it makes, and the whole of it once."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from mlflow import MlflowClient
from object_store import Bucket
from postgres import PostgresServer
from terminal import without_prefect

from kmpl.commands import up_prepare
from kmpl.commands.up_elsewhere import Elsewhere
from kmpl.errors import StoreError, UserError
from kmpl.runtime.servers import HOST, answers, free_port
from kmpl.store.objects import Objects


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--postgres", "mysql://me:secret@host"],
            "kmpl: --postgres mysql://me:***@host: that is no PostgreSQL",
        ),
        (["--store", "nonsense"], "kmpl: KMPL_STORE nonsense: that is no address of a store; give s3://BUCKET/PREFIX"),
        (
            ["--dask", "tcp://127.0.0.1:{port}"],
            "kmpl: KMPL_DASK tcp://127.0.0.1:{port}: no scheduler of",
        ),
        (["--postgres", "postgresql://me:secret@127.0.0.1:{port}"], "kmpl: --postgres postgresql://me:***@127.0.0.1:"),
    ],
)
def test_addresses_that_are_none_or_do_not_answer_are_refused_before_anything_starts(
    flags: list[str], line: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kmpl.jobs.doctor_workers.PATIENCE_SECONDS", 0.3)
    port = str(free_port())
    said = refused("up", *(flag.replace("{port}", port) for flag in flags))
    assert said.startswith(line.replace("{port}", port))
    assert "secret" not in said


def test_databases_and_bucket_are_made_once(postgres_server: PostgresServer, bucket: Bucket) -> None:
    server = postgres_server.address.rpartition("/")[0]
    where = Elsewhere(postgres=f"{server}/team", store=f"s3://new-{bucket.name}/steps")
    for _ in range(2):
        up_prepare.prepare(where)
    with psycopg.connect(where.databases()["optuna"]) as connection:
        assert connection.execute("SELECT count(*) FROM studies").fetchone() == (0,)
    assert Objects(where.store).put("one", b"1")
    with (
        where.alone(),
        pytest.raises(UserError, match=r"^kmpl up runs already with the databases at .*; other"),
    ):
        where.alone().__enter__()


def test_a_user_who_may_make_no_database_is_told_which_are_needed(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.address, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN")
    where = Elsewhere(postgres=f"postgresql://guest@127.0.0.1:{postgres_server.port}/shared")
    with pytest.raises(StoreError, match=r"permission denied .* have the databases shared_mlflow, shared_"):
        where.make_databases()


def test_without_postgresql_nothing_but_the_two_addresses_changes(tmp_path: Path) -> None:
    where = Elsewhere(store="s3://bucket/kmpl", dask="tcp://host:8786")
    assert where.environment(tmp_path, {}) == {"KMPL_STORE": "s3://bucket/kmpl", "KMPL_DASK": "tcp://host:8786"}
    assert Elsewhere().environment(tmp_path, {}) == {}


@pytest.mark.slow
def test_with_postgresql_and_a_store_all_servers_keep_what_they_have_there(
    tmp_path: Path, postgres_server: PostgresServer, bucket: Bucket
) -> None:
    server = postgres_server.address.rpartition("/")[0]
    pages = {name: free_port() for name in ("prefect", "mlflow", "optuna")}
    command = [
        str(Path(sys.executable).with_name("kmpl")),
        "up",
        "--postgres",
        f"{server}/whole",
        "--store",
        bucket.address,
    ]
    command += [word for name, port in pages.items() for word in (f"--{name}-port", str(port))]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=without_prefect() | bucket.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            said: list[str] = []
            for line in process.stdout:
                said.append(line)
                if "Ctrl-C stops everything" in line:
                    break
            assert "Ctrl-C stops everything" in said[-1], said
            assert all(answers(f"http://{HOST}:{port}") for port in pages.values())
            client = MlflowClient(f"http://{HOST}:{pages['mlflow']}")
            (experiment,) = [one for one in client.search_experiments() if one.name == "kmpl"]
            assert experiment.artifact_location.startswith("mlflow-artifacts:/")
            run = client.create_run(experiment.experiment_id)
            client.log_text(run.info.run_id, "kept elsewhere", "note.txt")
            assert [name for name in Objects(bucket.address).sizes("mlflow") if name.endswith("note.txt")]
            with psycopg.connect(Elsewhere(postgres=f"{server}/whole").databases()["prefect"]) as connection:
                assert connection.execute("SELECT count(*) FROM deployment").fetchone() != (0,)
            assert not (tmp_path / "mlruns" / "mlflow.db").exists()
        finally:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0
