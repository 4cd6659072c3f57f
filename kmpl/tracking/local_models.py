"""What a database of runs on this machine says of its models, read without MLflow, which takes seconds to import.

Whoever gets None asks MLflow: the runs are on a server, their folder was moved, or a model is not as kmpl logs it.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kmpl.errors import UserError
from kmpl.runtime.addresses import addresses_of_environment
from kmpl.tracking.relocation import home_of, is_same_folder, path_of

EXPERIMENT = "kmpl"
"""MLflow's experiment that all runs belong to."""
STATE = "network.safetensors"
"""A network's weights among the artifacts of its run, in a file that describes itself."""
_PATIENCE = 5.0  # seconds to wait for who writes

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """On what a registered model was chosen."""

    images: int
    """Validation images."""
    accuracy: float
    """On them, fraction."""


def check_there(mlruns: Path) -> None:
    """Refuse a folder without runs.

    Raises:
        UserError: there are none, and no tracking server is named.
    """
    if not addresses_of_environment().tracking and not (mlruns / "mlflow.db").is_file():
        raise UserError(
            f"there are no runs in {mlruns}; `kmpl sweep` makes some, `kmpl label` too, or name their folder with "
            "--mlruns"
        )


def find_weights(mlruns: Path, address: str) -> Path | None:
    """Return the weights of a model by its address: models:/NAME@ALIAS, models:/NAME/VERSION, runs:/ID/model, ID."""
    return _ask(mlruns, lambda database: _weights(database, address))


def lacks(mlruns: Path, address: str) -> bool:
    """Say whether it is plain at once that there is no registered model at an address."""
    return _ask(mlruns, lambda database: _version(database, address) is None) or False


def last_labelling(mlruns: Path) -> str | None:
    """Return the run of the last folder that was labelled and left a model; None where there is none, too."""
    ask = (
        "SELECT run_uuid FROM runs JOIN tags USING (run_uuid) WHERE tags.key = 'kind' AND tags.value = 'labelling' "
        "AND status = 'FINISHED' AND lifecycle_stage = 'active' "
        "AND run_uuid IN (SELECT source_id FROM inputs WHERE source_type = 'RUN_OUTPUT') ORDER BY end_time DESC"
    )
    found = _ask(mlruns, lambda database: database.execute(ask).fetchone())
    return str(found[0]) if found else None


def judged(mlruns: Path, address: str) -> Judged | None:
    """Return on what the registered model at an address was chosen; None where nobody chose it, too."""
    ask = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"

    def tags(database: sqlite3.Connection) -> dict[str, str]:
        version = _version(database, address)
        return dict(database.execute(ask, version[:2]).fetchall()) if version else {}

    return judged_by(_ask(mlruns, tags) or {})


def judged_by(tags: Mapping[str, str]) -> Judged | None:
    """Return what the tags of a registered model say of its choice; None where they say nothing."""
    try:
        return Judged(images=int(tags["validation_images"]), accuracy=float(tags["validation_accuracy"]))
    except (KeyError, ValueError):
        return None


def _ask(mlruns: Path, question: Callable[[sqlite3.Connection], T]) -> T | None:
    """Return the answer of a database that is there, readable, of a known form, and where it says that it is."""
    path = (mlruns / "mlflow.db").resolve()
    if addresses_of_environment().tracking or not path.is_file():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", _PATIENCE, uri=True)) as database:
            home = home_of(database, EXPERIMENT)
            ask = "SELECT lifecycle_stage FROM experiments WHERE name = ?"
            there = home is not None and is_same_folder(home, path.parent)
            return question(database) if there and ("active",) in database.execute(ask, (EXPERIMENT,)) else None
    except sqlite3.Error:
        return None


def _weights(database: sqlite3.Connection, address: str) -> Path | None:
    source = ""
    run = address.removeprefix("runs:/").removesuffix("/model")
    if address.startswith("models:/"):
        version = _version(database, address)
        if version is None:
            return None
        _, _, source, run = version
    ask = "SELECT model_id FROM logged_models WHERE source_run_id = ? AND lifecycle_stage = 'active'"
    logged = [f"models:/{model}" for (model,) in database.execute(ask, (run,))]
    if len(logged) != 1 or source not in ("", *logged):  # the weights may be another model's
        return None
    location = database.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run,)).fetchone()
    folder = path_of(location[0] or "") if location else None
    return folder / STATE if folder and (folder / STATE).is_file() else None


def _version(database: sqlite3.Connection, address: str) -> tuple[str, int, str, str] | None:
    """Return name, version, source and run of a registered model; None where there is none."""
    name, _, alias = address.removeprefix("models:/").partition("@")
    what = "SELECT name, version, source, run_id FROM model_versions"
    if alias:
        ask = f"{what} JOIN registered_model_aliases USING (name, version) WHERE name = ? AND alias = ?"
        found = database.execute(ask, (name, alias)).fetchone()
    else:
        name, _, number = name.partition("/")
        found = database.execute(f"{what} WHERE name = ? AND version = ?", (name, number)).fetchone()
    return found if found is None else (str(found[0]), int(found[1]), str(found[2]), str(found[3]))
