"""The flow in this process: with the Prefect server that ``PREFECT_API_URL`` names, or else with one of its own."""

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
from kmpl.jobs.workspace import Workspace
from kmpl.reports.comparison import SweepReport
from kmpl.runtime import proxies
from kmpl.runtime.servers import HOST, answers, free_port, prefect_settings, wait_for

_START_SECONDS = 120.0  # at most; a first start makes the database
_LOOK_SECONDS = 5.0  # between two looks at the server
_SILENCE_SECONDS = 30.0  # until the server counts as gone
# The server gets the end of a pipe as its input: when this process dies, however it dies, the pipe closes, and the
# shell that waits for that stops the server.
_GUARD = '"$@" </dev/null & server=$!; cat; kill $server'


@contextmanager
def server(mlruns: Path) -> Iterator[None]:
    """Have a Prefect server that answers, and its address in the environment.

    Raises:
        UserError: the server that ``PREFECT_API_URL`` names does not answer, or none could be started.
    """
    named = os.environ.get("PREFECT_API_URL")
    os.environ.update(proxies.without_socks(os.environ))
    if named:
        if not answers(f"{named.rstrip('/')}/health", timeout=10):
            raise UserError(
                f"Prefect's server at {named} does not answer; start it (kmpl up), unset PREFECT_API_URL to do without "
                "it, or give --engine direct"
            )
        yield
        return
    port = free_port()
    own = prefect_settings(mlruns) | {"PREFECT_API_URL": f"http://{HOST}:{port}/api"}
    os.environ.update(own)
    start = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port), "--no-ui"]
    (mlruns / "logs").mkdir(parents=True, exist_ok=True)
    with (mlruns / "logs" / "prefect-server.log").open("w") as log:
        guarded = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", *start], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        )
        try:
            if not wait_for(f"{own['PREFECT_API_URL']}/health", _START_SECONDS):
                raise UserError(f"Prefect's server did not start, see {log.name}; or give --engine direct")
            yield
        finally:
            assert guarded.stdin is not None
            guarded.stdin.close()
            guarded.wait()
            del os.environ["PREFECT_API_URL"]


def run_here(settings: SweepConfig, place: Workspace) -> SweepReport:
    """Run the flow in this process and return its report.

    Raises:
        UserError: what ``kmpl.jobs.sweep.run`` says, or Prefect's server does not answer at the start.
    """
    os.environ.setdefault("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL")
    logging.raiseExceptions = False  # a log that does not reach the server is no reason to write into the display
    with server(place.mlruns), _watched(os.environ["PREFECT_API_URL"]):
        # Only now: prefect reads the environment when it is imported.
        from flows.semi_supervised import semi_supervised
        from flows.workspace import handed

        # Its pages get all it logs; the terminal has kmpl's own display, and one line for what goes wrong.
        logging.getLogger("prefect").propagate = False
        with handed(place):
            return semi_supervised(**{name: getattr(settings, name) for name in type(settings).model_fields})


@contextmanager
def _watched(api: str) -> Iterator[None]:
    """End this process when Prefect's server is gone: Prefect itself would go on trying for many minutes.

    Nothing is lost by that: finished steps are in the store, and the same command goes on from them.
    """
    over = threading.Event()

    def watch() -> None:
        silent = 0.0
        while not over.wait(_LOOK_SECONDS):
            silent = 0.0 if answers(f"{api}/health", timeout=_LOOK_SECONDS) else silent + _LOOK_SECONDS
            if silent >= _SILENCE_SECONDS:
                _thread.interrupt_main()  # closes the runs in MLflow
                over.wait(_LOOK_SECONDS)
                print(
                    f"kmpl: Prefect's server at {api} is gone; start it again and give the same command: all is kept",
                    file=sys.stderr,
                )
                sys.stderr.flush()
                os._exit(2)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        if not answers(f"{api}/health", timeout=_LOOK_SECONDS):
            over.wait()  # the line above is the reason, not Ctrl-C
        raise
    finally:
        over.set()
