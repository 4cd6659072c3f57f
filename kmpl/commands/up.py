"""``kmpl up``: Prefect's server, a worker, MLflow's pages and Optuna's dashboard with one command."""

import contextlib
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from filelock import FileLock, Timeout
from honcho.environ import parse_procfile
from rich.console import Console

from kmpl.commands.flags import MLRUNS, Folder
from kmpl.commands.up_elsewhere import Elsewhere
from kmpl.commands.up_prefect import deploy, make_pool
from kmpl.errors import UserError
from kmpl.runtime import proxies
from kmpl.runtime.addresses import TRACKING, addresses_of_environment
from kmpl.runtime.processes import Processes
from kmpl.runtime.servers import HOST, answers, check_port, prefect_settings

ROOT = Path(__file__).resolve().parents[2]
QUICK = "semi-supervised/quick"
WHOLE = "semi-supervised/ratio-sweep"
PATIENCE_SECONDS = 180.0
"""Time within which all pages must answer."""
NAMES = {"prefect": "Prefect: runs", "mlflow": "MLflow: results", "optuna": "Optuna: studies"}
PREFECT_PORT = 4200  # also in [tool.prefect] of pyproject.toml, so that the next command needs no variable

Port = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=65_535))]


def up(
    *,
    mlruns: Folder = MLRUNS,
    prefect_port: Port = PREFECT_PORT,
    mlflow_port: Port = 5000,
    optuna_port: Port = 8080,
    postgres: str = "",
    store: str = "",
    dask: str = "",
) -> None:
    """Start Prefect, a worker, MLflow's and Optuna's pages, for this machine only. Ctrl-C stops them all.

    Args:
        mlruns: Folder of the tracked runs, the studies, Prefect's database and the servers' output.
        prefect_port: Port of Prefect's pages on 127.0.0.1.
        mlflow_port: Port of MLflow's pages on 127.0.0.1.
        optuna_port: Port of Optuna's dashboard on 127.0.0.1.
        postgres: Address of a PostgreSQL server that keeps runs, studies and flows: postgresql://USER@HOST.
        store: Address of the store of finished steps and of MLflow's files: s3://BUCKET/PREFIX.
        dask: Address of a Dask scheduler whose workers compute: tcp://HOST:8786.
    """
    ports = {"prefect": prefect_port, "mlflow": mlflow_port, "optuna": optuna_port}
    procfile = _procfile()
    _check_ports(ports)
    elsewhere = Elsewhere(postgres=postgres, store=store, dask=dask)
    elsewhere.check()
    _run(procfile, mlruns, ports, elsewhere)


def _run(procfile: Mapping[str, str], mlruns: Path, ports: Mapping[str, int], elsewhere: Elsewhere) -> None:
    """Run all processes until Ctrl-C.

    Raises:
        UserError: one ended, or did not answer; all are stopped then.
    """
    console = Console(highlight=False, soft_wrap=True)
    begin = time.monotonic()
    console.print("Starting Prefect, a worker, MLflow and Optuna: about half a minute.")
    environment, runs_page = _prepare(mlruns, ports, elsewhere)
    pages = {name: _address(port) for name, port in ports.items()} | {"mlflow": runs_page}
    path = mlruns / "logs" / "up.log"
    with _alone(mlruns), contextlib.ExitStack() as held, path.open("w", encoding="utf-8") as output:
        processes = Processes(output)
        for name, command in procfile.items():
            processes.add_process(name, command, env=environment, cwd=str(ROOT))

        def opening() -> None:
            seconds = _wait_for_pages(ports, processes.stopping, begin)
            held.enter_context(elsewhere.alone())  # not before: processes that are forked would share its connection
            _make_experiment(environment, mlruns)
            make_pool(environment["PREFECT_API_URL"])
            Path(environment["KMPL_READY"]).touch()
            deploy(ROOT, environment, path.with_name("deploy.log"), processes.stopping)
            if not processes.stopping.is_set():
                _print_pages(console, pages, seconds)
                _print_next_steps(console, ports["prefect"], path)

        try:
            processes.run(opening)
        except UserError as error:
            raise UserError(f"{error} (all output: {path}); everything is stopped") from error
    console.print("Everything is stopped.")


def _procfile() -> dict[str, str]:
    """Return name and command of each process.

    Raises:
        UserError: this is not a checkout of the project.
    """
    for name in ("Procfile", "prefect.yaml", "flows"):
        if not (ROOT / name).exists():
            raise UserError(
                f"kmpl up needs the project's folder, and {ROOT} has no {name}: run it from a clone of kmpl"
            )
    return dict(parse_procfile((ROOT / "Procfile").read_text(encoding="utf-8")).processes)


def _check_ports(ports: Mapping[str, int]) -> None:
    for name, port in ports.items():
        twin = next((other for other in ports if other != name and ports[other] == port), None)
        if twin is not None:
            raise UserError(f"port {port} cannot serve two: give --{name}-port and --{twin}-port different ports")
        check_port(port, NAMES[name].partition(":")[0], f"--{name}-port")


