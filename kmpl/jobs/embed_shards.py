"""The images of a large folder: found, looked at and embedded a shard at a time, here or on Dask's workers.

Killed and run again, it goes on with the first shard that is not kept. Shapes: N images, n of them in a shard.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kmpl.config.labelling import IMAGES_PER_SHARD, LabelOptions
from kmpl.datasets.image_folder import scan
from kmpl.errors import FileError
from kmpl.images.conversion import Conversion
from kmpl.images.file_kinds import by_content_sentence
from kmpl.images.reading import OnProgress
from kmpl.images.survey import Survey, decide_together, survey
from kmpl.jobs import shard_workers
from kmpl.jobs.shard_embedding import KIND, Shard, StoredShards, embed_shard, key_of, reading_key
from kmpl.jobs.workspace import Workspace
from kmpl.method.shard_kmeans import Shards
from kmpl.runtime.files import digests_of
from kmpl.store.store import Store

_SURVEYS = "shard-surveys"


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedFolder:
    """The images of a folder, and where their features are."""

    files: tuple[str, ...]
    digests: tuple[str, ...]
    left_out: dict[str, str]
    conversion: Conversion
    notes: tuple[str, ...]
    features: Shards
    """(n, D) of each shard, in the order of the files."""


def embed(root: Path, learning: LabelOptions, workspace: Workspace, on_progress: OnProgress) -> EmbeddedFolder:
    """Return a folder's images with features of the backbone that the settings name.

    Args:
        root: the folder.
        learning: settings; ``backbone`` is one.
        workspace: whose store keeps features, and whose scheduler, if there is one, has workers that compute them.
        on_progress: called with the number of images so far and in all.

    Raises:
        UserError: no readable image, a backbone that cannot be opened, a folder that changes underneath, a full disk.
    """
    by_content: list[str] = []
    names, left_out = scan(root, by_content.append)
    n_shards = learning.shards or math.ceil(len(names) / IMAGES_PER_SHARD)
    size = math.ceil(len(names) / n_shards)
    store = workspace.store
    surveys = []
    for start in range(0, len(names), size):
        surveys.append(_survey(root, names[start : start + size], store))
    conversion, notes = decide_together(root, surveys)
    shards = [
        Shard(number=number, files=tuple(one.digests), digests=tuple(one.digests.values()))
        for number, one in enumerate(one for one in surveys if one.digests)
    ]
    unreadable = {file: reason for one in surveys for file, reason in one.unreadable.items()}
    if not shards:
        file, reason = next(iter(unreadable.items()))
        raise FileError(f"{root}: none of {len(names):,} images can be read; {file}: {reason}", root)
    keys = _embedded(root, shards, learning, conversion, workspace=workspace, on_progress=on_progress)
    return EmbeddedFolder(
        files=tuple(file for shard in shards for file in shard.files),
        digests=tuple(digest for shard in shards for digest in shard.digests),
        left_out=dict(sorted({**left_out, **unreadable}.items())),
        conversion=conversion,
        notes=(*by_content_sentence(by_content), *notes),
        features=StoredShards(store, keys),
    )


def _survey(root: Path, files: Sequence[str], store: Store) -> Survey:
    """Return what some files are; those that were seen before, and decide nothing, are not decoded again."""
    digests, _ = digests_of(root, files)
    at = hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()
    known = store.read(_SURVEYS, at) if len(digests) == len(files) else None
    if known is not None:
        unreadable = known.about["unreadable"]
        readable = {file: digest for file, digest in digests.items() if file not in unreadable}
        return Survey(digests=readable, unreadable=unreadable, deep={}, transparent=())
    found = survey(root, files)
    if found.is_plain and found.digests | {file: digests.get(file, "") for file in found.unreadable} == digests:
        store.write(_SURVEYS, at, {}, about={"unreadable": found.unreadable})
    return found


def _embedded(
    root: Path,
    shards: Sequence[Shard],
    learning: LabelOptions,
    conversion: Conversion,
    *,
    workspace: Workspace,
    on_progress: OnProgress,
) -> list[str]:
    """Return the keys of all shards' features, computing those that are not kept."""
    store = workspace.store
    reading = reading_key(learning, conversion)
    keys = [key_of(shard, reading) for shard in shards]
    missing = [(shard, at) for shard, at in zip(shards, keys, strict=True) if store.read(KIND, at) is None]
    total = sum(len(shard.files) for shard in shards)
    done = total - sum(len(shard.files) for shard, _ in missing)
    on_progress(done, total)
    if workspace.addresses.scheduler and missing:
        finished = shard_workers.embed_on_workers(root, missing, learning, conversion, workspace=workspace)
    else:
        finished = (_here(root, shard, learning, conversion, store=store, at=at) for shard, at in missing)
    for n in finished:
        done += n
        on_progress(done, total)
    return keys


def _here(root: Path, shard: Shard, learning: LabelOptions, conversion: Conversion, *, store: Store, at: str) -> int:
    embed_shard(root, shard, learning, conversion, store=store, at=at)
    return len(shard.files)
