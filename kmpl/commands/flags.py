"""Types of flags that many commands declare; nothing heavy is imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from kmpl.runtime.typed_command import MLRUNS

Folder = Annotated[Path, Parameter(name="--mlruns")]
Flag = Annotated[bool, Parameter(negative="")]

__all__ = ["MLRUNS", "Flag", "Folder", "flag", "flags_of"]


def flags_of(settings: Mapping[str, Any]) -> list[str]:
    """Return a tree of settings as they would be typed.

    >>> flags_of({"seed": 3, "pseudo_labels": {"k": 2}})
    ['--seed=3', '--pseudo-labels.k=2']
    """
    from kmpl.config.base import flatten

    return [f"{flag(name)}={value}" for name, value in flatten(settings).items()]


def flag(name: str) -> str:
    """Return the flag of a setting.

    >>> flag("pseudo_labels.k")
    '--pseudo-labels.k'
    """
    return f"--{name.replace('_', '-')}"
