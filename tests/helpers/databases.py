"""MLflow's empty database, made once for all tests: its sixty migrations take a second, or ten on a busy disk."""

import os
import shutil
import uuid
from pathlib import Path

from kmpl.tracking import schema

make_database = schema.make_database


def copy_database(database: Path) -> None:
    """Put a copy of the database, as ``make_database`` leaves it, where there is none."""
    kept = Path(os.environ["KMPL_CACHE"]) / "empty mlflow.db"
    if not kept.exists():
        draft = kept.with_name(uuid.uuid4().hex)
        make_database(draft)
        draft.rename(kept)
    shutil.copyfile(kept, database)
