"""Which labelling knows a folder: that of its path, or that of a folder with the same images, which lay elsewhere."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kmpl.datasets.new_files import is_same
from kmpl.errors import FileError, UserError
from kmpl.labelling import reference
from kmpl.labelling.reference import Reference
from kmpl.tracking import labelled_folders
from kmpl.tracking.client import Client
from kmpl.tracking.labelled_folders import LabelledFolder, Since


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownFolder:
    """A folder, and the labelling that knows it."""

    root: Path
    labelling: LabelledFolder
    reference: Reference
    since: Since
    notes: tuple[str, ...] = ()
    """What the user should know, a sentence each."""

    def path_now(self, path: str) -> Path:
        """Return where a file lies that the labelling read or wrote: as it lay to the folder then, if that is there."""
        then = Path(path)
        now = Path(os.path.normpath(self.root.resolve() / os.path.relpath(then, self.labelling.folder)))
        return now if now.exists() else then

    def table(self, out: Path | None) -> Path:
        """Return the table: the named one, or that which the labelling wrote.

        Raises:
            UserError: the folder is a copy, and only the table of the other one is there.
        """
        if out is not None:
            return out
        path = self.path_now(self.reference.about.source.out)
        theirs = self.labelling.folder
        if theirs != self.root.resolve() and theirs.is_dir() and path == Path(self.reference.about.source.out):
            raise UserError(
                f"{self.root}: holds the images that run {self.labelling.run} labelled in {theirs}, which is still "
                f"there, and {path} is the table of that one; name a file with --out"
            )
        return path


def find(
    client: Client, root: Path, now: Mapping[str, str], *, into: Path, again: str, may_be_another: bool
) -> KnownFolder:
    """Return what is known of a folder.

    Args:
        client: of the store of runs.
        root: the folder.
        now: digest of each of its images, by name.
        into: folder for copies of remote files.
        again: the command that labels the folder, for messages.
        may_be_another: take the labelling of its path even if the folder that stands there now is another.

    Raises:
        UserError: no labelling knows it, or the folder at its path is another; the labelling left no model.
    """
    name = reference.FILE
    here = labelled_folders.of_path(client, root, reference=name, into=into, again=again)
    of_path = reference.read(here.reference) if here else None
    if here and of_path and (may_be_another or _has_any(of_path, now)):
        note = f"the newer run {here.newer} left no model, so that of run {here.run} labels" if here.newer else ""
        return _known(client, root, here, of_path, into, note)
    for other in labelled_folders.of_others(client, root, reference=name, into=into):
        kept = reference.read(other.reference)
        if is_same(kept.seen.values(), now.values()):
            old = {*kept.seen.values()}
            holds = f"it holds {len(old & {*now.values()}):,} of its {len(old):,} images"
            note = f"is the folder that run {other.run} labelled as {other.folder}: {holds}"
            return _known(client, root, other, kept, into, note)
    if not here or not of_path:
        labelled_folders.refuse_unknown(client, root, again)
    raise FileError(
        f"{root}: is another folder than the one that run {here.run} labelled there: none of its "
        f"{len(of_path.about.files):,} images is in it; label it: {again}; or name a new file with --out, to have that "
        "run's model name these",
        root,
    )


def _has_any(kept: Reference, now: Mapping[str, str]) -> bool:
    """Say whether any image of a labelling is there, by its name or by its content."""
    return any(file in now for file in kept.about.files) or not {*kept.seen.values()}.isdisjoint(now.values())


def _known(client: Client, root: Path, one: LabelledFolder, kept: Reference, into: Path, note: str) -> KnownFolder:
    later = labelled_folders.since(client, one.run, into)
    return KnownFolder(root=root, labelling=one, reference=kept, since=later, notes=(note,) if note else ())
