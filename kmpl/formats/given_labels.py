"""What counts as a given label, wherever it stands: in a CSV or as the name of a sub-folder."""

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kmpl.errors import UserError
from kmpl.formats.class_names import alike, means_no_label, means_part, tidy

Trust = Literal["assigned", "given"]


@dataclass(frozen=True)
class Rules:
    """What a person has said of names and labels that may be meant one way or the other.

    Raises:
        UserError: a name that is a class anyway.
    """

    class_named: tuple[str, ...] = ()
    """Names that are classes here, though they mean elsewhere that there is no label, or a part of a data set."""
    trust: Trust | None = None
    """Labels that kmpl assigned and nobody changed: they count as given (``assigned``), or they don't (``given``).
    None: they do if a person worked on their file, which is said; else the file is refused."""

    def __post_init__(self) -> None:
        for name in map(tidy, self.class_named):
            if not (means_no_label(name) or means_part(name)):
                raise UserError(f"--class-named {name}: '{name}' is a class anyway; leave the flag out")

    def keeps(self, name: str) -> bool:
        """Return whether a tidy name was said to be a class."""
        return name.casefold() in {tidy(kept).casefold() for kept in self.class_named}


NO_RULES = Rules()


@dataclass(frozen=True)
class Given:
    """The labels that were given."""

    labels: dict[str, str]
    """Class of each labelled file."""
    notes: tuple[str, ...] = ()
    """What was read otherwise than it may have been meant, a sentence each."""
    own: frozenset[str] = field(default=frozenset(), compare=False)
    """Files whose label ``kmpl label`` assigned, untouched since: what is written next says so again."""


class Names:
    """Reads names of classes, and counts those that mean that there is no label."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._words: Counter[str] = Counter()

    def meaning(self, text: str) -> str:
        """Return the class that a text means; empty if it means none."""
        name = tidy(text)
        return "" if means_no_label(name) and not self._rules.keeps(name) else name

    def read(self, text: str) -> str:
        """Return the same, and count a word that means none."""
        name, word = self.meaning(text), tidy(text)
        self._words[word] += bool(word and not name)
        return name

    def given(self, labels: Mapping[str, str], counted: str, notes: tuple[str, ...] = ()) -> Given:
        """Return labels by file with all that is to be said of their names.

        Args:
            labels: class of each labelled file.
            counted: what ``read`` was called for.
            notes: what is to be said besides.
        """
        said = [*notes]
        if words := [(word, n) for word, n in self._words.most_common() if n]:
            each = ", ".join(f"{n:,} × '{word}'" for word, n in words)
            total, kept = self._words.total(), f"to keep one as a class: {class_named(words[0][0])}"
            which = f"1 {counted} is" if total == 1 else f"{total:,} {counted}s are"
            said.append(f"{which} read as not labelled ({each}); {kept}")
        if same := alike(Counter(sorted(labels.values()))):
            said.append(f"classes that read alike: {'; '.join(same)}; if they are one, give them one name")
        return Given(dict(labels), tuple(said))


def class_named(*names: str) -> str:
    """Return the flags that make classes of names.

    >>> class_named("nan", "-1")
    '--class-named nan --class-named=-1'
    """
    return " ".join(f"--class-named{'=' if name.startswith('-') else ' '}{shlex.quote(name)}" for name in names)
