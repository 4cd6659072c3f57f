"""The work pool and the deployments that ``kmpl up`` makes at Prefect's server."""

import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import httpx

from kmpl.errors import UserError

POOL = "kmpl"
RUNS_AT_ONCE = 1  # a sweep takes all cores of the machine


def make_pool(api: str) -> None:
    """Make the work pool if there is none, and close the runs that the last stop left open.

    Args:
        api: address of Prefect's server.

    Raises:
        UserError: Prefect refused.
    """
    pool = {"name": POOL, "type": "process", "concurrency_limit": RUNS_AT_ONCE}
    opened = {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}}
    message = "The machine or `kmpl up` was stopped while this ran; run it again."
    crashed = {"state": {"type": "CRASHED", "message": message}, "force": True}
    try:
        with httpx.Client(base_url=api, trust_env=False, timeout=60) as client:  # never through a proxy
            answer = client.post("/work_pools/", json=pool)
            if answer.status_code != httpx.codes.CONFLICT:  # it is there already, perhaps with another limit
                answer.raise_for_status()
            # No worker has started yet, so these have no process; they would hold their places in the pool for ever.
            runs = client.post(
                "/flow_runs/filter", json={"work_pools": {"name": {"any_": [POOL]}}, "flow_runs": opened}
            )
            for run in runs.raise_for_status().json():
                client.post(f"/flow_runs/{run['id']}/set_state", json=crashed).raise_for_status()
    except httpx.HTTPError as error:
        raise UserError(f"Prefect refused to make the work pool {POOL}: {error}") from error


def deploy(root: Path, environment: Mapping[str, str], log: Path, stopping: threading.Event) -> None:
    """Make the deployments of prefect.yaml.

    Args:
        root: folder of the project.
        environment: of the processes.
        log: file of what Prefect says.
        stopping: set as soon as all is to stop.

    Raises:
        UserError: Prefect refused one.
    """
    if stopping.is_set():
        return
    command = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "prefect.yaml"]
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            [str(Path(sys.executable).with_name(command[0])), *command[1:]],
            cwd=root,
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is ours to handle
        ) as process,
    ):
        while process.poll() is None:
            if stopping.wait(0.1):
                process.kill()
                return
    if process.returncode:
        raise UserError(f"`{shlex.join(command)}` failed; its output: {log}")
