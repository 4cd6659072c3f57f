"""Files are whole or absent: under failure, under a kill, and where there is no room."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import run_forked
from safetensors.torch import save_file
from torch import Tensor

from kmpl.errors import DamagedWarning, UserError
from kmpl.models import registry as networks
from kmpl.models import weights
from kmpl.runtime import files
from kmpl.store import store
from kmpl.store.store import Store


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, because limits and kills spread."""
    return run_forked([sys.executable, "-c", script, *map(str, arguments)], timeout=120)


def test_a_finished_file_is_there_alone_with_all_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    with files.whole_file(path) as draft:
        draft.write_bytes(b"whole")
        assert not path.exists()
        assert draft.parent == path.parent  # the same file system, or the move would not be atomic
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_finished_file_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("first", "second"):
        with files.whole_file(path) as draft:
            draft.write_text(text)
    assert path.read_text() == "second"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_half_way_leaves_the_good_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("good")

    def write_half() -> None:
        with files.whole_file(path) as draft:
            draft.write_text("ha")
            raise failure("stop")

    with pytest.raises(failure, match="stop"):
        write_half()
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_half_way_leaves_the_good_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("good")
    script = (
        "import os, signal, sys; from pathlib import Path; from kmpl.runtime.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as draft:\n"
        "    draft.write_text('ha'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert run(script, path).returncode == -9
    assert path.read_text() == "good"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    wanted = tmp_path / "file" / "below"
    with pytest.raises(UserError, match=rf"^cannot write {wanted}: ") as caught, files.whole_file(wanted):
        pytest.fail("there is nowhere to write")
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_overwritten_by_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(UserError, match=rf"^cannot write {folder}: Is a directory"), files.whole_file(folder) as draft:
        draft.write_text("file")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"), files.whole_file(tmp_path / "file"):
        pytest.fail("there is nowhere to write")


def test_a_network_comes_back_bit_for_bit(tmp_path: Path) -> None:
    saved = networks.build("cnn", channels=3, n_classes=10, seed=0)
    saved(torch.rand(8, 3, 28, 28))  # moves batch norm's running statistics, which belong to the state
    weights.save_network(saved, tmp_path / "net.safetensors")
    loaded = networks.build("cnn", channels=3, n_classes=10, seed=1)
    weights.load_network(loaded, tmp_path / "net.safetensors")
    before, after = saved.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    for key, tensor in before.items():
        assert torch.equal(tensor, after[key]), key
        assert tensor.dtype == after[key].dtype, key


def test_a_reloaded_network_predicts_the_same_bits(tmp_path: Path) -> None:
    saved, loaded = (
        networks.build("cnn", channels=1, n_classes=10, seed=0).eval(),
        networks.build("cnn", channels=1, n_classes=10, seed=1).eval(),
    )
    weights.save_network(saved, tmp_path / "net.safetensors")
    weights.load_network(loaded, tmp_path / "net.safetensors")
    images = torch.rand(8, 1, 28, 28)
    with torch.inference_mode():
        assert torch.equal(saved(images), loaded(images))


def test_the_same_network_saves_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        weights.save_network(networks.build("cnn", channels=1, n_classes=10, seed=0), tmp_path / name)
    weights.save_network(networks.build("cnn", channels=1, n_classes=10, seed=1), tmp_path / "three")
    assert files.sha256(tmp_path / "one") == files.sha256(tmp_path / "two") != files.sha256(tmp_path / "three")


FULL = """
import resource, signal, sys
from pathlib import Path
from kmpl.errors import UserError
from kmpl.models import registry as networks
from kmpl.models.weights import save_network
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_network(networks.build("cnn", channels=1, n_classes=10, seed=0), Path(sys.argv[1]))
except UserError as error:
    print(error)
"""


def test_where_there_is_no_room_saving_says_so_in_one_line_and_leaves_the_good_file_alone(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="limits of this kind are POSIX's")
    path = tmp_path / "net.safetensors"
    weights.save_network(networks.build("cnn", channels=1, n_classes=10, seed=1), path)
    before = files.sha256(path)
    done = run(FULL, path)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"cannot write {path}: ")
    assert "File too large" in line
    assert list(tmp_path.iterdir()) == [path]
    assert files.sha256(path) == before


