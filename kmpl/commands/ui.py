"""``kmpl ui``: MLflow's pages on the runs so far."""

import os
import subprocess
import sys

from kmpl.commands.flags import MLRUNS, Folder
from kmpl.runtime.servers import HOST, check_port


def ui(*, mlruns: Folder = MLRUNS, port: int = 5000) -> None:
    """Start MLflow's pages on the runs so far, for this machine only. Ctrl-C stops them.

    Args:
        mlruns: Folder of the tracked runs.
        port: Port on 127.0.0.1.
    """
    check_port(port, "MLflow", "--port")
    print("Starting MLflow: some seconds.", flush=True)
    from kmpl import tracking

    address = f"http://{HOST}:{port}"
    line = f"MLflow: {tracking.runs_url(tracking.open_store(mlruns), address)}  (Ctrl-C stops it)"
    announcement = [sys.executable, "-m", "kmpl.runtime.announce", address, line]
    # In a session of its own: Ctrl-C is for the server, and who announces it ends with it.
    subprocess.Popen([*announcement, str(os.getpid())], start_new_session=True)
    server = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    server += ["--uvicorn-opts", "--log-level warning"]  # else its own lines, one a request, hide the address
    # Warnings of MLflow's own libraries would stand before the address.
    lean = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    # The server takes this process's place, so that whoever stops kmpl stops it too.
    os.execve(sys.executable, [*server, "--backend-store-uri", tracking.tracking_uri(mlruns)], lean)
