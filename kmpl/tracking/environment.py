"""The environment of a run: machine, code and packages, as tags."""

import os
import platform
import subprocess
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from kmpl import __version__


@cache
def installed_packages() -> tuple[str, ...]:
    """Return ``name==version`` of every installed package, sorted."""
    # Reading some hundred files takes a third of a second.
    return tuple(sorted({f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()}, key=str.lower))


def now() -> str:
    """Return date, time and zone, for people."""
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")


def environment() -> dict[str, str]:
    """Return tags of everything besides the settings that a number depends on: versions, machine, commit."""
    from kmpl.runtime.devices import processor  # it imports PyTorch, which a search of runs does not need

    tags = {f"version.{name}": metadata.version(name) for name in ("torch", "torchvision", "scikit-learn", "numpy")}
    tags |= {"version.kmpl": __version__, "version.python": platform.python_version(), "machine": platform.platform()}
    tags |= {"cores": str(os.cpu_count()), "processor": processor()}
    folder = Path(__file__).resolve().parent
    git = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return tags | ({"mlflow.source.git.commit": git.stdout.strip()} if git.returncode == 0 else {})
