"""``kmpl label-studio``: what is refused without a Label Studio, in one line."""

import http.server
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from kmpl.label_studio.access import TOKEN
from kmpl.runtime.servers import HOST, free_port

SECRET = "0123456789abcdef"


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.setenv(TOKEN, SECRET)


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[str]:
    """The address of a server of plain pages: no Label Studio."""
    handler = partial(Silent, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{HOST}:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def words(verb: str, url: str, *more: str) -> list[str]:
    outs = [] if verb == "push" else ["--out", "out.csv"]
    return ["label-studio", verb, "photos", "--url", url, "--project", "photos", *outs, *more]


@pytest.mark.parametrize("verb", ["push", "pull", "loop"])
def test_a_missing_token_is_named(verb: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN)
    assert f"{TOKEN} is not set; set it to the token" in refused(*words(verb, "http://localhost:8080"))


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_a_server_that_does_not_answer_is_named(verb: str, refused: Callable[..., str]) -> None:
    url = f"http://{HOST}:{free_port()}"
    line = refused(*words(verb, url))
    assert line.startswith(f"kmpl: {url}: Label Studio does not answer (")
    assert line.endswith("start it, or correct --url\n")
    assert SECRET not in line


def test_a_server_that_is_no_label_studio_is_named(refused: Callable[..., str], pages: str, tmp_path: Path) -> None:
    assert f"{pages}: answers, but is no Label Studio; correct --url" in refused(*words("pull", pages))
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "version").write_text("<html>", encoding="utf-8")
    assert f"{pages}: answers, but is no Label Studio; correct --url" in refused(*words("pull", pages))


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("localhost:8080", "--url localhost:8080: is no address of a server; give one as http://localhost:8080"),
        ("http://localhost:port", "is no address of a server"),
        ("http://me:hidden@host", f"--url: give the address alone, and the token in {TOKEN}"),
    ],
)
def test_addresses_that_are_none_are_refused(url: str, line: str, refused: Callable[..., str]) -> None:
    said = refused(*words("pull", url))
    assert line in said
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--new", "0"), "--new 0: give at least 1"),
        (("--every", "0"), "--every 0: give at least 1"),
        (("--upload", "--server-path", "/data/photos"), "--upload and --server-path"),
        (("--server-path", "photos"), "--server-path photos: give a path from the root"),
        (("--gallery", "nowhere/page.html"), "there is no folder"),
        (("--backbone", "nonsense"), "nonsense"),
    ],
)
def test_flags_that_cannot_be_are_refused_before_any_request(
    more: tuple[str, ...], line: str, refused: Callable[..., str]
) -> None:
    assert line in refused(*words("loop", "http://localhost:1", *more))


def test_a_token_with_blanks_is_refused_and_not_repeated(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "two words")
    line = refused(*words("pull", "http://localhost:1"))
    assert f"{TOKEN} is no token" in line
    assert "two words" not in line
