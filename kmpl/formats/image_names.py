"""Find the images of a folder by the names that people and labelling tools write."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

_LOCAL_FILE = "/data/local-files/"  # Label Studio's addresses of images
_UPLOAD = re.compile(r"/data/upload/\d+/[0-9a-f]{8}-(?P<name>[^/]+)")
_DROPPED_ON_UPLOAD = re.compile(r"[^-\w.]")
_MIN_CUT_LENGTH = 40  # characters; Label Studio cuts long names of uploads to between 60 and 80


class ImageNames:
    """Finds the images of a folder by the paths that people and programs write."""

    def __init__(self, root: Path, files: Iterable[str]) -> None:
        self._root = root
        self._exact = set(files)
        self._composed = {_composed(file): file for file in sorted(self._exact)}

    def find(self, name: str) -> str | None:
        """Return the image of exactly that name, or else of a variant of it; None if there is no such image.

        Blanks around a name and backslashes may belong to it; mostly a spreadsheet or Windows put them there. Addresses
        of Label Studio are names, too.

        Raises:
            ValueError: the name leads out of the folder, or it may be that of several images.
        """
        if name in self._exact:
            return name
        bare = name.strip()
        if (address := urlsplit(bare)).path.startswith("/data/"):
            return self._find_address(address.path, address.query)
        for variant in dict.fromkeys((name, bare, bare.replace("\\", "/"))):
            if file := self._composed.get(_composed(self._relative(variant, name))):
                return file
        return None

    def find_or_none(self, name: str) -> str | None:
        """Return the same as ``find``, but None where it raises an error."""
        try:
            return self.find(name)
        except ValueError:
            return None

    def find_stem(self, name: str) -> str | None:
        """Return the image whose path, or else whose name, is this one without its suffix.

        Raises:
            ValueError: it may be that of several images.
        """
        stem = _composed(name)
        return _only(self._by_path_stem.get(stem) or self._by_name_stem.get(stem) or (), name)

    def _find_address(self, path: str, query: str) -> str | None:
        """Return the image at an address of Label Studio: a file of its machine, or an upload.

        An upload has lost its folder, and some characters of its name.
        """
        if path == _LOCAL_FILE and query.startswith("d="):
            parts = _composed(unquote(query.removeprefix("d="))).split("/")
            tails = ("/".join(parts[start:]) for start in range(len(parts)))
            return next((self._composed[tail] for tail in tails if tail in self._composed), None)
        if upload := _UPLOAD.fullmatch(path):
            name = _uploaded_name(unquote(upload["name"]))
            return _only(self._by_upload.get(name) or self._cut_uploads(name), name)
        return None

    def _cut_uploads(self, name: str) -> list[str]:
        """Return the images whose name, cut off, may be that of an upload."""
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        if len(stem) < _MIN_CUT_LENGTH:
            return []
        groups = (
            files for whole, files in self._by_upload.items() if whole.startswith(stem) and whole.endswith(suffix)
        )
        return [file for files in groups for file in files]

    @cached_property
    def _by_upload(self) -> dict[str, list[str]]:
        files = defaultdict(list)
        for file in sorted(self._exact):
            files[_uploaded_name(PurePosixPath(file).name)].append(file)
        return files

    @cached_property
    def _by_path_stem(self) -> dict[str, list[str]]:
        files = defaultdict(list)
        for file in sorted(self._exact):
            files[str(PurePosixPath(_composed(file)).with_suffix(""))].append(file)
        return files

    @cached_property
    def _by_name_stem(self) -> dict[str, list[str]]:
        files = defaultdict(list)
        for file in sorted(self._exact):
            files[PurePosixPath(_composed(file)).stem].append(file)
        return files

    def _relative(self, path: str, name: str) -> str:
        """Return ``path`` relative to the folder, with ``/``, without ``.`` and ``..``; ``name`` is for the message."""
        if PurePosixPath(path).is_absolute():
            for base in (self._root.absolute(), self._root.resolve()):
                if PurePosixPath(path).is_relative_to(base.as_posix()):
                    path = PurePosixPath(path).relative_to(base.as_posix()).as_posix()
                    break
        parts: list[str] = []
        for part in PurePosixPath(path).parts:
            if part == "/" or part.endswith(":") or (part == ".." and not parts):
                raise ValueError(f"{name} is outside {self._root}; give paths relative to {self._root}")
            parts = parts[:-1] if part == ".." else [*parts, part]
        return "/".join(parts)


def _only(files: Iterable[str], name: str) -> str | None:
    """Return the only file; None if there is none.

    Raises:
        ValueError: there are several.
    """
    first, *others = [*files, None]
    if first is not None and len(others) > 1:
        raise ValueError(f"{name} may be {first} or {others[0]}; give each image a name of its own")
    return first


def _uploaded_name(name: str) -> str:
    """Return what Label Studio makes of the name of an uploaded file."""
    return _DROPPED_ON_UPLOAD.sub("", _composed(name).strip().replace(" ", "_"))


def _composed(name: str) -> str:
    """Return a name with its accents composed: some file systems and spreadsheets take them apart."""
    return unicodedata.normalize("NFC", name)
