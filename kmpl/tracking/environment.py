"""What a run says of the machine, the code and the packages that made it."""

import os
import platform
import subprocess
from datetime import datetime
from importlib import metadata
from pathlib import Path

from kmpl import __version__


def installed_packages() -> list[str]:
    """Return ``name==version`` of every installed package, sorted."""
    return sorted({f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()}, key=str.lower)


def now() -> str:
    """Return date, time and zone, as people read them."""
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")


def environment() -> dict[str, str]:
    """Return what a number depends on besides its settings, as tags."""
    from kmpl.runtime.devices import processor  # PyTorch: who only looks runs up does not wait for it

    tags = {f"version.{name}": metadata.version(name) for name in ("torch", "torchvision", "scikit-learn", "numpy")}
    tags |= {"version.kmpl": __version__, "version.python": platform.python_version(), "machine": platform.platform()}
    tags |= {"cores": str(os.cpu_count()), "processor": processor()}
    here = Path(__file__).resolve().parent
    git = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return tags | ({"mlflow.source.git.commit": git.stdout.strip()} if git.returncode == 0 else {})
