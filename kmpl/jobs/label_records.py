"""A file of labels as records that go on to a labelling tool: who gave each label, and how sure kmpl was."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats.given_labels import Rules
from kmpl.formats.image_names import ImageNames
from kmpl.formats.label_rows import FoundLabel
from kmpl.formats.records import ASSIGNED, CLUSTER, GIVEN, LabelRecord
from kmpl.formats.registry import FORMATS, read_labels, recognise


def records_of_file(
    path: Path, root: Path, files: Sequence[str], rules: Rules
) -> tuple[list[LabelRecord], tuple[str, ...]]:
    """Return a record for each image that a file of labels names, and what a person should know of the file.

    Labels of kmpl's own that nobody changed stay kmpl's, whatever ``rules.trust`` says: nothing learns from them here.

    Args:
        path: file of labels, in any format that is read.
        root: the folder of the images.
        files: all images of the folder, relative to ``root``, with ``/``.
        rules: how it is read.

    Raises:
        UserError: a damaged file, one of another format, or labels that do not fit the folder.
    """
    given = read_labels(path, root, files, replace(rules, trust="assigned"))
    read = FORMATS[rules.format or recognise(path)].read
    names = ImageNames(root, files)
    records: dict[str, LabelRecord] = {}
    try:
        for found in read(path) if read is not None else ():
            if (file := _file_of(found, names)) and file not in records:
                label = given.labels.get(file, "")
                source = _source(found.record, is_kmpls=file in given.unreviewed) if label else ""
                records[file] = replace(found.record, file=file, label=label, source=source)
    except ValueError as error:
        raise FileError(f"{path}: a confidence, cluster or round is no number ({error}); correct it", path) from error
    return list(records.values()), given.notes


def names_in_file(path: Path, root: Path, files: Sequence[str], rules: Rules) -> dict[str, set[str]]:
    """Return how a file of labels spells each image that it names: tools write absolute paths, addresses, or no suffix.

    Args:
        path: file of labels, in any format that is read.
        root: the folder of the images.
        files: all images that it may name, relative to ``root``, with ``/``.
        rules: how it is read.

    Raises:
        UserError: a damaged file.
    """
    read = FORMATS[rules.format or recognise(path)].read
    names = ImageNames(root, files)
    spelt: dict[str, set[str]] = {}
    for found in read(path) if read is not None else ():
        if file := _file_of(found, names):
            spelt.setdefault(file, set()).add(found.record.file)
    return spelt


def _file_of(found: FoundLabel, names: ImageNames) -> str | None:
    try:
        return (names.find_stem if found.is_stem else names.find)(found.record.file)
    except ValueError:  # the reading of labels has refused or noted it
        return None


def _source(record: LabelRecord, *, is_kmpls: bool) -> str:
    if is_kmpls:
        return ASSIGNED
    return CLUSTER if record.source == CLUSTER else GIVEN
