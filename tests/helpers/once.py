"""What is made once for all processes of a test run, whichever needs it first."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a temporary folder that all processes of this test run have in common."""
    own = factory.getbasetemp()
    return own.parent if own.name.startswith("popen-") else own  # pytest-xdist gives each process one of its own


def once(folder: Path, name: str, make: Callable[[], Any]) -> Any:
    """Return what ``make`` gives, plain values for JSON; another process that asks meanwhile waits for it."""
    path = folder / f"{name}.json"
    with FileLock(folder / f"{name}.lock"):
        if not path.exists():
            path.write_text(json.dumps(make()), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))
