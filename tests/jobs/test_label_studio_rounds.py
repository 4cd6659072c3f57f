"""Pull, label and push: an absent server is waited for, and not for ever."""

from pathlib import Path

import pytest

from kmpl.errors import UserError
from kmpl.formats.given_labels import GivenLabels
from kmpl.jobs import label_studio
from kmpl.jobs.label_files import Files
from kmpl.jobs.label_studio import Place, patiently, push_labels
from kmpl.label_studio.access import TOKEN
from kmpl.label_studio.client import RefusedError, UnreachableError
from kmpl.runtime.servers import HOST, free_port


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is slept, without sleeping."""
    slept: list[float] = []
    monkeypatch.setattr(label_studio.time, "sleep", slept.append)
    return slept


def test_work_begins_anew_until_the_server_is_back(pauses: list[float]) -> None:
    answers: list[object] = [UnreachableError("away; start it", "url"), UnreachableError("away; start it", "url"), 7]
    said: list[str] = []

    def work() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(work, said.append) == 7
    assert (pauses, said) == ([1, 2], ["away; again in 1 s", "away; again in 2 s"])


def test_a_server_that_stays_away_for_a_minute_is_named(
    pauses: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.setenv(TOKEN, "0123456789abcdef")
    place = Place(folder=tmp_path, url=f"http://{HOST}:{free_port()}", project="photos")
    with pytest.raises(UserError, match="Label Studio does not answer"):
        patiently(lambda: push_labels(place, None, label_studio.NO_RULES, print), print)
    assert sum(pauses) == 60


def test_what_a_server_refuses_is_not_tried_again(pauses: list[float]) -> None:
    def work() -> None:
        raise RefusedError("no", "url", 403)

    with pytest.raises(UserError, match="no"):
        patiently(work, print)
    assert not pauses


def test_a_labelling_keeps_where_its_files_lie_later_and_no_draft(tmp_path: Path) -> None:
    """``kmpl label --new-files`` looks for them there."""
    kept = []

    def label(drafts: Files) -> None:
        assert drafts.labels is not None
        kept.append((drafts.lasting(drafts.out), drafts.lasting(drafts.labels)))
        for path in (drafts.out, drafts.check_file):
            path.touch()

    label_studio._label(Files(tmp_path / "pictures", tmp_path / "out.csv"), GivenLabels({"a.png": "cat"}), label)
    assert kept == [(tmp_path / "out.csv", tmp_path / "out.given.csv")]
    assert all(path.exists() for path in kept[0])
