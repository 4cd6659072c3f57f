"""The command that was typed, as it is kept with what it made; and commands to type next."""

import shlex
import shutil
import sys
from pathlib import Path

from kmpl.runtime.servers import masked

MLRUNS = Path("mlruns")
"""Folder of the tracked runs and of the store of finished steps, unless another is named."""


def typed_command() -> str:
    """Return what was typed, without the passwords of the addresses in it: it is kept in runs, tables and pages."""
    return masked(shlex.join(["kmpl", *sys.argv[1:]]))


def next_command(*words: str, mlruns: Path = MLRUNS) -> str:
    """Return what to type next, on the same runs and in the same shell."""
    return shlex.join([_program(), *words, *([] if mlruns == MLRUNS else ["--mlruns", str(mlruns)])])


def _program() -> str:
    """Return ``kmpl``, or the path that it was started by where the shell does not find it by its name."""
    typed = Path(sys.argv[0])
    return "kmpl" if typed.name != "kmpl" or shutil.which("kmpl") else str(typed)
