"""Names in lines for people."""

from collections.abc import Sequence
from pathlib import Path


def abbreviate(names: Sequence[str], limit: int, between: str = ", ") -> str:
    """Return the first names, and the number of the others.

    >>> abbreviate(["a", "b", "c"], 2), abbreviate(["a", "b"], 2)
    ('a, b, and 1 more', 'a, b')
    """
    return between.join(names[:limit]) + (f", and {len(names) - limit:,} more" if len(names) > limit else "")


def folder_name(root: Path) -> str:
    """Return the name of a folder for titles."""
    return root.absolute().name or str(root)
