"""Fixtures of the tests on a real Label Studio: one server for all of them, a folder of photographs, the command."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from label_studio_server import TOKEN, LabelStudio, program
from photographs import write_photographs

from kmpl.cli import main
from kmpl.label_studio import access

PER_CLASS = 7


@pytest.fixture(scope="session")
def label_studio_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return program(tmp_path_factory.mktemp("label studio") / "venv")


@pytest.fixture(scope="session")
def served_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served").resolve()


@pytest.fixture(scope="session")
def server(
    label_studio_program: str, served_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabelStudio]:
    server = LabelStudio(label_studio_program, tmp_path_factory.mktemp("data"), served_root)
    server.start()
    yield server
    server.kill()
    server.http.close()


@pytest.fixture(scope="session")
def photos(served_root: Path) -> tuple[Path, dict[str, str]]:
    """A folder below the server's document root, not directly in it, and the class of each image."""
    folder = served_root / "deep er" / "photos"
    return folder, write_photographs(folder, per_class=PER_CLASS, suffix=" (1).jpg")


@pytest.fixture
def run(
    server: LabelStudio,
    photos: tuple[Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Return what runs the command on the folder and returns what it prints."""
    monkeypatch.setenv(access.TOKEN, TOKEN)
    monkeypatch.chdir(tmp_path)

    def run(verb: str, project: str, *more: str, status: int = 0, folder: Path | None = None) -> str:
        words = ["label-studio", verb, str(folder or photos[0]), "--url", server.url, "--project", project, *more]
        capsys.readouterr()
        assert main(words) == status, capsys.readouterr().err
        said = capsys.readouterr()
        return said.err if status else said.out

    return run
