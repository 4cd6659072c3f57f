"""Names of classes as people write them: which mean no label or a part of the data, and which read alike."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

NO_LABEL = {
    *("nan", "-nan", "none", "<none>", "na", "<na>", "n/a", "#n/a", "#na", "null", "<null>", "-1", "-1.0", "?"),
    *("unlabelled", "unlabeled", "_unlabelled", "_unlabeled"),
}
"""What spreadsheets, pandas, databases, scikit-learn and labelling tools write where nobody has said anything, in
lower case."""

_JOINERS = "\u200c\u200d"  # zero-width, but within a word of Persian or Hindi, or within an emoji, they say something
_NEVER_SEEN = dict.fromkeys(map(ord, "\u00ad\u180e\u200b\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e"))
_NEVER_SEEN |= dict.fromkeys(range(0x2066, 0x206A))  # what says in which direction to write
_BARELY_SEEN = dict.fromkeys(map(ord, f"{_JOINERS}\ufe0e\ufe0f"))  # the last two choose how a sign is drawn
_LOOKALIKES = str.maketrans("авекмнорстухіјѕ", "abekmhopctyxijs")  # Cyrillic, of which at least the capital looks Latin
_LETTER, _SEPARATORS = r"[^\W\d_]", r"[\s_\-]+"

_PART = re.compile(
    r"(train|training|trainval|trn|test|testing|tst|val|valid|validation|dev|eval|evaluation|holdout)"
    r"([\W_]*(set|split|part|data|images?|imgs?|\d+))*",
    re.IGNORECASE,
)


def tidy(name: str) -> str:
    """Return a name as it is meant beyond doubt: accents composed, without what is never seen, single blanks.

    >>> tidy("\\ufeffCafe\\u0301\\u200b  au\\u00a0lait ")
    'Café au lait'
    """
    return unicodedata.normalize("NFC", " ".join(name.translate(_NEVER_SEEN).split())).strip(f"{_JOINERS} ")


def means_no_label(name: str) -> bool:
    """Return whether a tidy name says that there is no label.

    >>> [means_no_label(name) for name in ("", "NaN", "_unlabeled", "unknown")]
    [True, True, True, False]
    """
    return not name or name.casefold() in NO_LABEL


def means_part(name: str) -> bool:
    """Return whether a tidy name is one that data sets give to their parts: training, validation, test.

    >>> [name for name in ("train", "Test set", "val-01", "training_images", "trainer", "invalid") if means_part(name)]
    ['train', 'Test set', 'val-01', 'training_images']
    """
    return bool(_PART.fullmatch(name))


def _read_as(name: str) -> str:
    """Return what a reader takes a name for who heeds no case, no kind of blank and no leading zero."""
    text = unicodedata.normalize("NFKC", name).casefold().translate(_BARELY_SEEN)
    text = re.sub(rf"(?<={_LETTER}){_SEPARATORS}(?=\w)|(?<=\w){_SEPARATORS}(?={_LETTER})", "", text)
    text = re.sub(r"(?<=\d)[\s_]+(?=\d)", " ", text)
    text = re.sub(r"^([+-]?\d+)\.0*$", r"\1", text)  # a column of whole numbers that was read as 1.0, 2.0
    return re.sub(r"(?<![\d.,])0+(?=\d)", "", text)


def alike(labels: Mapping[str, int]) -> list[str]:
    """Return a phrase for each group of classes that read alike, with their counts of labels.

    >>> alike({"Cat": 12, "cat": 3, "01": 5, "1": 4, "dog": 7, "a-1": 1, "b": 2})
    ["'Cat' (12 labels) and 'cat' (3)", "'01' (5 labels) and '1' (4)"]
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in labels:
        groups[_read_as(name).translate(_LOOKALIKES)].append(name)
    return [_phrase(names, labels) for names in groups.values() if len(names) > 1]


def _phrase(names: Iterable[str], labels: Mapping[str, int]) -> str:
    names = list(names)
    shown = [ascii(name) if _differs_unseen(name, names) else f"'{name}'" for name in names]
    said = [f"{text} ({labels[name]:,})" for name, text in zip(names, shown, strict=True)]
    first = labels[names[0]]
    said[0] = f"{shown[0]} ({first:,} label{'' if first == 1 else 's'})"
    return f"{', '.join(said[:-1])} and {said[-1]}"


def _differs_unseen(name: str, names: Iterable[str]) -> bool:
    """Return whether a name must be spelt out to be told from the others: its letters look the same."""
    if any(ord(sign) in _BARELY_SEEN for sign in name):
        return True
    read = _read_as(name)
    return read != read.translate(_LOOKALIKES) and any(_read_as(other) != read for other in names)
