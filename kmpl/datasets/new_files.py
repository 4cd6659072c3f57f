"""What is new in a folder of images: files whose content was not seen before, by the digests of all files."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

_SAME = 0.5
"""Share of the images of a folder that another one holds, at least, if it is the same elsewhere."""


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


def is_same(seen: Iterable[str], now: Iterable[str]) -> bool:
    """Say whether a folder is the one that was seen, wherever it lies: half of its images, at least, are there.

    Args:
        seen: digests of the images that were seen.
        now: digests of those that are there.
    """
    old = {*seen}
    return len(old & {*now}) >= _SAME * len(old)