def test_sha256_is_the_standards(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert files.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    long = os.urandom(3_000_000)
    path.write_bytes(long)
    assert files.sha256(path) == hashlib.sha256(long).hexdigest()


def test_the_cache_is_where_kmpl_cache_says_or_where_the_system_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KMPL_CACHE", str(tmp_path))
    assert files.cache_folder() == tmp_path
    monkeypatch.delenv("KMPL_CACHE")
    assert files.cache_folder().name == "kmpl"


KEY = "ab12"
TENSORS = {
    "weights": torch.arange(6.0).view(2, 3) / 7,
    "steps": torch.tensor(7),
    "labels": torch.tensor([-1, 0, 9]),
    "kept": torch.tensor([True, False]),
    "none": torch.empty(0, 4),
    "images": torch.arange(8, dtype=torch.uint8).view(1, 2, 2, 2),
}
ABOUT = {"seconds": 0.1 + 0.2, "views": {"clean": 0.5, "blur": 1e-300}, "history": [1, None, "ü"]}


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    """A store with one entry."""
    filled = Store(tmp_path / "store")
    filled.write("networks", KEY, TENSORS, about=ABOUT)
    return filled


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].equal(other[name]) for name in one
    )


def test_an_entry_is_read_as_it_was_written(filled: Store) -> None:
    entry = filled.read("networks", KEY)
    assert entry is not None
    assert same(entry.tensors, TENSORS)
    assert entry.about == ABOUT
    assert list(entry.about["views"]) == ["clean", "blur"]
    assert entry.array("weights").tobytes() == TENSORS["weights"].numpy().tobytes()


def test_not_a_number_and_tensors_in_any_order_of_memory_come_back(filled: Store) -> None:
    turned = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    odd = torch.tensor([float("nan"), -0.0, float("inf"), 1e-45])
    filled.write("features", KEY, {"turned": turned, "part": turned[:, 1], "odd": odd}, about={"loss": float("nan")})
    entry = filled.read("features", KEY)
    assert entry is not None
    assert entry.tensors["turned"].equal(turned)
    assert entry.tensors["part"].equal(turned[:, 1])
    assert entry.array("odd").tobytes() == odd.numpy().tobytes()
    assert np.isnan(entry.about["loss"])


def test_a_missing_entry_is_none_and_leaves_no_trace(filled: Store, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert filled.read("networks", "ab13") is None
    assert filled.read("features", KEY) is None
    assert Store(tmp_path / "elsewhere").read("networks", KEY) is None
    assert sorted(tmp_path.rglob("*")) == before


def test_an_entry_is_one_file_that_anyone_may_read_whom_the_umask_lets(filled: Store, tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        filled.write("networks", "ff00", TENSORS, about={})
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)
    path = filled.path("networks", "ff00")
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.rglob("*ff00*")) == [path]


