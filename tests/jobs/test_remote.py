"""Jobs for workers elsewhere: what they find by content, and what they refuse instead of making their own."""

import os
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from object_store import Bucket
from sweeping import digits

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import load
from kmpl.datasets import folder_dataset, registry
from kmpl.errors import UserError
from kmpl.jobs import remote
from kmpl.jobs.experiment import ExperimentJob
from kmpl.jobs.journal import Topic
from kmpl.jobs.remote import received, sending
from kmpl.jobs.tune import TuningJob
from kmpl.jobs.workspace import Workspace
from kmpl.runtime.addresses import Addresses
from kmpl.runtime.database_locks import DatabaseLocks
from kmpl.store.sent_folders import fetch_folder, put_folder
from kmpl.store.store import Store

HOST = platform.node()


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "OPTUNA_STORAGE", "KMPL_STORE", "KMPL_LOCKS"):
        monkeypatch.setenv(name, "")  # a worker sets them, and they are undone
    monkeypatch.setenv("KMPL_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(folder_dataset, "_PLACES", {})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a few images of two classes, and the same image twice."""
    folder = tmp_path / "photos"
    for label in ("0", "1"):
        (folder / label).mkdir(parents=True)
        for path in sorted((digits() / label).iterdir())[:4]:
            (folder / label / path.name).write_bytes(path.read_bytes())
    (folder / "0" / "copy.png").write_bytes(path.read_bytes())
    return folder


def config(dataset: str = "MNIST") -> ExperimentConfig:
    return load(change={"dataset": dataset, "threads": 1})


def job(workspace: Workspace, dataset: str = "MNIST") -> ExperimentJob:
    return ExperimentJob(name="ratio 0.2, seed 0", config=config(dataset), workspace=workspace, tags=())


def everywhere(folder: Path, bucket: Bucket) -> Workspace:
    """A workspace all of whose addresses every machine reaches."""
    return Workspace(folder / "mlruns", addresses=Addresses(tracking="http://127.0.0.1:9", store=bucket.address))


def test_a_worker_that_sees_the_folder_works_in_it(tmp_path: Path) -> None:
    here = job(Workspace(tmp_path / "mlruns"))
    with sending([here], "topic") as (sent,):
        assert received(sent).workspace.mlruns == tmp_path / "mlruns"
        assert received(sent).workspace.events == Topic("topic")
    assert not [*(tmp_path / "mlruns").iterdir()]  # the mark is gone
    assert received(here) is here


@pytest.mark.parametrize("which", ["all", "no tracking", "no store", "tuning"])
def test_a_worker_that_does_not_see_the_folder_makes_none_of_its_own(
    which: str, tmp_path: Path, bucket: Bucket
) -> None:
    addresses = Addresses(
        tracking="" if which in ("all", "no tracking") else "http://127.0.0.1:9",
        store="" if which in ("all", "no store") else bucket.address,
    )
    one: ExperimentJob | TuningJob = job(Workspace(tmp_path / "mlruns", addresses=addresses))
    if which == "tuning":
        one = TuningJob(name="ratio 0.2, tuning", sweep="s", config=config(), workspace=one.workspace, trials=2)
    with sending([one], "topic") as (sent,):
        (tmp_path / "mlruns").rename(tmp_path / "another machine's")  # the worker looks, and it is not there
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(UserError) as refused:
            received(sent)
        assert sorted(tmp_path.rglob("*")) == before
    line = str(refused.value)
    assert line.startswith(f"worker {HOST} does not see {tmp_path / 'mlruns'} of {HOST}")
    assert ("MLFLOW_TRACKING_URI=http://" in line) == (which in ("all", "no tracking"))
    assert ("KMPL_STORE=s3://" in line) == (which in ("all", "no store"))
    assert ("OPTUNA_STORAGE=postgresql://" in line) == (which == "tuning")


@pytest.mark.parametrize(
    ("studies", "locks", "line"),
    [
        ("postgresql://127.0.0.1:9/studies", "", ""),
        ("mysql://127.0.0.1:9/studies", "postgresql://127.0.0.1:9/locks", ""),
        ("mysql://127.0.0.1:9/studies", "", "give KMPL_LOCKS=postgresql://…, which all machines reach"),
        ("", "postgresql://127.0.0.1:9/locks", "give OPTUNA_STORAGE=postgresql://…, which all machines reach"),
    ],
)
def test_workers_tune_together_where_studies_and_locks_lie_in_no_folder(
    studies: str, locks: str, line: str, tmp_path: Path, bucket: Bucket
) -> None:
    addresses = replace(everywhere(tmp_path, bucket).addresses, studies=studies, locks=locks)
    here = Workspace(tmp_path / "mlruns", addresses=addresses)
    one = TuningJob(name="ratio 0.2, tuning", sweep="s", config=config(), workspace=here, trials=2)
    with sending([one], "topic") as (sent,):
        assert (tmp_path / "mlruns").exists() == bool(line)
        (tmp_path / "mlruns").mkdir(exist_ok=True)
        (tmp_path / "mlruns").rename(tmp_path / "another machine's")
        if line:
            with pytest.raises(UserError, match=line):
                received(sent)
            return
        there = received(sent).workspace
    assert isinstance(there.study_locks, DatabaseLocks)
    assert there.study_locks.database == (locks or studies)
    assert os.environ["KMPL_LOCKS"] == locks if locks else "KMPL_LOCKS" not in os.environ


def test_a_folder_of_the_same_name_on_another_disk_is_not_taken_for_it(tmp_path: Path) -> None:
    with sending([job(Workspace(tmp_path / "mlruns"))], "topic") as (sent,):
        (tmp_path / "mlruns").rename(tmp_path / "another machine's")
        (tmp_path / "mlruns").mkdir()
        with pytest.raises(UserError, match="does not see"):
            received(sent)


def test_a_store_in_a_folder_must_be_seen_too(tmp_path: Path) -> None:
    shared = Addresses(tracking="http://127.0.0.1:9", store=f"file://{tmp_path}/share")
    with sending([job(Workspace(tmp_path / "mlruns", addresses=shared))], "topic") as (sent,):
        assert received(sent).workspace.store.place == str(tmp_path / "share")
        (tmp_path / "share").rename(tmp_path / "unmounted")
        with pytest.raises(UserError, match=rf"does not see {tmp_path}/share of .*KMPL_STORE=s3://"):
            received(sent)


def test_where_servers_keep_all_a_worker_works_in_its_scratch_folder_with_the_senders_addresses(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending([job(everywhere(tmp_path, bucket))], "topic") as (sent,):
        assert not (tmp_path / "mlruns").exists()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///of-the-worker.db")
        monkeypatch.setenv("KMPL_SCRATCH", str(tmp_path / "worker"))
        there = received(sent)
    assert there.workspace.mlruns == tmp_path / "worker" / "jobs"
    assert there.workspace.store.place == bucket.address
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"


def test_a_worker_with_another_library_or_device_would_compute_other_numbers_and_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending([job(Workspace(tmp_path / "mlruns"))], "topic") as (sent,):
        here = remote.environment_key(config())
        monkeypatch.setattr(remote, "environment_key", lambda _: here | {"torch": "1.0"})
        with pytest.raises(
            UserError, match=rf"^worker {HOST}: its numbers would not be .*: it has torch 1\.0 \(there 2\."
        ):
            received(sent)


def test_a_folder_of_images_reaches_a_worker_by_content_never_by_its_path(
    photos: Path, tmp_path: Path, bucket: Bucket
) -> None:
    dataset = f"folder:{photos}"
    with sending([job(everywhere(tmp_path, bucket), dataset)] * 2, "topic") as (sent, _):
        before = registry.read(dataset, train=True)
        photos.rename(tmp_path / "another machine's")
        there = received(sent)
    assert there.config.dataset == dataset  # reports and keys name what the person named
    after = registry.read(dataset, train=True)
    assert after.images.equal(before.images)
    assert after.labels.equal(before.labels)
    root = folder_dataset.root_of(dataset)
    assert root.is_relative_to(tmp_path / "scratch" / "folders")


def test_without_a_store_elsewhere_a_folder_that_is_not_there_or_is_another_is_one_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with sending([job(Workspace(tmp_path / "mlruns"), "folder:photos")], "topic") as (sent,):
        monkeypatch.chdir("/")
        received(sent)  # a worker starts elsewhere, and finds it by its whole path
        (photos / "0" / "copy.png").unlink()
        with pytest.raises(UserError, match=rf"^worker {HOST}: folder:photos, or the backbone none, is not there what"):
            received(sent)
        photos.rename(tmp_path / "unmounted")
        with pytest.raises(UserError, match=rf"^worker {HOST}: [^\n]*{photos}"):
            received(sent)


def test_packs_of_any_size_give_the_same_folder(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    (photos / "labels.csv").write_text("file,label\n0/copy.png,1\n")
    (photos / "0" / "cut.png").write_bytes(b"\x89PNG")  # is left out, and named in the table of labels, perhaps
    (photos / "0" / "empty.png").touch()
    (photos / "notes.txt").write_text("no image")
    whole = put_folder(store, photos)
    assert put_folder(store, photos) == whole
    monkeypatch.setattr("kmpl.store.sent_folders.PACK_BYTES", 500)
    small = put_folder(store, photos)
    found = [fetch_folder(store, key, tmp_path / "fetched") for key in (whole, small)]
    for folder in found:
        names = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        there = [path for path in photos.rglob("*.png") if path.stat().st_size] + [photos / "labels.csv"]
        assert names == {path.relative_to(photos).as_posix(): path.read_bytes() for path in there}
    assert len(store.keys("packs")) > 2
    assert {path.name for path in (tmp_path / "fetched").iterdir()} == {whole, small}
    assert fetch_folder(store, whole, tmp_path / "fetched") == found[0]


def test_a_disk_that_is_full_and_a_store_that_lost_a_part_leave_no_half_a_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    key = put_folder(store, photos)

    def full(path: Path, content: bytes) -> int:  # noqa: ARG001
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(
            UserError, match="No space left on device; make room, or name another folder by KMPL_SCRATCH"
        ):
            fetch_folder(store, key, tmp_path / "fetched")
    assert not [*(tmp_path / "fetched").iterdir()]
    (pack,) = store.keys("packs")
    store.path("packs", pack).unlink()
    with pytest.raises(UserError, match=r"lost a part of folder .*; start the sweep again"):
        fetch_folder(store, key, tmp_path / "fetched")
    assert not [*(tmp_path / "fetched").iterdir()]
    with pytest.raises(UserError, match=r"has no folder .* any more"):
        fetch_folder(store, "0" * 64, tmp_path / "fetched")


def test_a_job_that_was_not_sent_is_done_as_it_is(tmp_path: Path, bucket: Bucket) -> None:
    local = replace(job(everywhere(tmp_path, bucket)), name="here")
    assert received(local) is local
