"""Shards embedded on the workers of a Dask scheduler. They share addresses with this machine, not its disk.

With a store elsewhere a shard's files travel through it, by content; without one, workers must see this machine's
folders, and one that does not refuses.
"""

import platform
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmpl.config.experiment import Learning
from kmpl.errors import FileError, StoreError, UserError
from kmpl.images.conversion import Conversion
from kmpl.jobs.scheduler import PATIENCE_SECONDS, check_scheduler
from kmpl.jobs.shard_embedding import Shard, embed_shard, key_of, reading_key
from kmpl.jobs.workspace import Workspace
from kmpl.runtime.addresses import STORE, is_elsewhere, scratch, shown
from kmpl.runtime.files import describe
from kmpl.store.remote_store import open_store
from kmpl.store.sent_folders import fetch_folder, put_files

_AHEAD = 2  # shards that wait for each worker


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """One shard as a worker gets it."""

    shard: Shard
    at: str
    """Key of its features, as the sender computed it."""
    root: Path
    folder: str
    """Key of its files in the store; empty where they lie on a disk that both see."""
    learning: Learning
    conversion: dict[str, Any]
    store: str
    cache: Path
    """Folder of the store, where it has no address."""
    mark: Path
    """File that a worker on a shared disk must see."""
    by: str


def embed_on_workers(
    root: Path,
    missing: Sequence[tuple[Shard, str]],
    learning: Learning,
    conversion: Conversion,
    *,
    workspace: Workspace,
) -> Iterator[int]:
    """Have shards embedded, each kept under its key; yield the number of images of each that is done.

    Raises:
        UserError: the scheduler does not answer, a worker refuses, or a shard killed several workers.
    """
    address = workspace.addresses.scheduler
    check_scheduler(address)
    from distributed import Client

    mark = workspace.mlruns / f".home-{uuid.uuid4().hex}"
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        with Client(address, timeout=PATIENCE_SECONDS, set_as_default=False) as client:
            jobs = (_sent(root, shard, at, learning, conversion, workspace, mark) for shard, at in missing)
            yield from _in_turn(client, jobs)
    except (OSError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        line = f"KMPL_DASK {shown(address)}: the scheduler does not answer ({reason}); finished shards are kept"
        raise StoreError(line, shown(address)) from error
    finally:
        with suppress(OSError):
            mark.unlink()


def _in_turn(client: Any, jobs: Iterator[Sent]) -> Iterator[int]:
    """Yield what is done, as it is done; a few shards wait for each worker, the others are not sent yet."""
    from distributed import KilledWorker, as_completed

    waiting = as_completed(loop=client.loop)
    limit = _AHEAD * max(1, len(client.scheduler_info()["workers"]))
    for _, job in zip(range(limit), jobs, strict=False):
        waiting.add(client.submit(embed_sent, job, pure=False))
    for future in waiting:
        try:
            yield future.result()
        except KilledWorker as error:
            raise UserError(
                "a shard was tried on several workers, and each died; look at their logs (out of memory?). Finished "
                "shards are kept"
            ) from error
        for _, job in zip(range(1), jobs, strict=False):
            waiting.add(client.submit(embed_sent, job, pure=False))


def _sent(
    root: Path, shard: Shard, at: str, learning: Learning, conversion: Conversion, workspace: Workspace, mark: Path
) -> Sent:
    elsewhere = is_elsewhere(workspace.addresses.store)
    return Sent(
        shard=shard,
        at=at,
        root=root.resolve(),
        folder=put_files(workspace.store, root, shard.files) if elsewhere else "",
        learning=learning,
        conversion=conversion.record(),
        store=workspace.addresses.store,
        cache=(workspace.mlruns / "cache").resolve(),
        mark=mark.resolve(),
        by=platform.node(),
    )


def embed_sent(sent: Sent) -> int:
    """Embed a shard that was sent, and return its number of images: it runs on a worker.

    Raises:
        UserError: this worker does not see a folder that it needs, or would compute other numbers.
    """
    try:
        return _embed(sent)
    except UserError as error:
        error.add_context(f"worker {platform.node()}")
        raise


def _embed(sent: Sent) -> int:
    conversion = Conversion.from_record(sent.conversion)
    store = open_store(sent.store, sent.cache)
    if key_of(sent.shard, reading_key(sent.learning, conversion)) != sent.at:
        raise UserError(
            f"its numbers would not be those of {sent.by}: another version, device, number of threads or weights; make "
            "both the same (kmpl doctor compares)"
        )
    if not sent.folder and not sent.mark.is_file():
        line = f"it does not see {sent.mark.parent} of {sent.by}; give {STORE}=s3://…, which all machines reach"
        raise FileError(line, sent.mark.parent)
    root = fetch_folder(store, sent.folder, scratch() / "folders") if sent.folder else sent.root
    try:
        embed_shard(root, sent.shard, sent.learning, conversion, store=store, at=sent.at)
    except OSError as error:
        raise FileError(describe(error, root), root) from error
    finally:
        if sent.folder:
            shutil.rmtree(root, ignore_errors=True)
    return len(sent.shard.files)
