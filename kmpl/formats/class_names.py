"""Class names as people write them: spellings of one name, words for "no label", names of data set parts."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

NO_LABEL = {
    *("nan", "-nan", "none", "<none>", "na", "<na>", "n/a", "#n/a", "#na", "null", "<null>", "-1", "-1.0", "?"),
    *("unlabelled", "unlabeled", "_unlabelled", "_unlabeled"),
}
"""Words for a missing label, as spreadsheets, pandas, databases, scikit-learn and labelling tools write them, in lower
case."""

_JOINERS = "\u200c\u200d"  # zero-width, but they carry meaning in Persian, in Hindi and in emojis
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u180e\u200b\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e"))
_INVISIBLE |= dict.fromkeys(range(0x2066, 0x206A))  # marks of writing direction
_NEARLY_INVISIBLE = dict.fromkeys(map(ord, f"{_JOINERS}\ufe0e\ufe0f"))  # the last two choose how a sign is drawn
_LOOKALIKES = str.maketrans("авекмнорстухіјѕ", "abekmhopctyxijs")  # Cyrillic that looks Latin, as capitals at least
_LETTER = r"[^\W\d_]"
_SEPARATORS = r"[\s_\-]+"

_PART = re.compile(
    r"(train|training|trainval|trn|test|testing|tst|val|valid|validation|dev|eval|evaluation|holdout)"
    r"([\W_]*(set|split|part|data|images?|imgs?|\d+))*",
    re.IGNORECASE,
)


def normalise(name: str) -> str:
    """Return a name with composed accents and single blanks, without invisible characters.

    >>> normalise("\\ufeffCafe\\u0301\\u200b  au\\u00a0lait ")
    'Café au lait'
    """
    return unicodedata.normalize("NFC", " ".join(name.translate(_INVISIBLE).split())).strip(f"{_JOINERS} ")


def means_no_label(name: str) -> bool:
    """Return whether a normalised name stands for "no label".

    >>> [means_no_label(name) for name in ("", "NaN", "_unlabeled", "unknown")]
    [True, True, True, False]
    """
    return not name or name.casefold() in NO_LABEL


def means_part(name: str) -> bool:
    """Return whether a normalised name is one of a part of a data set: training, validation, test.

    >>> [name for name in ("train", "Test set", "val-01", "training_images", "trainer", "invalid") if means_part(name)]
    ['train', 'Test set', 'val-01', 'training_images']
    """
    return bool(_PART.fullmatch(name))


def _folded(name: str) -> str:
    """Return a name without differences of case, blanks and leading zeros, for comparison."""
    text = unicodedata.normalize("NFKC", name).casefold().translate(_NEARLY_INVISIBLE)
    text = re.sub(rf"(?<={_LETTER}){_SEPARATORS}(?=\w)|(?<=\w){_SEPARATORS}(?={_LETTER})", "", text)
    text = re.sub(r"(?<=\d)[\s_]+(?=\d)", " ", text)
    text = re.sub(r"^([+-]?\d+)\.0*$", r"\1", text)  # programs may write a column of whole numbers as 1.0, 2.0
    return re.sub(r"(?<![\d.,])0+(?=\d)", "", text)


def similar_names(labels: Mapping[str, int]) -> list[str]:
    """Return a phrase for each group of classes whose names differ only in spelling.

    Args:
        labels: number of labels by class name.

    >>> similar_names({"Cat": 12, "cat": 3, "01": 5, "1": 4, "dog": 7, "a-1": 1, "b": 2})
    ["'Cat' (12 labels) and 'cat' (3)", "'01' (5 labels) and '1' (4)"]
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in labels:
        groups[_folded(name).translate(_LOOKALIKES)].append(name)
    return [_phrase(names, labels) for names in groups.values() if len(names) > 1]


def _phrase(names: Iterable[str], labels: Mapping[str, int]) -> str:
    names = list(names)
    texts = [ascii(name) if _needs_escapes(name, names) else f"'{name}'" for name in names]
    counts = [f"{text} ({labels[name]:,})" for name, text in zip(names, texts, strict=True)]
    first = labels[names[0]]
    counts[0] = f"{texts[0]} ({first:,} label{'' if first == 1 else 's'})"
    return f"{', '.join(counts[:-1])} and {counts[-1]}"


def _needs_escapes(name: str, names: Iterable[str]) -> bool:
    """Return whether a name looks like one of the others, so that only its character codes tell them apart."""
    if any(ord(sign) in _NEARLY_INVISIBLE for sign in name):
        return True
    folded = _folded(name)
    return folded != folded.translate(_LOOKALIKES) and any(_folded(other) != folded for other in names)
