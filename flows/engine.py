"""Run the flow in this process, with the Prefect server of ``PREFECT_API_URL`` or with a server of its own."""

import _thread
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kmpl.config.sweep import SweepConfig
from kmpl.errors import UserError
from kmpl.jobs.scheduler import check_scheduler
from kmpl.jobs.workspace import Workspace
from kmpl.reports.comparison import SweepReport
from kmpl.runtime import proxies
from kmpl.runtime.addresses import engine_address
from kmpl.runtime.servers import HOST, answers, free_port, prefect_settings, wait_for

_START_TIMEOUT_SECONDS = 120.0  # the first start creates the database
_HEALTH_CHECK_SECONDS = 5.0  # from one health check to the next
_SERVER_LOST_SECONDS = 30.0  # without an answer, until the server counts as gone
# The server's shell reads from a pipe. However this process ends, the pipe closes, and the shell stops the server.
_GUARD = '"$@" </dev/null & server=$!; cat; kill $server'


@contextmanager
def server(mlruns: Path) -> Iterator[None]:
    """Provide a Prefect server during the block, with its address in the environment.

    Raises:
        UserError: the server of ``PREFECT_API_URL`` does not answer, or a server of its own does not start.
    """
    external_url = engine_address()
    os.environ.update(proxies.without_socks(os.environ))
    if external_url:
        if not answers(f"{external_url.rstrip('/')}/health", timeout=10):
            raise UserError(
                f"Prefect's server at {external_url} does not answer; start it (kmpl up), unset PREFECT_API_URL to do "
                "without it, or give --engine direct"
            )
        yield
        return
    port = free_port()
    api_url = f"http://{HOST}:{port}/api"
    os.environ.update(prefect_settings(mlruns) | {"PREFECT_API_URL": api_url})
    start = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port), "--no-ui"]
    (mlruns / "logs").mkdir(parents=True, exist_ok=True)
    with (mlruns / "logs" / "prefect-server.log").open("w") as log:
        guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", *start], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        )
        try:
            if not wait_for(f"{api_url}/health", _START_TIMEOUT_SECONDS):
                raise UserError(f"Prefect's server did not start, see {log.name}; or give --engine direct")
            yield
        finally:
            assert guard.stdin is not None
            guard.stdin.close()
            guard.wait()
            del os.environ["PREFECT_API_URL"]


def run_here(settings: SweepConfig, workspace: Workspace) -> SweepReport:
    """Run the flow in this process and return the sweep's report.

    Raises:
        UserError: an error of ``kmpl.jobs.sweep.run``, or Prefect's server does not answer at the start.
    """
    os.environ.setdefault("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL")
    logging.raiseExceptions = False  # a log record that does not reach the server must not disturb the display
    check_scheduler(workspace.addresses.scheduler)  # before a server is started
    with server(workspace.mlruns), _exit_without_server(os.environ["PREFECT_API_URL"]):
        # Imported here, because prefect reads the environment when it is imported.
        from flows.semi_supervised import semi_supervised
        from flows.workspace import use_workspace

        # Prefect's pages get all log records; the terminal gets kmpl's display, and one line for an error.
        logging.getLogger("prefect").propagate = False
        with use_workspace(workspace):
            return semi_supervised(**{name: getattr(settings, name) for name in type(settings).model_fields})


@contextmanager
def _exit_without_server(api_url: str) -> Iterator[None]:
    """End this process when Prefect's server is gone; Prefect itself would retry for many minutes.

    Nothing is lost: finished steps are in the store, and the same command resumes from them.
    """
    ended = threading.Event()

    def watch() -> None:
        silent_seconds = 0.0
        while not ended.wait(_HEALTH_CHECK_SECONDS):
            healthy = answers(f"{api_url}/health", timeout=_HEALTH_CHECK_SECONDS)
            silent_seconds = 0.0 if healthy else silent_seconds + _HEALTH_CHECK_SECONDS
            if silent_seconds >= _SERVER_LOST_SECONDS:
                _thread.interrupt_main()  # closes the runs in MLflow
                ended.wait(_HEALTH_CHECK_SECONDS)
                print(
                    f"kmpl: Prefect's server at {api_url} is gone; start it again and run the same command again: all "
                    "finished steps are kept",
                    file=sys.stderr,
                )
                sys.stderr.flush()
                os._exit(2)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        if not answers(f"{api_url}/health", timeout=_HEALTH_CHECK_SECONDS):
            ended.wait()  # the server is the reason, not Ctrl-C: the thread prints its line and ends the process
        raise
    finally:
        ended.set()
