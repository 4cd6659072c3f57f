"""What may go wrong from outside, said in one line: what was wrong, where, and what would be right."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class UserError(Exception):
    """Something the person at the keyboard can mend. The command line prints it as one line and exits with status 2.

    Its text is ``context`` and ``message``. Errors of all kinds can be pickled: they come back from other processes.
    """

    context: str = ""
    """Where it was: experiment and step, each with a colon behind it."""

    @property
    def message(self) -> str:
        """What is wrong, wherever it was."""
        return str(self.args[0]) if self.args else ""

    def add_context(self, where: str) -> None:
        """Say where it was, before what is said of that already."""
        self.context = f"{where}: {self.context}"

    def __str__(self) -> str:
        return self.context + self.message


class SettingError(UserError):
    """A setting, or an argument, has a value that cannot be.

    >>> str(SettingError("pseudo_labels.k", 9, "there are 5 prototypes", "1 to 5"))
    'pseudo_labels.k 9: there are 5 prototypes; give 1 to 5'
    """

    is_in_file: bool = False
    """A file of settings gives the value, under the dotted name."""

    def __init__(
        self,
        setting: str,
        value: object,
        reason: str,
        allowed: str = "",
        *,
        line: str = "",
        also: tuple[str, ...] = (),
    ) -> None:
        super().__init__(setting, value, reason, allowed)
        self.setting = setting
        """Its dotted name."""
        self.also = also
        """Dotted names of other settings that ``line`` begins with."""
        self.value = value
        self.reason = reason
        """Why it cannot be."""
        self.allowed = allowed
        """What could be given; empty where ``reason`` says that."""
        self.line = line
        """The message, where it is not made of the others."""

    @property
    def message(self) -> str:
        """Setting, value, reason, and what would be right."""
        return self.line or f"{self.setting} {self.value}: {self.reason}" + (
            f"; give {self.allowed}" if self.allowed else ""
        )

    def called(self, name: Callable[[str], str]) -> str:
        """Return the message with other names for the settings that it begins with, for who knows them by those.

        >>> error = SettingError("a.k", 9, "", line="a.k and a.l: one is enough", also=("a.l",))
        >>> error.called(lambda name: f"--{name}")
        '--a.k and --a.l: one is enough'
        """
        begin, colon, rest = self.message.partition(":")
        words = begin.split(" ")
        known = (self.setting, *self.also)
        if not colon or words[0] not in known:
            return self.message
        return " ".join(name(word) if word in known else word for word in words) + colon + rest


class UnknownNameError(UserError):
    """There is nothing of that name: no such strategy, network, data set or preset."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        known = tuple(known)
        super().__init__(what, name, known)
        self.what = what
        self.name = name
        self.known = known
        """All names that there are."""

    @property
    def message(self) -> str:
        """The name, the nearest right one, and all right ones."""
        return unknown(self.what, self.name, self.known)


class FileError(UserError):
    """A file or folder is missing, damaged, not what it should be, or cannot be written."""

    def __init__(self, message: str, path: Path | str) -> None:
        super().__init__(message, path)
        self.path = Path(path)


class StoreError(UserError):
    """A store of runs or studies does not answer, or is not what it should be."""

    def __init__(self, message: str, uri: str) -> None:
        super().__init__(message, uri)
        self.uri = uri
        """Its address, without a password."""


class IncompleteError(UserError):
    """All was done but for some of what was given, which has been named. Exit status 1."""


class DivergedError(UserError):
    """A training loss stopped being a finite number."""


class PrunedError(Exception):
    """A trial is not worth finishing; no failure."""


class DamagedWarning(UserWarning):
    """Something kept was damaged and is made again; nothing is lost but time."""


class ScratchWarning(UserWarning):
    """This machine has no room for copies of what is kept elsewhere; nothing is lost but time."""


class WaitingWarning(UserWarning):
    """All waits until somebody starts what does the work."""


class MovedWarning(UserWarning):
    """The folder of runs is not where it was; what it says of itself was brought up to date."""


class LeftOutWarning(UserWarning):
    """Files that look like images could not be read; all else goes on without them."""


class LabelsWarning(UserWarning):
    """Given labels may be meant otherwise than they were read."""


class ReadingWarning(UserWarning):
    """How files were read is not plain from their names; nothing is lost, and people should know."""


class DuplicatesWarning(UserWarning):
    """Images of a data set come twice; across the split, accuracy on the test part is partly memory."""


_MANY_NAMES = 20  # more are a page, not a line


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
    listed = "" if guess and len(names) > _MANY_NAMES else f" (known: {', '.join(names)})"
    return f"unknown {what} '{name}'{guess}{listed}"


def look_up(table: Mapping[str, T], name: str, what: str) -> T:
    """Return ``table[name]``.

    Raises:
        UnknownNameError: no such name; the message names the nearest one.
    """
    if name not in table:
        raise UnknownNameError(what, name, table)
    return table[name]
