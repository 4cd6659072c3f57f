"""``kmpl ui``: MLflow's pages on the runs so far."""

import os
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
    from kmpl import tracking

    tracking.open_store(mlruns)
    print(f"MLflow: http://{HOST}:{port}  (Ctrl-C stops it)", flush=True)
    server = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    lean = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # The server takes this process's place, so that whoever stops kmpl stops it too.
    os.execve(sys.executable, [*server, "--backend-store-uri", tracking.tracking_uri(mlruns)], lean)
