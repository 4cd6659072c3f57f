"""What ``kmpl doctor`` finds: each address that jobs use, whether it answers, how its clock goes, and free space."""

import contextlib
import email.utils
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from kmpl.errors import StoreError, UserError
from kmpl.jobs.workspace import Workspace
from kmpl.runtime import proxies
from kmpl.runtime.addresses import LOCKS, is_elsewhere, is_postgresql, shown
from kmpl.store.objects import MissingBucketError, Objects, check_address, reason

PATIENCE_SECONDS = 5.0
"""Time within which an address must answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One address or folder, as it may be printed."""

    what: str
    """``runs``, ``studies``, ``locks``, ``steps``, ``flows``, ``workers``, ``folder`` or ``scratch``."""
    address: str
    said: str
    """What it answered, or why it did not."""
    answers: bool = True

    def line(self) -> str:
        """Return one line for what does not answer."""
        return f"{self.what} at {self.address}: {self.said}"


def examine(workspace: Workspace, engine: str) -> list[Finding]:
    """Return what is found at the addresses of runs, studies, steps and flows, and in this machine's folders.

    Args:
        workspace: whose addresses are asked.
        engine: address of Prefect's server; empty: none.
    """
    os.environ.update(proxies.without_socks(os.environ))  # httpx would crash
    at = workspace.addresses
    studies = workspace.studies or at.studies
    found = [
        _runs(at.tracking, workspace.mlruns),
        _studies(studies, workspace.mlruns),
        _locks(workspace),
        _steps(at.store, workspace.mlruns),
        _flows(engine),
    ]
    return [*found, _folder("folder", workspace.mlruns), _folder("scratch", workspace.scratch)]


def _runs(address: str, mlruns: Path) -> Finding:
    if not address:
        return Finding(what="runs", address=str(mlruns / "mlflow.db"), said="embedded: MLflow's database in a file")
    if not address.startswith("http"):
        return _database("runs", address)
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    return _page("runs", address, "/version", "MLflow", (user, password) if user and password else None)


def _studies(address: str, mlruns: Path) -> Finding:
    if not address:
        return Finding(what="studies", address=str(mlruns / "optuna.journal"), said="embedded: Optuna's journal file")
    if "://" in address:
        return _database("studies", address)
    return replace(_folder("studies", Path(address).parent), address=address)


def _flows(address: str) -> Finding:
    if not address:
        return Finding(what="flows", address="this machine", said="embedded: a Prefect server for each sweep")
    return _page("flows", address, "/admin/version", "Prefect", None)


def _steps(address: str, mlruns: Path) -> Finding:
    if not address:
        return Finding(what="steps", address=str(mlruns / "cache"), said="embedded: files in the folder of runs")
    try:
        check_address(address)
        if address.startswith("file:"):
            return _shared_disk(Path(address.removeprefix("file://")))
        with _probe(Objects(address, retries=1)) as ahead:
            said = f"objects can be written, read and removed; {_clock(ahead)}"
            return Finding(what="steps", address=shown(address), said=said)
    except UserError as error:
        said = f"does not answer ({reason(error.__cause__)})" if isinstance(error, StoreError) else str(error)
        if isinstance(error, MissingBucketError):
            said = "the server answers, and has no such bucket; make it, or name another"
        return Finding(what="steps", address=shown(address), said=said, answers=False)


@contextlib.contextmanager
def _probe(objects: Objects) -> Iterator[float]:
    """Write an object, read it and, after the block, remove it; yield the seconds that the store's clock is ahead."""
    name, content = f"probes/{uuid.uuid4().hex}", b"kmpl doctor"
    begin = time.time()
    objects.put(name, content)
    now = (begin + time.time()) / 2
    try:
        if objects.read(name) != content:
            raise UserError("an object that was written is not read as it was")
        yield objects.clock_ahead(name, now) or 0.0
    finally:
        objects.remove(name)


def _page(what: str, address: str, path: str, server: str, auth: tuple[str, str] | None) -> Finding:
    begin = time.time()
    try:
        answer = httpx.get(address.rstrip("/") + path, timeout=PATIENCE_SECONDS, auth=auth, follow_redirects=True)
        now = (begin + time.time()) / 2
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Finding(what=what, address=shown(address), said=f"does not answer ({reason(error)})", answers=False)
    version = answer.text.strip().strip('"')
    date = answer.headers.get("date")
    clock = _clock(email.utils.parsedate_to_datetime(date).timestamp() - now) if date else "no clock"
    known = version if len(version) < 20 else "of an unknown version"
    return Finding(what=what, address=shown(address), said=f"{server} {known}, {clock}")


def _database(what: str, address: str) -> Finding:
    from sqlalchemy import NullPool, create_engine, func, make_url, select
    from sqlalchemy.exc import SQLAlchemyError

    try:
        url = make_url(address)
        if url.drivername.startswith("sqlite"):
            return replace(_folder(what, Path(url.database or ".").parent), address=address)
        wait = {"connect_timeout": int(PATIENCE_SECONDS)} if url.drivername.startswith(("postgresql", "mysql")) else {}
        engine = create_engine(url, poolclass=NullPool, connect_args=wait)
        with engine.connect() as connection:
            begin = time.time()
            there = connection.execute(select(func.current_timestamp())).scalar_one()
            ahead = there.timestamp() - (begin + time.time()) / 2
            version = ".".join(map(str, engine.dialect.server_version_info or ()))
        return Finding(what=what, address=shown(address), said=f"{engine.dialect.name} {version}, {_clock(ahead)}")
    except ImportError as error:
        said = f"its driver is not installed ({error.name}); install kmpl[postgres] for postgresql://…"
    except (SQLAlchemyError, OSError, ValueError) as error:
        said = f"does not answer ({reason(error)})"
    return Finding(what=what, address=shown(address), said=said, answers=False)


def _shared_disk(folder: Path) -> Finding:
    """Say whether a disk that machines share is there: where it is not mounted, each would make its own."""
    if not folder.is_dir():
        said = "there is no such folder; mount the disk that holds it, or make it"
        return Finding(what="steps", address=str(folder), said=said, answers=False)
    return _folder("steps", folder)


def _locks(workspace: Workspace) -> Finding:
    """Say by what processes agree on runs and trials; the databases of the others are not asked again."""
    at = workspace.addresses
    database = at.locks_for(at.tracking, workspace.studies or at.studies)
    if database and not is_postgresql(database):
        said = "only PostgreSQL's locks end with who held them; give postgresql://HOST/DATABASE"
        return Finding(what="locks", address=shown(database), said=said, answers=False)
    if database == at.locks != "":
        return _database("locks", database)
    if database:
        return Finding(what="locks", address=shown(database), said="in that database: machines agree by it")
    alone = f"; machines that share runs do not see them, give {LOCKS}=postgresql://…" if at.tracking else ""
    said = f"embedded: files, for the processes of this machine{alone if is_elsewhere(at.tracking) else ''}"
    return Finding(what="locks", address=str(workspace.mlruns / "locks"), said=said)


def _folder(what: str, folder: Path) -> Finding:
    """Say how much room there is; what does not exist yet is asked of the nearest folder above. Nothing is left."""
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        free = shutil.disk_usage(there).free
    except OSError as error:
        said = f"cannot be written ({error.strerror or error})"
        return Finding(what=what, address=str(folder), said=said, answers=False)
    return Finding(what=what, address=str(folder), said=f"{free / 1e9:,.1f} GB free")


def _clock(ahead_seconds: float) -> str:
    return f"clock {ahead_seconds:+.1f} s"
