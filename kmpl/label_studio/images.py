"""Where Label Studio gets the images: from the folder itself, if its server reads that, or from what is uploaded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from kmpl.errors import FileError, UserError
from kmpl.label_studio.client import RefusedError
from kmpl.label_studio.projects import Project
from kmpl.label_studio.tasks import batches

_STORAGES = "/api/storages/localfiles"
_MAX_FILES = 50  # of one upload; the server takes a hundred
_SERVING = "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="
UPLOADABLE = (".bmp", ".gif", ".jpg", ".jpeg", ".png", ".webp")
"""Suffixes of images that Label Studio takes."""


def served_from(project: Project, folder: PurePosixPath, first: str) -> Callable[[str], str]:
    """Return what gives the address of each image where the server itself reads the folder.

    The server does not say which folder its addresses begin at, so an image is asked for by each that they may.

    Args:
        project: the project; it gets a storage for the folder, unless it has one.
        folder: path of the folder on the server's machine.
        first: an image in it.

    Raises:
        UserError: the server does not read the folder.
    """
    made = _add_storage(project, folder)
    for start in reversed(range(1, len(folder.parts))):
        prefix = "/".join(folder.parts[start:])
        if project.server.shows("/data/local-files/", d=f"{prefix}/{first}"):
            return lambda file: f"/data/local-files/?d={quote(f'{prefix}/{file}')}"
    if made is not None:
        project.server.send("DELETE", f"{_STORAGES}/{made}")
    raise _not_served(project, folder, f"it has no {first} there")


def _add_storage(project: Project, folder: PurePosixPath) -> int | None:
    """Give the project a storage for the folder; return its number, or None if it has one already."""
    for storage in project.server.get(_STORAGES, project=project.id):
        if folder.is_relative_to(str(storage.get("path") or "?")):
            return None
    wanted = {"project": project.id, "path": str(folder), "title": folder.name, "use_blob_urls": True}
    try:
        return int(project.server.send("POST", _STORAGES, json=wanted)["id"])
    except RefusedError as error:
        if error.status not in (400, 403):
            raise
        raise _not_served(project, folder, error.reason) from error


def _not_served(project: Project, folder: PurePosixPath, reason: str) -> UserError:
    said = reason.split(" by security reasons")[0].split(". ")[0].rstrip(".")
    return UserError(
        f"{project.server.url}: does not serve {folder} ({said}); start Label Studio with {_SERVING}{folder.parent}, "
        "or give --upload; if its machine has the folder elsewhere, say where with --server-path"
    )


def upload(project: Project, root: Path, files: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Upload images; yield the addresses of a batch, by image.

    Args:
        project: that gets them.
        root: the folder.
        files: images in it.

    Raises:
        UserError: a file cannot be read, or the server refuses it.
    """
    for batch in batches(files, _MAX_FILES):
        ids = _upload_batch(project, root, batch)
        uploads = project.server.get(f"{project.path}/file-uploads", ids=str(ids))
        paths = {upload["id"]: str(upload["file"]) for upload in uploads}
        if len(ids) != len(batch) or paths.keys() != {*ids}:
            raise UserError(f"{project.server.url}: took {len(paths)} of {len(batch)} images; push again")
        yield {file: f"/data/{quote(paths[number])}" for file, number in zip(batch, sorted(ids), strict=True)}


def _upload_batch(project: Project, root: Path, files: Sequence[str]) -> list[int]:
    """Return the numbers of the uploads, which are in the order of the files."""
    with ExitStack() as opened:
        form = []
        for number, file in enumerate(files):
            try:
                content = opened.enter_context((root / file).open("rb"))
            except OSError as error:
                raise FileError(f"cannot read {root / file}: {error.strerror or error}", root / file) from error
            form.append((f"file{number}", (PurePosixPath(file).name, content)))
        answer = project.server.send(
            "POST", f"{project.path}/import", params={"commit_to_project": "false"}, files=form
        )
    return [int(number) for number in answer["file_upload_ids"]]
