"""``kmpl up`` with a PostgreSQL server, an object store and a Dask scheduler that are there already."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from kmpl.errors import SettingError, StoreError, UserError
from kmpl.runtime.addresses import SCHEDULER, STORE, STUDIES, TRACKING, is_postgresql, shown
from kmpl.runtime.database_locks import open_locks
from kmpl.runtime.lock_connection import reason

NAMES = ("mlflow", "optuna", "prefect")
"""What has a database of its own: each of the three keeps the version of its tables in a table of the same name."""
_PREFIX = "kmpl"  # of their names, where the address names none


@dataclass(frozen=True, kw_only=True, slots=True)
class Elsewhere:
    """Addresses of what is there already; empty: it is embedded."""

    postgres: str = ""
    """A PostgreSQL server. What it keeps is in the databases ``NAME_mlflow``, ``NAME_optuna`` and ``NAME_prefect``."""
    store: str = ""
    """A store of finished steps; MLflow's files go beside them."""
    dask: str = ""
    """A Dask scheduler, whose workers compute."""

    def check(self) -> None:
        """Refuse, before anything starts, what is no such address, and a scheduler that does not answer.

        Raises:
            UserError: in one line.
        """
        if self.postgres and not is_postgresql(self.postgres):
            allowed = "postgresql://USER@HOST or postgresql://USER@HOST/NAME"
            raise SettingError("--postgres", shown(self.postgres), "that is no PostgreSQL server", allowed)
        if self.store:
            from kmpl.store.objects import check_address

            check_address(self.store)
        if self.dask:
            from kmpl.jobs.scheduler import check_scheduler

            check_scheduler(self.dask)

    def databases(self) -> dict[str, str]:
        """Return the address of each server's database.

        >>> Elsewhere(postgres="postgresql://me@host/team").databases()["mlflow"]
        'postgresql://me@host/team_mlflow'
        """
        parts = urlsplit(re.sub(r"^\w+(\+\w+)?://", "postgresql://", self.postgres))
        prefix = parts.path.strip("/") or _PREFIX
        return {name: urlunsplit(parts._replace(path=f"/{prefix}_{name}")) for name in NAMES}

    def make_databases(self) -> None:
        """Make the databases that are missing.

        Raises:
            StoreError: the server does not answer, or lets this user make none.
        """
        try:
            import psycopg
            from psycopg.sql import SQL, Identifier
        except ImportError as error:
            raise StoreError(
                f"--postgres {shown(self.postgres)}: its driver is not installed; install kmpl[cluster]",
                shown(self.postgres),
            ) from error
        names = [urlsplit(address).path.strip("/") for address in self.databases().values()]
        there = urlunsplit(urlsplit(self.databases()["mlflow"])._replace(path="/postgres"))
        try:
            with psycopg.connect(there, autocommit=True, connect_timeout=10) as connection:
                found = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
                for name in names:
                    if name not in found:
                        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        except psycopg.Error as error:
            raise StoreError(
                f"--postgres {shown(self.postgres)}: {reason(error)}; start it, or have the databases "
                f"{', '.join(names)} made there",
                shown(self.postgres),
            ) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Refuse a second ``kmpl up`` on the same databases: it would take the first one's runs for dead.

        Raises:
            UserError: there is one, on whatever machine.
        """
        if not self.postgres:
            yield
            return
        with open_locks(self.databases()["prefect"], Path()).try_hold("up") as is_first:
            if not is_first:
                raise UserError(
                    f"kmpl up runs already with the databases at {shown(self.postgres)}; other machines need workers "
                    "alone: prefect worker start --pool kmpl"
                )
            yield

    def environment(self, mlruns: Path, pages: Mapping[str, str]) -> dict[str, str]:
        """Return the variables by which servers, workers and sweeps find what is elsewhere.

        Args:
            mlruns: folder of what is embedded.
            pages: address of each server's pages.
        """
        found = {name: value for name, value in ((STORE, self.store), (SCHEDULER, self.dask)) if value}
        if not self.postgres:
            return found
        at = self.databases()
        files = f"{self.store}/mlflow" if self.store.startswith(("s3:", "gs:")) else str(mlruns / "artifacts")
        return found | {
            "KMPL_RUNS": at["mlflow"],
            "KMPL_STUDIES": at["optuna"],
            "KMPL_ARTIFACTS": files,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": at["prefect"].replace("postgresql:", "postgresql+asyncpg:", 1),
            TRACKING: pages["mlflow"],
            STUDIES: at["optuna"],
        }
