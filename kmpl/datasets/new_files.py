"""What is new in a folder of images: files whose content was not seen before, by the digests of all files."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from kmpl.images.reading import OnProgress
from kmpl.runtime.cores import cores


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderChanges:
    """How a folder differs from what was seen of it."""

    new: tuple[str, ...]
    """Names that were not there, with a content that was not seen."""
    changed: tuple[str, ...]
    """Names that were there, with a content that was not seen."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Renamed files and copies: name now → a name under which the content was seen."""
    gone: tuple[str, ...] = ()
    """Names that were there, whose content is there under no name."""

    @property
    def unseen(self) -> tuple[str, ...]:
        """New and changed files, sorted."""
        return tuple(sorted((*self.new, *self.changed)))

    def without(self, files: Collection[str]) -> "FolderChanges":
        """Return the same but for new and changed files that cannot be read."""
        new, changed = (tuple(f for f in names if f not in files) for names in (self.new, self.changed))
        return replace(self, new=new, changed=changed)


def compare(seen: Mapping[str, str], now: Mapping[str, str]) -> FolderChanges:
    """Return how a folder has changed.

    Args:
        seen: digest of each file that was seen, by name.
        now: digest of each file that is there, by name.

    >>> compare({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "3", "e": "4"})
    FolderChanges(new=('e',), changed=('b',), moved={'d': 'c'}, gone=())
    """
    name_of = {digest: file for file, digest in sorted(seen.items(), reverse=True)}  # the first name of each content
    differing = [file for file in sorted(now) if seen.get(file) != now[file]]
    unseen = [file for file in differing if now[file] not in name_of]
    there = set(now.values())
    return FolderChanges(
        new=tuple(file for file in unseen if file not in seen),
        changed=tuple(file for file in unseen if file in seen),
        moved={file: name_of[now[file]] for file in differing if now[file] in name_of},
        gone=tuple(file for file in sorted(seen) if file not in now and seen[file] not in there),
    )


def digests_of(
    root: Path,
    files: Sequence[str],
    on_progress: OnProgress = lambda done, total: None,  # noqa: ARG005
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the SHA-256 of each file, and the files that cannot be read, with the reason.

    Args:
        root: folder of the files.
        files: paths relative to it.
        on_progress: called after each file.
    """

    def digest(file: str) -> str | OSError:
        try:
            with (root / file).open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            return error

    found: dict[str, str] = {}
    left_out: dict[str, str] = {}
    with ThreadPoolExecutor(cores()) as pool:
        for file, result in zip(files, pool.map(digest, files), strict=True):
            if isinstance(result, str):
                found[file] = result
            else:
                left_out[file] = result.strerror or str(result)
            on_progress(len(found) + len(left_out), len(files))
    return found, left_out
