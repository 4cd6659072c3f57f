"""What a setting may name: records of name, code and help. The code is imported when it is first used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing that a setting may name."""

    name: str
    code: str | Callable[..., Any]
    """The function or class that does it, or where it lies, ``module:name``: help texts need no import of it."""
    help: str = ""
    """What it is, in a few words."""

    def load(self) -> Any:
        """Return the function or class.

        >>> Choice("square root", "math:sqrt").load()(9.0)
        3.0
        """
        if not isinstance(self.code, str):
            return self.code
        module, _, name = self.code.partition(":")
        return getattr(import_module(module), name)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def by_name(*records: N) -> dict[str, N]:
    """Return records by their names, in their order."""
    return {record.name: record for record in records}


def described(choices: Mapping[str, Choice]) -> str:
    """Return all names with their help, for the help text of a setting.

    >>> described(by_name(Choice("cnn", "", "small"), Choice("vgg16", "")))
    'cnn (small), vgg16'
    """
    return ", ".join(f"{c.name} ({c.help})" if c.help else c.name for c in choices.values())
