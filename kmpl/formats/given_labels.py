"""Given labels and their class names, from a CSV or from sub-folders: one set of rules for both."""

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kmpl.errors import UserError
from kmpl.formats.class_names import means_no_label, means_part, normalise, similar_names

Trust = Literal["assigned", "given"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The user's decisions on ambiguous names and labels.

    Raises:
        UserError: a name in ``class_named`` is no ambiguous one.
    """

    class_named: tuple[str, ...] = ()
    """Names that are classes here, although they usually mean "no label" or a part of a data set."""
    trust: Trust | None = None
    """Whether labels that kmpl assigned and nobody changed count as given: ``assigned`` = yes, ``given`` = no. None =
    yes if a person changed other labels of the file (with a note); otherwise the file is refused."""
    format: str | None = None
    """Format of the file of labels (``kmpl.formats.registry``); None: its content tells it."""

    def __post_init__(self) -> None:
        for name in map(normalise, self.class_named):
            if not (means_no_label(name) or means_part(name)):
                raise UserError(f"--class-named {name}: '{name}' is a class anyway; leave the flag out")

    def is_class(self, name: str) -> bool:
        """Return whether the user declared a normalised name to be a class."""
        return name.casefold() in {normalise(class_name).casefold() for class_name in self.class_named}


NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class GivenLabels:
    """The given labels of a folder."""

    labels: dict[str, str]
    """Class name of each labelled file."""
    notes: tuple[str, ...] = ()
    """Labels whose reading may not be the intended one, a sentence each."""
    unreviewed: frozenset[str] = field(default=frozenset(), compare=False)
    """Files whose label ``kmpl label`` assigned and nobody changed; the next CSV marks them as assigned again."""
    by_cluster: frozenset[str] = field(default=frozenset(), compare=False)
    """Files whose whole cluster a person named, and that nobody looked at; the next CSV says so again."""


class NameReader:
    """Reads class names, and counts the words that mean "no label"."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._no_label_words: Counter[str] = Counter()

    def meaning(self, text: str) -> str:
        """Return the class name that a text means; empty if it means "no label"."""
        name = normalise(text)
        return "" if means_no_label(name) and not self._rules.is_class(name) else name

    def read(self, text: str) -> str:
        """Return the ``meaning``, and count a word that means "no label"."""
        name = self.meaning(text)
        word = normalise(text)
        self._no_label_words[word] += bool(word and not name)
        return name

    def given_labels(self, labels: Mapping[str, str], unit: str, notes: tuple[str, ...] = ()) -> GivenLabels:
        """Return labels by file, with notes on all names read so far.

        Args:
            labels: class name of each labelled file.
            unit: what each call of ``read`` was for: ``row`` or ``image``.
            notes: further notes.
        """
        notes_on_names = []
        if words := [(word, n) for word, n in self._no_label_words.most_common() if n]:
            counts = ", ".join(f"{n:,} × '{word}'" for word, n in words)
            total = self._no_label_words.total()
            units = f"1 {unit} is" if total == 1 else f"{total:,} {unit}s are"
            remedy = f"to keep one as a class: {class_named_flags(words[0][0])}"
            notes_on_names.append(f"{units} read as not labelled ({counts}); {remedy}")
        if groups := similar_names(Counter(sorted(labels.values()))):
            notes_on_names.append(f"classes that read alike: {'; '.join(groups)}; if they are one, give them one name")
        return GivenLabels(dict(labels), (*notes, *notes_on_names))


def class_named_flags(*names: str) -> str:
    """Return the command-line flags that declare names to be classes.

    >>> class_named_flags("nan", "-1")
    '--class-named nan --class-named=-1'
    """
    return " ".join(f"--class-named{'=' if name.startswith('-') else ' '}{shlex.quote(name)}" for name in names)
