"""What was typed, and what to type next."""

import sys
from pathlib import Path

import pytest

from kmpl.runtime.typed_command import next_command, typed_command


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", [*words])


def test_a_password_in_an_address_is_never_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "/bin/kmpl", "tune", "--storage=postgresql://me:secret@host/db", "--name", "a b")
    assert typed_command() == "kmpl tune --storage=postgresql://me:***@host/db --name 'a b'"


def test_the_next_command_is_on_the_same_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "kmpl")
    assert next_command("ui", mlruns=Path("mlruns")) == "kmpl ui"
    assert next_command("report", "a b", mlruns=Path("other runs")) == "kmpl report 'a b' --mlruns 'other runs'"


def test_the_next_command_works_where_the_environment_is_not_active(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    typed(monkeypatch, ".venv/bin/kmpl")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert next_command("ui") == ".venv/bin/kmpl ui"
    (tmp_path / "kmpl").touch(mode=0o755)
    assert next_command("ui") == "kmpl ui"
    typed(monkeypatch, "/usr/bin/pytest")
    assert next_command("ui") == "kmpl ui"
