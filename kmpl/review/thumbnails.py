"""Small copies of a folder's pictures: made when the page first shows them, and kept by the content of the file."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from kmpl.datasets.image_folder import FolderImages
from kmpl.errors import FileError
from kmpl.images.decoding import PictureError, read_picture
from kmpl.images.thumbnail import encode
from kmpl.runtime.files import whole_file

THUMBNAIL_PIXELS = 160
"""Side, at most: sharp at 96 pixels of a page on a dense screen."""
LARGE_PIXELS = 800
_PNG = b"\x89PNG"
_MISSING = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96"><rect width="96" height="96" fill="#808080"/>
<path d="M20 20 76 76M76 20 20 76" stroke="#fff" stroke-width="6"/></svg>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture as a browser takes it."""

    content: bytes
    media_type: str
    is_missing: bool = False
    """The file is gone or cannot be read any more; a crossed square stands for it."""


class Thumbnails:
    """The pictures of a folder, small and large."""

    def __init__(self, images: FolderImages, cache: Path) -> None:
        """Keep small copies below ``cache``; the same file read in another way has another copy."""
        self._images = images
        reading = json.dumps([images.conversion.record(), THUMBNAIL_PIXELS], sort_keys=True)
        self._folder = cache / hashlib.sha256(reading.encode()).hexdigest()[:12]

    def small(self, i: int) -> Picture:
        """Return the small copy of an image, by its index."""
        digest = self._images.digests[i]
        path = self._folder / digest[:2] / digest
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        if content:
            return Picture(content=content, media_type="image/png" if content.startswith(_PNG) else "image/jpeg")
        made = self._read(i, THUMBNAIL_PIXELS)
        if not made.is_missing:
            try:
                with whole_file(path) as draft:
                    draft.write_bytes(made.content)
            except FileError:
                pass  # a full disk costs time, not the page
        return made

    def large(self, i: int) -> Picture:
        """Return an image as large as the page shows it, by its index."""
        return self._read(i, LARGE_PIXELS)

    def _read(self, i: int, side: int) -> Picture:
        try:
            pixels = read_picture(self._images.root / self._images.files[i], conversion=self._images.conversion)
        except PictureError:
            return Picture(content=_MISSING.encode(), media_type="image/svg+xml", is_missing=True)
        content, media_type = encode(pixels, side)
        return Picture(content=content, media_type=media_type)
