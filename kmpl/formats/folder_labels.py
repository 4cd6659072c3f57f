"""Labels from the names of sub-folders; a tree of training, validation and test parts is recognised and refused."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats.class_names import means_part, normalise
from kmpl.formats.given_labels import NO_RULES, GivenLabels, NameReader, Rules, class_named_flags

_MAX_NAMES_LISTED = 5  # in a message


def labels_of_folders(files: Sequence[str], root: Path = Path(), rules: Rules = NO_RULES) -> GivenLabels:
    """Return the label of each file that lies in a class sub-folder.

    Args:
        files: relative to the root, with ``/``.
        root: the folder, for messages.
        rules: the user's decisions on ambiguous names.

    Raises:
        UserError: the sub-folders are parts of a data set, such as ``train`` and ``test``.

    >>> labels_of_folders(["a.png", "cat/b.png", "cat/2021/c.png", "unlabelled/d.png"]).labels
    {'cat/b.png': 'cat', 'cat/2021/c.png': 'cat'}
    """
    names = NameReader(rules)
    folders = {file: file.split("/")[:-1] for file in files if "/" in file}
    class_names = {file: names.read(path[0]) for file, path in folders.items()}
    labels = {file: name for file, name in class_names.items() if name}
    below: dict[str, set[str]] = defaultdict(set)
    for file in labels:
        below[folders[file][0]].update(folders[file][1:2])
    _check_no_parts(below, root, rules)
    return names.given_labels(labels, "image")


def _check_no_parts(below: Mapping[str, set[str]], root: Path, rules: Rules) -> None:
    """Refuse a folder whose sub-folders are the parts of a data set, such as ``train`` and ``test``.

    They are parts if all sub-folders have names of parts and there are at least two, or one with at least two folders
    below. They are parts, too, if two of them have a folder of the same name below. But ``train`` beside ``bus`` is a
    class.

    Args:
        below: names of the folders below each sub-folder.
        root: the folder, for the message.
        rules: names in ``class_named`` are no parts.

    Raises:
        UserError: the sub-folders are parts.
    """
    parts = sorted(name for name in below if means_part(normalise(name)) and not rules.is_class(normalise(name)))
    shared = {name for part in parts for name in below[part] if sum(name in below[p] for p in parts) > 1}
    alone = len(parts) == len(below) and (len(parts) > 1 or any(len(below[part]) > 1 for part in parts))
    if not (alone or shared):
        return
    under = sorted(set().union(*(below[part] for part in parts)))
    classes = f", whose classes lie below ({_few(under)})" if under else ""
    raise FileError(
        f"{root}: {_few([f'{part}/' for part in parts])} are parts of a data set{classes}, and no classes; name one of "
        f"them ({root / parts[0]}) or give labels in a CSV; to keep them as classes: {class_named_flags(*parts)}",
        root,
    )


def _few(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES_LISTED
    return ", ".join(names[:_MAX_NAMES_LISTED]) + (f", and {more} more" if more > 0 else "")
