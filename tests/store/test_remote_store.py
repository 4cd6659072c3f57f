"""Finished steps in an object store: a real S3 server on this machine, which also fails."""

import socket
import threading
import time
import urllib.request
import warnings
from pathlib import Path

import pytest
import torch
from object_store import Bucket

from kmpl.errors import DamagedWarning, ScratchWarning, SettingError, StoreError
from kmpl.jobs.workspace import Workspace
from kmpl.store import objects, remote_store
from kmpl.store.objects import Objects
from kmpl.store.remote_store import RemoteStore, open_store
from kmpl.store.store import Store

KEY = "ab12"
TENSORS = {"w": torch.arange(1000.0), "n": torch.tensor(7)}
ABOUT = {"seconds": 0.1 + 0.2, "note": "ü"}
OBJECT = "v1/networks/ab/ab12.safetensors"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KMPL_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


@pytest.fixture
def store(bucket: Bucket, scratch: Path) -> RemoteStore:
    assert not scratch.exists()
    return RemoteStore(bucket.address)


def on_another_machine(bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteStore:
    monkeypatch.setenv("KMPL_SCRATCH", str(folder))
    return RemoteStore(bucket.address)


def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server that was there be gone: nobody listens, and each try is refused at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{probe.getsockname()[1]}")
    monkeypatch.setattr(objects, "RETRIES", 1)


def test_an_entry_reaches_another_machine_with_the_same_bits(
    store: RemoteStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.read("networks", KEY) is None
    store.write("networks", KEY, TENSORS, about=ABOUT)
    elsewhere = on_another_machine(bucket, tmp_path / "elsewhere", monkeypatch)
    entry = elsewhere.read("networks", KEY)
    assert entry is not None
    assert entry.about == ABOUT
    assert all(entry.tensors[name].equal(tensor) for name, tensor in TENSORS.items())
    assert elsewhere.keys("networks") == [KEY]
    assert elsewhere.keys("features") == []
    assert elsewhere.sizes().keys() == {"networks"}
    assert elsewhere.read("features", KEY) is None


def test_what_was_read_or_written_here_is_read_again_without_the_server(
    store: RemoteStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("networks", KEY, TENSORS, about=ABOUT)
    other = on_another_machine(bucket, tmp_path / "elsewhere", monkeypatch)
    assert other.read("networks", KEY) is not None
    store.objects.remove(OBJECT)
    assert store.read("networks", KEY) is not None
    assert other.read("networks", KEY) is not None


def test_who_comes_second_overwrites_nothing(store: RemoteStore) -> None:
    store.write("networks", KEY, TENSORS, about={"first": True})
    before = store.objects.read(OBJECT)
    store.write("networks", KEY, {"w": torch.zeros(3)}, about={"first": False})
    assert store.objects.read(OBJECT) == before
    assert store.objects.put(OBJECT, b"third") is False


def test_a_store_that_knows_no_conditional_requests_still_keeps_entries(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    plain = Objects(bucket.address)
    assert plain.put(OBJECT, b"whole")
    assert plain.read(OBJECT) == b"whole"


@pytest.mark.parametrize("damage", ["cut", "bit", "noise", "empty", "another key's"])
def test_a_damaged_object_is_removed_with_a_warning_and_written_anew(store: RemoteStore, damage: str) -> None:
    content = {
        "cut": lambda whole: whole[:-1],
        "bit": lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
        "noise": lambda _: b"404 not found",
        "empty": lambda _: b"",
        "another key's": lambda whole: whole,
    }
    key = "ab13" if damage == "another key's" else KEY
    store.write("networks", key, TENSORS, about=ABOUT)
    whole = store.objects.read(OBJECT.replace(KEY, key))
    assert whole is not None
    Store.clear(store)  # this machine's copies
    store.objects.remove(OBJECT)
    store.objects.put(OBJECT, content[damage](whole))
    with pytest.warns(DamagedWarning, match=rf"^{store.place}/{OBJECT} is damaged \([^\n]+\); it is computed again$"):
        assert store.read("networks", KEY) is None
    store.write("networks", KEY, TENSORS, about=ABOUT)
    assert store.read("networks", KEY) is not None


def test_a_damaged_copy_is_fetched_again(store: RemoteStore) -> None:
    store.write("networks", KEY, TENSORS, about=ABOUT)
    store.path("networks", KEY).write_bytes(b"noise")
    with pytest.warns(DamagedWarning):
        assert store.read("networks", KEY) is not None
    assert store.path("networks", KEY).read_bytes() == store.objects.read(OBJECT)


def test_copies_take_no_more_than_they_may_and_the_last_used_stay(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"w": torch.zeros(25_000)}  # 100 kB
    monkeypatch.setattr(store, "limit_bytes", 350_000)
    for number in range(5):
        store.write("networks", f"{number:04}", tensors, about={})
        store.objects.remove("v1/networks/00/0000.safetensors")  # its copy alone is left, and read again and again
        time.sleep(0.01)
        assert store.read("networks", "0000") is not None
    copies = sorted(path.stem for path in store.folder.rglob("*.safetensors"))
    assert copies == ["0000", "0003", "0004"]
    assert store.sizes()["networks"][0] == 4
    assert store.read("networks", "0001") is not None
    monkeypatch.setattr(store, "limit_bytes", 50_000)
    store.write("networks", "0009", tensors, about={})
    assert store.sizes()["networks"][0] == 5
    assert not store.path("networks", "0009").exists()


def test_a_full_disk_here_loses_nothing(
    store: RemoteStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> int:  # noqa: ARG001
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.warns(ScratchWarning, match="No space left on device; all goes on") as caught:
        store.write("networks", KEY, TENSORS, about=ABOUT)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    with pytest.warns(ScratchWarning):
        assert store.read("networks", KEY) is not None
    assert not [path for path in store.folder.rglob("*") if path.is_file()]
    monkeypatch.undo()
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    assert on_another_machine(bucket, tmp_path / "elsewhere", monkeypatch).read("networks", KEY) is not None


def test_a_server_that_is_gone_is_one_line_after_some_tries(
    store: RemoteStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("networks", KEY, TENSORS, about=ABOUT)
    gone(monkeypatch)
    lost = RemoteStore(bucket.address)
    for verb in (
        lambda: lost.read("networks", "ff00"),
        lambda: lost.write("networks", "ff00", TENSORS, about={}),
        lambda: lost.keys("networks"),
        lost.sizes,
        lost.clear,
    ):
        with pytest.raises(StoreError) as refused:
            verb()
        line = str(refused.value)
        assert line.startswith(f"the store {bucket.address} cannot be ")
        assert line.endswith("all finished steps are kept: run the same command again when it answers")
        assert "\n" not in line
        assert bucket.secret not in line
        assert "after 1 retries" in line


def test_a_failure_of_a_moment_is_overcome(store: RemoteStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the store and this machine stands a proxy that drops the first two connections."""
    store.write("networks", KEY, TENSORS, about=ABOUT)
    host, port = bucket.endpoint.removeprefix("http://").split(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        dropped: list[int] = []

        def stand_between() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:
                    return
                with near:
                    if len(dropped) < 2:
                        dropped.append(1)
                        continue
                    with socket.create_connection((host, int(port))) as far:
                        far.sendall(near.recv(65_536).replace(b"keep-alive", b"close"))
                        far.shutdown(socket.SHUT_WR)
                        while piece := far.recv(65_536):
                            near.sendall(piece)

        threading.Thread(target=stand_between, daemon=True).start()
        assert RemoteStore(bucket.address).read("networks", KEY) is not None
        assert len(dropped) == 2


def test_a_server_that_says_nothing_is_one_line_after_the_time_it_has(
    bucket: Bucket, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(objects, "RETRIES", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        begin = time.monotonic()
        with pytest.raises(StoreError, match="cannot be read"):
            RemoteStore(bucket.address).read("networks", KEY)
    assert time.monotonic() - begin < 10
    assert not scratch.exists()


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_said_when_something_is_written(scratch: Path) -> None:
    nowhere = RemoteStore("s3://no-such-bucket/kmpl")
    with pytest.raises(StoreError, match=r"^the store s3://no-such-bucket/kmpl cannot be written: there is no bucket"):
        nowhere.write("networks", KEY, TENSORS, about=ABOUT)
    assert not scratch.exists()


def test_clearing_removes_entries_and_copies_and_nothing_else(store: RemoteStore) -> None:
    store.write("networks", KEY, TENSORS, about=ABOUT)
    store.objects.put("notes.txt", b"someone else's")
    store.clear()
    assert store.sizes() == {}
    assert store.read("networks", KEY) is None
    assert store.objects.read("notes.txt") == b"someone else's"
    store.clear()  # nothing is left, and nothing is wrong with that


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("store", "that is no address of a store"),
        ("ftp://host/store", "that is no address of a store"),
        ("s3://", "that is no address of a store"),
        ("file://", "that is no address of a store"),
        ("file://share/store", "that is no address of a store"),
        ("s3://key:secret@bucket/kmpl", "credentials do not belong into an address"),
        ("az://box/kmpl?sig=secret", "credentials do not belong into an address"),
    ],
)
def test_what_is_no_address_is_refused_before_any_work(address: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=f"^KMPL_STORE [^\n]*{reason}[^\n]*give s3://BUCKET/PREFIX") as refused:
        open_store(address, tmp_path)
    assert "secret" not in str(refused.value)


def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(StoreError, match=r"install kmpl\[cluster\], or unset KMPL_STORE"):
        open_store("s3://bucket/kmpl", Path())


def test_credentials_come_from_the_files_of_awss_tools_too(
    store: RemoteStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.objects.put("there", b"1")
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = of-file\naws_secret_access_key = {bucket.secret}\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of boto3
        assert Objects(bucket.address).read("there") == b"1"


def test_a_workspace_opens_the_store_that_the_environment_named_when_it_was_made(
    bucket: Bucket, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Workspace(tmp_path).store.place == str(tmp_path / "cache")
    monkeypatch.setenv("KMPL_STORE", bucket.address)
    remote = Workspace(tmp_path)
    monkeypatch.setenv("KMPL_STORE", f"file://{tmp_path}/share")
    assert isinstance(remote.store, remote_store.RemoteStore)
    assert remote.store.place == bucket.address
    assert remote.scratch == scratch
    Workspace(tmp_path).store.write("networks", KEY, TENSORS, about={})
    assert Store(tmp_path / "share").read("networks", KEY) is not None


@pytest.mark.parametrize("size", ["0", "-1", "nan", "much"])
def test_a_bound_that_is_none_is_refused(
    size: str, bucket: Bucket, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMPL_SCRATCH_GB", size)
    with pytest.raises(SettingError, match=f"^KMPL_SCRATCH_GB {size}: it is no number of gigabytes"):
        RemoteStore(bucket.address)
    assert not scratch.exists()


def test_the_server_is_one_that_others_would_know(bucket: Bucket) -> None:
    """No stand-in of ours: the page that lists a bucket is S3's own."""
    page = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{bucket.endpoint}/{bucket.name}")
    assert b"ListBucketResult" in page.read()
