"""Addresses of what a job works with: who keeps runs, studies and finished steps, and who computes.

The only place that reads them from the environment.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kmpl.errors import SettingError
from kmpl.runtime.files import cache_folder
from kmpl.runtime.servers import masked

TRACKING = "MLFLOW_TRACKING_URI"
STUDIES = "OPTUNA_STORAGE"
STORE = "KMPL_STORE"
LOCKS = "KMPL_LOCKS"
SCHEDULER = "KMPL_DASK"
SCRATCH = "KMPL_SCRATCH"
SCRATCH_GB = "KMPL_SCRATCH_GB"
RUNS_FOLDER = "KMPL_MLRUNS"
ENGINE = "PREFECT_API_URL"

_FILES = ("", "file", "sqlite")  # schemes of what is a file on some machine's disk


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """Where to find what a job works with; empty: embedded, in the folder of runs or in this process."""

    tracking: str = ""
    """MLflow's server or database: ``MLFLOW_TRACKING_URI``."""
    studies: str = ""
    """Optuna's storage: ``OPTUNA_STORAGE``."""
    store: str = ""
    """The store of finished steps: ``KMPL_STORE``."""
    scheduler: str = ""
    """Dask's scheduler: ``KMPL_DASK``."""
    locks: str = ""
    """The database by whose locks machines agree: ``KMPL_LOCKS``."""

    def locks_for(self, kept: str, *others: str) -> str:
        """Return the database by whose locks machines agree on what is kept at an address; empty: files do.

        A folder's processes agree by files in it. What a server keeps is agreed on in the database that ``KMPL_LOCKS``
        names, else in the server itself, if it is PostgreSQL, else in one of the others that is.

        >>> at = Addresses(tracking="http://host:5000", studies="postgresql://host/studies")
        >>> at.locks_for(at.tracking, at.studies), at.locks_for("", at.studies)
        ('postgresql://host/studies', '')
        >>> Addresses(locks="postgresql://host/locks").locks_for(at.studies)
        'postgresql://host/locks'
        """
        if not is_elsewhere(kept):
            return ""
        return self.locks or next((one for one in (kept, *others) if is_postgresql(one)), "")

    def use(self) -> None:
        """Put them into this process's environment: a worker works with the addresses of who gave it the work."""
        for name, value in self._variables():
            if value:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)

    def _variables(self) -> tuple[tuple[str, str], ...]:
        return (TRACKING, self.tracking), (STUDIES, self.studies), (STORE, self.store), (LOCKS, self.locks)


def addresses_of_environment() -> Addresses:
    """Return the addresses that the environment names."""
    return Addresses(
        tracking=os.environ.get(TRACKING, ""),
        studies=os.environ.get(STUDIES, ""),
        store=os.environ.get(STORE, ""),
        scheduler=os.environ.get(SCHEDULER, ""),
        locks=os.environ.get(LOCKS, ""),
    )


def engine_address() -> str:
    """Return the address of Prefect's server that the environment names; empty: none."""
    return os.environ.get(ENGINE, "")


def runs_folder() -> Path:
    """Return the folder of runs of a flow that Prefect starts: ``KMPL_MLRUNS``, else ``mlruns`` where it runs."""
    return Path(os.environ.get(RUNS_FOLDER) or "mlruns").resolve()


def scratch() -> Path:
    """Return the folder for what this machine can make or fetch again: ``KMPL_SCRATCH``, else one beside the caches."""
    return Path(os.environ.get(SCRATCH) or cache_folder() / "scratch").expanduser().resolve()


def scratch_bytes() -> int:
    """Return how many bytes the copies of a store elsewhere may take in the scratch folder: ``KMPL_SCRATCH_GB``.

    Raises:
        SettingError: that is no positive number.
    """
    text = os.environ.get(SCRATCH_GB) or "10"
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < 1e9:
        raise SettingError(SCRATCH_GB, text, "it is no number of gigabytes", "a number above 0, such as 10")
    return int(size * 1e9)


def is_elsewhere(address: str) -> bool:
    """Say whether every machine reaches an address, because a server answers there.

    >>> [is_elsewhere(a) for a in ("", "sqlite:////runs.db", "file:///share/store", "/runs/optuna.journal")]
    [False, False, False, False]
    >>> [is_elsewhere(a) for a in ("s3://bucket/kmpl", "http://host:5000", "postgresql+psycopg://host/db")]
    [True, True, True]
    """
    scheme = urlsplit(address).scheme if "://" in address else ""
    return scheme.partition("+")[0] not in _FILES


def is_postgresql(address: str) -> bool:
    """Say whether an address is of a PostgreSQL database.

    >>> [is_postgresql(a) for a in ("postgresql+psycopg://host/db", "postgres://host/db", "mysql://host/db", "")]
    [True, True, False, False]
    """
    return urlsplit(address).scheme.partition("+")[0] in ("postgresql", "postgres")


def shown(address: str) -> str:
    """Return an address as it may be printed: without passwords, and without what may be a signature.

    >>> shown("postgresql://me:secret@host/db?sslpassword=x")
    'postgresql://me:***@host/db?***'
    """
    head, question, _ = masked(address).partition("?")
    return head + (f"{question}***" if question else "")
