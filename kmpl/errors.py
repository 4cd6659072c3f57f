"""What may go wrong from outside, said in one line: what was wrong, where, and what would be right."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


class UserError(Exception):
    """Something the person at the keyboard can mend. The command line prints it as one line and exits with status 2."""


class IncompleteError(UserError):
    """All was done but for some of what was given, which has been named. Exit status 1."""


class DivergedError(UserError):
    """A training loss stopped being a finite number."""


class PrunedError(Exception):
    """A trial is not worth finishing; no failure."""


class DamagedWarning(UserWarning):
    """Something kept was damaged and is made again; nothing is lost but time."""


class MovedWarning(UserWarning):
    """The folder of runs is not where it was; what it says of itself was brought up to date."""


class LeftOutWarning(UserWarning):
    """Files that look like images could not be read; all else goes on without them."""


class LabelsWarning(UserWarning):
    """Given labels may be meant otherwise than they were read."""


class ReadingWarning(UserWarning):
    """How files were read is not plain from their names; nothing is lost, and people should know."""


_MANY = 20  # names; more are a page, not a line


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the line that names an unknown thing, the nearest right name and all right names.

    Where there are many and one is near, that one is enough.

    >>> unknown("network", "cn", ["cnn", "vgg16"])
    "unknown network 'cn'; did you mean 'cnn'? (known: cnn, vgg16)"
    >>> unknown("network", "resnet", ["cnn", "vgg16"])
    "unknown network 'resnet' (known: cnn, vgg16)"
    """
    names = sorted(known)
    near = get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    guess = next((f"; did you mean '{n}'?" for n in names if near and n.lower() == near[0]), "")
    listed = "" if guess and len(names) > _MANY else f" (known: {', '.join(names)})"
    return f"unknown {what} '{name}'{guess}{listed}"


def look_up(table: Mapping[str, T], name: str, what: str) -> T:
    """Return ``table[name]``.

    Raises:
        UserError: no such name; the message names the nearest one.
    """
    if name not in table:
        raise UserError(unknown(what, name, table))
    return table[name]
