"""What ``kmpl doctor`` finds on Dask's workers: versions, clocks, room, and which addresses they do not reach."""

import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import metadata
from typing import Any

from kmpl import __version__
from kmpl.jobs.doctor import PATIENCE_SECONDS, Finding, examine
from kmpl.jobs.scheduler import knock
from kmpl.jobs.workspace import Workspace
from kmpl.runtime.addresses import is_elsewhere, scratch, shown

_LIBRARIES = ("torch", "torchvision", "scikit-learn", "numpy", "scipy", "mlflow", "optuna", "prefect", "distributed")


def versions() -> dict[str, str]:
    """Return the versions of what computes and tracks, by name."""
    found = {"kmpl": __version__, "Python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def of_this_worker(workspace: Workspace, engine: str) -> dict[str, Any]:
    """Return what a worker says of itself: it runs there."""
    elsewhere = [found for found in examine(workspace, engine) if is_elsewhere(found.address)]
    folder = scratch()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return {
        "versions": versions(),
        "scratch": str(folder),
        "free": shutil.disk_usage(there).free,
        "lost": [asdict(found) for found in elsewhere if not found.answers],
    }


def examine_workers(workspace: Workspace, engine: str, known: Sequence[Finding] = ()) -> list[Finding]:
    """Return what is found of the workspace's scheduler and of each of its workers; nothing without a scheduler.

    Args:
        workspace: whose scheduler is asked.
        engine: address of Prefect's server; empty: none.
        known: what this machine found; a fault that a worker finds too is none of its own.
    """
    address = workspace.addresses.scheduler
    if not address:
        return []
    try:
        from distributed import Client
    except ImportError:
        said = "its library is not installed; install kmpl[cluster], or unset KMPL_DASK"
        return [Finding(what="workers", address=shown(address), said=said, answers=False)]
    try:
        knock(address)
        with Client(address, timeout=PATIENCE_SECONDS, set_as_default=False) as client:
            told = client.run(of_this_worker, workspace, engine, on_error="return")
            begin = time.time()
            clocks = client.run(time.time, on_error="return")
            middle = (begin + time.time()) / 2
    except (OSError, ValueError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        said = f"the scheduler does not answer ({reason})"
        return [Finding(what="workers", address=shown(address), said=said, answers=False)]
    if not told:
        said = "the scheduler has no workers; start some: dask worker ADDRESS"
        return [Finding(what="workers", address=shown(address), said=said, answers=False)]
    workers = "a worker" if len(told) == 1 else f"{len(told)} workers"
    scheduler = Finding(what="workers", address=shown(address), said=f"Dask's scheduler with {workers}")
    lost = {(one.address, one.said) for one in known if not one.answers}
    of_workers = [one for name in sorted(told) for one in _worker(name, told[name], clocks[name], middle)]
    return [scheduler, *(one for one in of_workers if (one.address, one.said) not in lost)]


def _worker(name: str, told: Any, clock: Any, now: float) -> list[Finding]:
    plain = Finding(what="worker", address=name, said="", answers=False)
    if not isinstance(told, dict) or not isinstance(clock, float):
        error = told if not isinstance(told, dict) else clock
        return [replace(plain, said=f"kmpl does not run there ({type(error).__name__}: {error}); install it there")]
    here = versions()
    others = {one: there for one, there in told["versions"].items() if there != here.get(one)}
    lost = [replace(Finding(**one), what=f"worker {name}: {one['what']}") for one in told["lost"]]
    if others:
        differences = ", ".join(f"{one} {there} (here {here.get(one)})" for one, there in others.items())
        return [replace(plain, said=f"other versions: {differences}; install the same there"), *lost]
    said = f"the same versions, clock {clock - now:+.1f} s, {told['free'] / 1e9:,.1f} GB free in {told['scratch']}"
    return [replace(plain, said=said, answers=True), *lost]
