"""Files are whole or absent: under failure, under a kill, and where there is no room."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kmpl import networks, store
from kmpl.errors import UserError


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, because limits and kills spread."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_finished_file_is_there_alone_with_all_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    with store.whole_file(path) as draft:
        draft.write_bytes(b"whole")
        assert not path.exists()
        assert draft.parent == path.parent  # the same file system, or the move would not be atomic
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_finished_file_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("first", "second"):
        with store.whole_file(path) as draft:
            draft.write_text(text)
    assert path.read_text() == "second"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_half_way_leaves_the_good_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("good")

    def write_half() -> None:
        with store.whole_file(path) as draft:
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
        "import os, signal, sys; from pathlib import Path; from kmpl.store import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as draft:\n"
        "    draft.write_text('ha'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert run(script, path).returncode == -9
    assert path.read_text() == "good"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    wanted = tmp_path / "file" / "below"
    with pytest.raises(UserError, match=rf"^cannot write {wanted}: ") as caught, store.whole_file(wanted):
        pytest.fail("there is nowhere to write")
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_overwritten_by_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(UserError, match=rf"^cannot write {folder}: Is a directory"), store.whole_file(folder) as draft:
        draft.write_text("file")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"), store.whole_file(tmp_path / "file"):
        pytest.fail("there is nowhere to write")


def test_a_network_comes_back_bit_for_bit(tmp_path: Path) -> None:
    saved = networks.build("cnn", 3, 10, 0)
    saved(torch.rand(8, 3, 28, 28))  # moves batch norm's running statistics, which belong to the state
    store.save_network(saved, tmp_path / "net.safetensors")
    loaded = networks.build("cnn", 3, 10, 1)
    store.load_network(loaded, tmp_path / "net.safetensors")
    before, after = saved.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    for key, tensor in before.items():
        assert torch.equal(tensor, after[key]), key
        assert tensor.dtype == after[key].dtype, key


def test_a_reloaded_network_predicts_the_same_bits(tmp_path: Path) -> None:
    saved, loaded = networks.build("cnn", 1, 10, 0).eval(), networks.build("cnn", 1, 10, 1).eval()
    store.save_network(saved, tmp_path / "net.safetensors")
    store.load_network(loaded, tmp_path / "net.safetensors")
    images = torch.rand(8, 1, 28, 28)
    with torch.inference_mode():
        assert torch.equal(saved(images), loaded(images))


def test_the_same_network_saves_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        store.save_network(networks.build("cnn", 1, 10, 0), tmp_path / name)
    store.save_network(networks.build("cnn", 1, 10, 1), tmp_path / "three")
    assert store.sha256(tmp_path / "one") == store.sha256(tmp_path / "two") != store.sha256(tmp_path / "three")


FULL = """
import resource, signal, sys
from pathlib import Path
from kmpl import networks, store
from kmpl.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.save_network(networks.build("cnn", 1, 10, 0), Path(sys.argv[1]))
except UserError as error:
    print(error)
"""


def test_where_there_is_no_room_saving_says_so_in_one_line_and_leaves_the_good_file_alone(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="limits of this kind are POSIX's")
    path = tmp_path / "net.safetensors"
    store.save_network(networks.build("cnn", 1, 10, 1), path)
    before = store.sha256(path)
    done = run(FULL, path)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"cannot write {path}: ")
    assert "File too large" in line
    assert list(tmp_path.iterdir()) == [path]
    assert store.sha256(path) == before


def test_sha256_is_the_standards(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert store.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    long = os.urandom(3_000_000)
    path.write_bytes(long)
    assert store.sha256(path) == hashlib.sha256(long).hexdigest()


def test_the_cache_is_where_kmpl_cache_says_or_where_the_system_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KMPL_CACHE", str(tmp_path))
    assert store.cache_folder() == tmp_path
    monkeypatch.delenv("KMPL_CACHE")
    assert store.cache_folder().name == "kmpl"
