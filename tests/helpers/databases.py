"""MLflow's empty database, made once for all tests: its sixty migrations take two seconds, or ten on a busy disk."""

import os
import shutil
from pathlib import Path

from filelock import FileLock

from kmpl.tracking import schema

make_database = schema.make_database


def copy_database(database: Path) -> None:
    """Put a copy of the database, as ``make_database`` leaves it, where there is none."""
    kept = Path(os.environ["KMPL_CACHE"]) / "empty mlflow.db"
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            draft = kept.with_suffix(".draft")
            make_database(draft)
            draft.rename(kept)
    database.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(kept, database)
