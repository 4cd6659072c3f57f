"""Types of flags that many commands declare; nothing heavy is imported."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kmpl.runtime.typed_command import MLRUNS

Folder = Annotated[Path, Parameter(name="--mlruns")]
Flag = Annotated[bool, Parameter(negative="")]

__all__ = ["MLRUNS", "Flag", "Folder", "flag"]


def flag(name: str) -> str:
    """Return the flag of a setting.

    >>> flag("pseudo_labels.k")
    '--pseudo-labels.k'
    """
    return f"--{name.replace('_', '-')}"
