"""The flow in this process: with the Prefect server that ``PREFECT_API_URL`` names, or else with one of its own."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kmpl.cells import Place
from kmpl.comparison import SweepReport
from kmpl.config import SweepConfig
from kmpl.errors import UserError
from kmpl.servers import HOST, answers, free_port, prefect_settings, wait_for

_PATIENCE = 120.0  # seconds; a first start makes the database
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
            if not wait_for(f"{own['PREFECT_API_URL']}/health", _PATIENCE):
                raise UserError(f"Prefect's server did not start, see {log.name}; or give --engine direct")
            yield
        finally:
            assert guarded.stdin is not None
            guarded.stdin.close()
            guarded.wait()
            del os.environ["PREFECT_API_URL"]


def run_here(settings: SweepConfig, place: Place) -> SweepReport:
    """Run the flow in this process and return its report."""
    with server(place.mlruns):
        # Only now: prefect reads the environment when it is imported.
        from flows.place import handed
        from flows.semi_supervised import semi_supervised

        # Its pages get all it logs; the terminal has kmpl's own display, and one line for what goes wrong.
        logging.getLogger("prefect").propagate = False
        with handed(place):
            return semi_supervised(**{name: getattr(settings, name) for name in type(settings).model_fields})