def _flipped(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def _from_another_key(path: Path) -> None:
    other = Store(path.parent / "other")
    other.write("networks", "ab13", TENSORS, about=ABOUT)
    other.path("networks", "ab13").replace(path)
    shutil.rmtree(other.folder)


def _from_another_kind(path: Path) -> None:
    other = Store(path.parent / "other")
    other.write("features", KEY, TENSORS, about=ABOUT)
    other.path("features", KEY).replace(path)
    shutil.rmtree(other.folder)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut to its header": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "cut by a byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "a bit of a tensor": lambda path: _flipped(path, path.stat().st_size - 1),
    "a bit of what is about": lambda path: _flipped(path, path.read_bytes().index(b"seconds")),
    "another key's": _from_another_key,
    "another kind's": _from_another_kind,
    "noise": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5_000)),
    "text": lambda path: path.write_text("404 not found", encoding="utf-8"),
    "someone else's": lambda path: save_file(TENSORS, path),
    "someone else's, with a header": lambda path: save_file(TENSORS, path, {"format": "pt"}),
    "someone else's, with a digest": lambda path: save_file(TENSORS, path, {"digest": "0" * 64, "about": "{}"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_removed_with_a_warning(damage: str, filled: Store) -> None:
    path = filled.path("networks", KEY)
    DAMAGES[damage](path)
    with pytest.warns(DamagedWarning) as caught:
        assert filled.read("networks", KEY) is None
    (warning,) = caught
    assert str(warning.message).startswith(f"{path} is damaged (")
    assert str(warning.message).endswith("; it is computed again")
    assert "\n" not in str(warning.message)
    assert not path.exists()
    assert filled.read("networks", KEY) is None  # and now there is nothing to warn of
    filled.write("networks", KEY, TENSORS, about=ABOUT)
    again = filled.read("networks", KEY)
    assert again is not None
    assert same(again.tensors, TENSORS)


def test_a_damaged_entry_that_cannot_be_removed_is_still_only_a_warning(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:  # noqa: ARG001
        raise PermissionError(13, "Permission denied", str(path))  # what a read-only folder says to all but root

    DAMAGES["cut by a byte"](filled.path("networks", KEY))
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.warns(DamagedWarning):
        assert filled.read("networks", KEY) is None


@pytest.mark.filterwarnings("ignore::kmpl.errors.DamagedWarning")
def test_no_flipped_bit_anywhere_goes_unnoticed(tmp_path: Path) -> None:
    small = Store(tmp_path)
    small.write("networks", KEY, {"w": torch.arange(3.0), "n": torch.tensor(7)}, about={"seconds": 1.5})
    path = small.path("networks", KEY)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for mask in (1, 0x80):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
            assert small.read("networks", KEY) is None, (at, mask)
        path.write_bytes(whole[:at])
        assert small.read("networks", KEY) is None, at
    path.write_bytes(whole)
    assert small.read("networks", KEY) is not None


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_writer_killed_half_way_leaves_what_was_there_before(which: str, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, torch; from pathlib import Path; from kmpl.store import store\n"
        "def half(tensors, draft, header):\n"
        "    written(tensors, draft, header); whole = draft.read_bytes(); draft.write_bytes(whole[:len(whole) // 2])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "written, store.save_file = store.save_file, half\n"
        "store.Store(Path(sys.argv[1])).write('networks', 'ab12', {'w': torch.ones(1000)}, about={})"
    )
    broken = Store(tmp_path)
    if which == "second":
        broken.write("networks", KEY, TENSORS, about=ABOUT)
    assert run(script, tmp_path).returncode == -9
    found = broken.read("networks", KEY)
    assert found is None if which == "first" else found is not None and same(found.tensors, TENSORS)
    (draft,) = tmp_path.rglob(".*")
    sizes = broken.sizes()
    assert sizes.pop("other") == (1, draft.stat().st_size)
    assert sizes.keys() == (set() if which == "first" else {"networks"})
    broken.write("networks", KEY, TENSORS, about=ABOUT)
    assert broken.read("networks", KEY) is not None


MANY = """
import os, sys, torch, warnings
from pathlib import Path
from kmpl.store.store import Store
warnings.simplefilter("error")
other = os.fork()  # before anything is computed with threads
store, tensors = Store(Path(sys.argv[1])), {"w": torch.arange(200_000.0)}
for i in range(60):
    store.write("networks", f"{i % 3:04x}", tensors, about={"i": i % 3})
    entry = store.read("networks", f"{i % 3:04x}")
    assert entry is not None and entry.about == {"i": i % 3} and entry.tensors["w"].equal(tensors["w"]), i
    assert store.sizes()["networks"][0] <= 3
sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) if other else 0)
"""


def test_two_processes_that_write_the_same_entries_at_once_both_read_whole_ones(tmp_path: Path) -> None:
    both = run(MANY, tmp_path)
    assert (both.returncode, both.stderr) == (0, "")
    assert sorted(p.name for p in (tmp_path / "v1").rglob("*") if p.is_file()) == [
        f"{i:04x}.safetensors" for i in range(3)
    ]


FULL_STORE = """
import resource, signal, sys, torch
from pathlib import Path
from kmpl.errors import UserError
from kmpl.store.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Store(Path(sys.argv[1])).write("networks", "ab12", {"w": torch.ones(100_000)}, about={})
except UserError as error:
    print(error)
"""


def test_where_there_is_no_room_an_entry_is_refused_in_one_line_and_the_one_before_stays(filled: Store) -> None:
    pytest.importorskip("resource", reason="limits of this kind are POSIX's")
    path = filled.path("networks", KEY)
    done = run(FULL_STORE, filled.folder)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"cannot write {path}: ")
    assert "File too large" in line
    assert [p for p in filled.folder.rglob("*") if p.is_file()] == [path]
    assert filled.read("networks", KEY) is not None


def test_a_store_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    nowhere = Store(tmp_path / "file")
    assert nowhere.read("networks", KEY) is None
    with pytest.raises(UserError, match=rf"^cannot write {nowhere.path('networks', KEY)}: [^\n]+$"):
        nowhere.write("networks", KEY, TENSORS, about=ABOUT)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_store_reads_and_refuses_to_write_in_one_line(filled: Store) -> None:
    folder = filled.path("networks", KEY).parent
    folder.chmod(0o500)
    try:
        assert filled.read("networks", KEY) is not None
        with pytest.raises(UserError, match=r"^cannot write .*: Permission denied$"):
            filled.write("networks", KEY, TENSORS, about=ABOUT)
    finally:
        folder.chmod(0o700)


def test_sizes_are_by_kind_and_clearing_removes_all(filled: Store, tmp_path: Path) -> None:
    filled.write("networks", "cd34", TENSORS, about=ABOUT)
    filled.write("features", KEY, {"f": torch.ones(100)}, about={})
    of_old = filled.folder / "v0" / "networks" / "ab" / f"{KEY}.safetensors"
    of_old.parent.mkdir(parents=True)
    of_old.write_bytes(b"old")
    size = filled.path("networks", KEY).stat().st_size
    assert filled.sizes() == {
        "features": (1, filled.path("features", KEY).stat().st_size),
        "networks": (2, 2 * size),
        "other": (1, 3),
    }
    filled.clear()
    assert filled.sizes() == {}
    assert list(tmp_path.iterdir()) == []
    filled.clear()  # nothing is left, and nothing is wrong with that
    filled.write("networks", KEY, TENSORS, about=ABOUT)
    assert filled.sizes() == {"networks": (1, size)}


def test_sizes_may_be_asked_while_a_writer_moves_its_file_into_place(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, looked_at = filled.path("networks", KEY).parent / ".draft", Path.is_file
    draft.touch()

    def moved_meanwhile(path: Path) -> bool:
        found = looked_at(path)
        if path == draft:
            draft.unlink()
        return found

    monkeypatch.setattr(Path, "is_file", moved_meanwhile)
    assert filled.sizes() == {"networks": (1, filled.path("networks", KEY).stat().st_size)}
    assert not draft.exists()


def test_a_store_that_cannot_be_cleared_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=rf"^cannot clear {tmp_path / 'file'}: Not a directory$"):
        Store(tmp_path / "file").clear()


def test_a_digest_tells_apart_what_the_bytes_alone_do_not() -> None:
    one = torch.arange(4, dtype=torch.int32)
    digests = {
        store.content_digest(tensors, about)
        for tensors, about in (
            ({"a": one}, ""),
            ({"a": one}, "about"),
            ({"b": one}, ""),
            ({"a": one.view(2, 2)}, ""),
            ({"a": one.view(torch.float32)}, ""),
            ({"a": one[:2], "b": one[2:]}, ""),
            ({"a": one + 1}, ""),
            ({}, ""),
            ({"a": one[:0]}, ""),
        )
    }
    assert len(digests) == 9
    assert store.content_digest({"a": one, "b": one[:1]}) == store.content_digest({"b": one[:1], "a": one})
    assert store.content_digest({"a": one.view(2, 2).t().contiguous()}) == store.content_digest(
        {"a": one.view(2, 2).t()}
    )