@contextlib.contextmanager
def _alone(mlruns: Path) -> Iterator[None]:
    """Refuse a second `kmpl up` on the same folder: it would take the first one's runs for dead."""
    try:
        with FileLock(mlruns / "logs" / "up.lock", timeout=0):
            (mlruns / "logs" / "up.ready").unlink(missing_ok=True)
            yield
    except Timeout as error:
        raise UserError(f"kmpl up runs already on {mlruns}; stop it first, or choose another --mlruns") from error


def _prepare(mlruns: Path, ports: Mapping[str, int], elsewhere: Elsewhere) -> tuple[dict[str, str], str]:
    """Make the stores that the servers show; return the environment of all processes, and the page of all runs."""
    from kmpl import tracking, tuning  # slow to import

    pages = {name: _address(port) for name, port in ports.items()}
    if elsewhere.postgres:
        elsewhere.make_databases()
        tuning.make_studies(elsewhere.databases()["optuna"])
        for folder in ("logs", "studies"):
            (mlruns / folder).mkdir(parents=True, exist_ok=True)
        where = elsewhere.environment(mlruns.resolve(), pages)
        return _environment(mlruns.resolve(), ports) | where, pages["mlflow"]
    client = tracking.open_store(mlruns)  # two processes that open a new database together trip over each other
    (mlruns / "logs").mkdir(exist_ok=True)
    studies = tuning.storage_address(mlruns)
    if "://" not in studies:
        Path(studies).touch()
    (mlruns / "studies").mkdir(exist_ok=True)
    stores = {"KMPL_RUNS": tracking.tracking_uri(mlruns), "KMPL_STUDIES": studies}
    stores |= elsewhere.environment(mlruns.resolve(), pages)
    return _environment(mlruns.resolve(), ports) | stores, tracking.runs_url(client, pages["mlflow"])


def _make_experiment(environment: Mapping[str, str], mlruns: Path) -> None:
    """Have MLflow's server make the experiment: made in its database, it would have files on one machine's disk."""
    if "KMPL_ARTIFACTS" not in environment:  # the database is a file, and has it already
        return
    from kmpl import tracking

    replace(addresses_of_environment(), tracking=environment[TRACKING]).use()
    tracking.open_store(mlruns)


def _environment(mlruns: Path, ports: Mapping[str, int]) -> dict[str, str]:
    api = _address(ports["prefect"]) + "/api"
    settings = {
        "COLUMNS": "200",  # messages in one line each
        "DO_NOT_TRACK": "true",
        "KMPL_MLFLOW_PAGES": _address(ports["mlflow"]),
        "KMPL_MLRUNS": str(mlruns),
        "KMPL_OPTUNA_PAGES": _address(ports["optuna"]),
        "KMPL_READY": str(mlruns / "logs" / "up.ready"),
        "KMPL_ROOT": str(ROOT),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes less
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PREFECT_API_URL": api,
        "PREFECT_LOGGING_LEVEL": os.environ.get("PREFECT_LOGGING_LEVEL", "INFO"),  # Prefect's page shows runs' logs
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_UI_API_URL": api,
        "PYTHONUNBUFFERED": "1",
    }
    settings |= {f"KMPL_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    return os.environ | prefect_settings(mlruns) | settings


def _address(port: int) -> str:
    return f"http://{HOST}:{port}"


def _wait_for_pages(ports: Mapping[str, int], stopping: threading.Event, begin: float) -> dict[str, float]:
    """Return the seconds since ``begin`` after which each page answered.

    Raises:
        UserError: one did not answer in time.
    """
    seconds: dict[str, float] = {}
    while len(seconds) < len(ports) and not stopping.wait(0.1):
        for name in ports.keys() - seconds.keys():
            if answers(_address(ports[name])):
                seconds[name] = time.monotonic() - begin
            elif time.monotonic() - begin > PATIENCE_SECONDS:
                raise UserError(
                    f"{name} did not answer at {_address(ports[name])} within {PATIENCE_SECONDS:.0f} seconds"
                )
    return seconds


def _print_pages(console: Console, pages: Mapping[str, str], seconds: Mapping[str, float]) -> None:
    """Print a line for each page; a table would break long addresses."""
    for name, address in pages.items():
        console.print(f"  {NAMES[name]:<16}  {address}  (after {seconds[name]:.0f} s)", soft_wrap=True)


def _print_next_steps(console: Console, port: int, log: Path) -> None:
    console.print(
        f"Next, in a second terminal, a sweep of a few minutes:\n\n  [bold]{_next_command(port, QUICK)}[/bold]\n"
    )
    console.print(f"The whole one takes less than half an hour: {WHOLE} instead of {QUICK}.")
    console.print(f"The servers' output: {log}. Ctrl-C stops everything.")


def _next_command(port: int, deployment: str) -> str:
    """Return a command that works in any folder, whether the environment is active there or not.

    A proxy without exceptions is set in the second terminal too.
    """
    api = f"PREFECT_API_URL={_address(port)}/api"
    prefect = str(Path(sys.executable).with_name("prefect"))
    no_proxy = [f"no_proxy={HOST}"] if proxies.added else []
    return shlex.join([*no_proxy, api, prefect, "deployment", "run", deployment])
