"""``kmpl review`` as a process: its page for this machine alone, its end, and what it refuses."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from reviewing import Digits, Running, rows, running, write_digits, write_labels
from terminal import one_line, without_prefect


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("review")
    with running(write_digits(root, 60), root) as process:
        yield process


def test_without_the_token_nothing_is_shown(page: Running) -> None:
    assert page.get()[0] == 200
    for path in ("", "state", "thumbnail/0", "static/review.js"):
        assert page.get(path, token="wrong")[0] == 403
    assert page.get(token="")[0] == 403
    assert b"lacks its token" in page.get("state", token="wrong")[1]


def test_another_host_is_refused(page: Running) -> None:
    port = page.address.split(":")[2].split("/")[0]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1:1", "127.0.0.1"):
        assert page.get("state", host=host) == (403, b"this page is for this machine only")
    assert page.get("state", host=f"localhost:{port}")[0] == 200


def test_only_the_pages_own_files_are_served(page: Running) -> None:
    assert page.get("static/review.css")[0] == 200
    for path in ("static/..%2Fapp.py", "static/../app.py", "static/review.html", "thumbnail/999", "thumbnail/-1"):
        assert page.get(path)[0] in (403, 404, 422), path


def test_every_kind_of_picture_is_served(page: Running) -> None:
    assert page.get("thumbnail/0")[1].startswith(b"\x89PNG")
    assert page.get("picture/59")[1].startswith(b"\x89PNG")


def test_decisions_by_request(page: Running) -> None:
    first = page.state()["queue"][0]
    status, state = page.post("decide", {"kind": "name", "cluster": first, "label": "five"})
    assert status == 200
    assert state["counts"]["cluster"] == next(c["size"] for c in state["clusters"] if c["number"] == first)
    status, members = page.get(f"cluster/{first}")
    assert {image["label"] for image in json.loads(members)["images"]} == {"five"}
    assert page.post("decide", {"kind": "name", "cluster": 999, "label": "x"}) == (
        409,
        {"error": "cluster 999: there is no such cluster"},
    )
    assert page.post("decide", {"kind": "round", "clusters": []})[0] == 422
    assert page.post("undo")[1]["cluster"] == first
    assert page.state()["counts"]["cluster"] == 0


def test_ctrl_c_writes_the_labels_and_a_second_process_only_reads(tmp_path: Path) -> None:
    digits = write_digits(tmp_path, 60)
    with running(digits, tmp_path) as first:
        queue = first.state()["queue"]
        first.post("decide", {"kind": "name", "cluster": queue[0], "label": "one"})
        with running(digits, tmp_path) as second:
            assert second.state()["read_only"]
            status, answer = second.post("decide", {"kind": "name", "cluster": queue[1], "label": "two"})
            assert status == 409
            assert "another process writes it" in answer["error"]
            first.post("decide", {"kind": "name", "cluster": queue[1], "label": "two"})
            assert [one["name"] for one in second.state()["classes"]] == ["one", "two"], "it sees the first one's"
            status, _, errors = second.interrupt()
            assert status == 0
            assert one_line(errors) == "kmpl: another process has this review open; here it can only be read\n"
        assert not (tmp_path / "labels.csv").exists()
        status, out, errors = first.interrupt()
    assert (status, errors) == (0, "")
    table = rows(tmp_path / "labels.csv")
    assert {row["label"] for row in table.values()} == {"one", "two", ""}
    assert "Written: labels.csv" in out
    assert f"Next, to label the rest: kmpl label {digits.folder} --labels labels.csv" in out


def test_killed_and_run_again_it_goes_on(tmp_path: Path) -> None:
    digits = write_digits(tmp_path, 60)
    write_labels(tmp_path / "labels.csv", {"000.png": "five", "001.png": "nought"})
    flags = ("--labels", "labels.csv", "--out", "reviewed.csv")
    with running(digits, tmp_path, *flags) as page:
        page.post("decide", {"kind": "name", "cluster": page.state()["queue"][0], "label": "one"})
        before = page.state()
        page.process.kill()
    with running(digits, tmp_path, *flags) as page:
        after = page.state()
        assert after["counts"] == before["counts"]
        assert after["clusters"] == before["clusters"]
        assert page.interrupt()[0] == 0
    assert rows(tmp_path / "reviewed.csv")["001.png"]["label"] == "nought"


@pytest.fixture
def digits(tmp_path: Path) -> Digits:
    return write_digits(tmp_path, 4)


def test_bad_input_is_one_line(digits: Digits, refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\n000.png,5\n")
    flags = digits.flags()
    assert "no-such: there is no such folder" in refused("review", "no-such")
    assert "clusters" in refused("review", "digits", "--clusters", "0")
    assert "port 99999 on 127.0.0.1 cannot be used" in refused("review", "digits", "--port", "99999")
    line = refused("review", "digits", "--labels", "labels.csv", *flags)
    assert line == "kmpl: --out labels.csv: is the same file as --labels; give another name\n"
    line = refused("review", "digits", *flags)
    assert line.endswith(
        "--out labels.csv: exists, and this review did not write it as it is; give --overwrite or another name\n"
    )
    shutil.copy("labels.csv", "digits/labels.csv")
    assert "is the same file as --labels" in refused("review", "digits", "--out", "digits/labels.csv", *flags)


def test_help_needs_nothing_heavy() -> None:
    script = (
        "import sys; from kmpl.cli import main; main(['review', '--help']);"
        "print([name for name in ('torch', 'fastapi', 'uvicorn', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=without_prefect()
    )
    assert done.stdout.endswith("[]\n")
