"""A cluster on this machine: PostgreSQL, an S3 server, MLflow, Prefect, Dask, and workers in folders of their own.

``make cluster`` starts it and prints what to export; tests start it to kill parts of it.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from object_store import Bucket
from postgres import PostgresServer

from kmpl.runtime.servers import free_port, wait_for

BIN = Path(sys.prefix) / "bin"
HOST = "127.0.0.1"
LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
QUIET = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "COLUMNS": "200"}
SERVER_SECONDS = 180
MOST_WORKERS = 8
"""How many workers may be started in the life of a cluster; each has a folder that no other machine sees."""


class ObjectStore:
    """An S3 server, which may be gone for a while; what it keeps is in this process."""

    def __init__(self) -> None:
        self.port = free_port()
        self.bucket = Bucket("kmpl", f"http://{HOST}:{self.port}")

    def start(self) -> None:
        """Start it, with its bucket."""
        from moto.server import ThreadedMotoServer

        self.server = ThreadedMotoServer(HOST, self.port, verbose=False)
        self.server.start()
        self.bucket.make()

    def stop(self) -> None:
        """Stop it; what it keeps comes back with its next start."""
        self.server.stop()


class LoopbackCluster:
    """Servers and workers on this machine. Nothing is shared but addresses; workers do not see the client's folder."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        """Choose ports; nothing is started yet.

        Args:
            folder: of all servers and workers, each in a folder of its own below it.
            environment: of all processes, without addresses.
        """
        self.folder = folder
        self.client = folder / "client"
        self.machines = [self.client, *(folder / f"worker-{number}" for number in range(MOST_WORKERS))]
        for machine in self.machines:
            machine.mkdir(parents=True)
        self.postgres = PostgresServer()
        self.store = ObjectStore()
        self.plain = environment | LEAN | QUIET
        ports = [free_port() for _ in range(3)]
        self.tracking, self.engine = f"http://{HOST}:{ports[0]}", f"http://{HOST}:{ports[1]}/api"
        self.scheduler = f"tcp://{HOST}:{ports[2]}"
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def keys(self) -> dict[str, str]:
        """The environment with credentials and no address."""
        return self.plain | self.store.bucket.environment

    @property
    def addresses(self) -> dict[str, str]:
        """What who starts sweeps exports."""
        return {
            "MLFLOW_TRACKING_URI": self.tracking,
            "OPTUNA_STORAGE": self._database("optuna"),
            "KMPL_STORE": self.store.bucket.address,
            "KMPL_DASK": self.scheduler,
            "PREFECT_API_URL": self.engine,
        }

    def start(self) -> None:
        """Start all servers; return when they answer.

        Raises:
            RuntimeError: one does not.
        """
        self.postgres.start()
        for name in ("mlflow", "optuna", "prefect"):
            self.postgres.make(name)
        self.store.start()
        for name in ("mlflow", "prefect", "scheduler"):
            self.start_server(name)
        for url in (f"{self.tracking}/health", f"{self.engine}/health"):
            if not wait_for(url, SERVER_SECONDS):
                raise RuntimeError(f"{url} does not answer; see the logs in {self.folder}")

    def start_server(self, name: str) -> None:
        """Start one of the servers, perhaps again."""
        port = {"mlflow": self.tracking, "prefect": self.engine.removesuffix("/api"), "scheduler": self.scheduler}[
            name
        ].rpartition(":")[2]
        command, more = {
            "mlflow": (
                [
                    *("mlflow", "server", "--host", HOST, "--port", port, "--workers", "1"),
                    *("--backend-store-uri", self._database("mlflow")),
                    *("--artifacts-destination", f"s3://{self.store.bucket.name}/mlflow"),
                ],
                {"MLFLOW_S3_ENDPOINT_URL": self.store.bucket.endpoint},
            ),
            "prefect": (
                ["prefect", "server", "start", "--host", HOST, "--port", port, "--no-ui"],
                {
                    "PREFECT_HOME": str(self.folder / "prefect"),
                    "PREFECT_SERVER_DATABASE_CONNECTION_URL": self._database("prefect", "+asyncpg"),
                },
            ),
            "scheduler": (["dask", "scheduler", "--host", HOST, "--port", port, "--no-dashboard"], {}),
        }[name]
        self.servers[name] = self._start(name, command, self.keys | more)

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker with an empty disk; who starts sweeps and the other workers are other machines to it."""
        name = f"worker-{len(self.workers)}"
        home = self.folder / name
        own = {"KMPL_SCRATCH": str(home / "scratch"), "KMPL_CACHE": str(home / "cache"), "HOME": str(home)}
        serve = ["dask", "worker", self.scheduler, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        serve += ["--name", name, "--local-directory", "."]
        worker = self._start(name, serve, self.keys | own, hide=[one for one in self.machines if one != home])
        self.workers.append(worker)
        return worker

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a server or a worker with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Stop all."""
        for process in [*self.workers, *self.servers.values()]:
            self.kill(process)
        with contextlib.suppress(Exception):
            self.store.stop()
        self.postgres.close()

    def _database(self, name: str, driver: str = "") -> str:
        scheme, _, rest = self.postgres.address.rpartition("/")[0].partition("://")
        return f"{scheme}{driver}://{rest}/{name}"

    def _start(
        self, name: str, command: Sequence[str], environment: dict[str, str], hide: Sequence[Path] = ()
    ) -> subprocess.Popen[bytes]:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        program = hidden(hide, [str(BIN / command[0]), *command[1:]])
        with (home / "log").open("ab") as log:
            pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            return subprocess.Popen(program, cwd=home, env=environment, start_new_session=True, **pipes)


def hidden(folders: Sequence[Path], command: Sequence[str]) -> list[str]:
    """Return a command for whom folders are empty, where the system lets us: another machine's disk is not there."""
    if not folders:
        return [*command]
    mounts = " && ".join(f'mount -t tmpfs none "{folder}"' for folder in folders)
    hide = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
    try:
        allowed = subprocess.run([*hide, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    return [*hide, *command] if allowed else [*command]


@contextlib.contextmanager
def cluster_in(folder: Path, environment: dict[str, str]) -> Iterator[LoopbackCluster]:
    """Yield a cluster whose servers answer; it has no workers yet."""
    cluster = LoopbackCluster(folder, environment)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def main(n_workers: int = 2) -> int:
    """Start a cluster with workers, print what to export, and stop it on Ctrl-C."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KMPL_", "PREFECT_"))}
    with tempfile.TemporaryDirectory(prefix="kmpl-cluster-") as home:
        print("Starting PostgreSQL, an S3 server, MLflow, Prefect, Dask and workers: about a minute.", flush=True)
        try:
            with cluster_in(Path(home) / "cluster", environment) as cluster:
                for _ in range(n_workers):
                    cluster.start_worker()
                exports = cluster.addresses | cluster.store.bucket.environment
                print(f"All logs are in {cluster.folder}. In another terminal:\n\ncd {cluster.client}")
                print(*(f"export {name}='{value}'" for name, value in exports.items()), sep="\n")
                print("kmpl doctor\nkmpl sweep --preset quick --ratios 0.4,0.2 --name spread\n\nCtrl-C stops all.")
                sys.stdout.flush()
                while True:
                    time.sleep(3600)
        except KeyboardInterrupt:
            print("Everything is stopped, and its folder is removed.")
            return 0
        except (FileNotFoundError, RuntimeError) as error:
            print(f"make cluster: {str(error).strip().splitlines()[0]}", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
