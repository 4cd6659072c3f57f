"""Labels that sub-folders give by their names; a tree of training, validation and test parts is told from classes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats.class_names import means_part, tidy
from kmpl.formats.given_labels import NO_RULES, Given, Names, Rules, class_named

_SHOWN = 5  # names in a message


def labels_of_folders(files: Sequence[str], root: Path = Path(), rules: Rules = NO_RULES) -> Given:
    """Return the label of each file that lies in a class sub-folder.

    Args:
        files: relative to the root, with ``/``.
        root: for messages.
        rules: what was said of names that may be meant one way or the other.

    Raises:
        UserError: the sub-folders are parts of a data set, such as ``train`` and ``test``.

    >>> labels_of_folders(["a.png", "cat/b.png", "cat/2021/c.png", "unlabelled/d.png"]).labels
    {'cat/b.png': 'cat', 'cat/2021/c.png': 'cat'}
    """
    names = Names(rules)
    places = {file: file.split("/")[:-1] for file in files if "/" in file}
    read = {file: names.read(folders[0]) for file, folders in places.items()}
    labels = {file: name for file, name in read.items() if name}
    below: dict[str, set[str]] = defaultdict(set)
    for file in labels:
        below[places[file][0]].update(places[file][1:2])
    _check_no_parts(below, root, rules)
    return names.given(labels, "image")


def _check_no_parts(below: Mapping[str, set[str]], root: Path, rules: Rules) -> None:
    """Refuse a tree of parts.

    One is told by all its folders being named so and there being two, or classes below the one; or by two that are
    named so and have the same folders below. ``train`` beside ``bus`` is a class.

    Args:
        below: the folders that lie in each class folder.
        root: for the message.
        rules: may say that it is none.

    Raises:
        UserError: it is one.
    """
    parts = sorted(name for name in below if means_part(tidy(name)) and not rules.keeps(tidy(name)))
    shared = {name for part in parts for name in below[part] if sum(name in below[p] for p in parts) > 1}
    alone = len(parts) == len(below) and (len(parts) > 1 or any(len(below[part]) > 1 for part in parts))
    if not (alone or shared):
        return
    under = sorted(set().union(*(below[part] for part in parts)))
    classes = f", whose classes lie below ({_few(under)})" if under else ""
    raise FileError(
        f"{root}: {_few([f'{part}/' for part in parts])} are parts of a data set{classes}, and no classes; name one of "
        f"them ({root / parts[0]}) or give labels in a CSV; to keep them as classes: {class_named(*parts)}",
        root,
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
