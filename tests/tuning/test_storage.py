"""Where studies are kept: what is chosen, what does not answer, what a kill left half-written."""

import warnings
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from kmpl.errors import DamagedWarning, UserError
from kmpl.runtime.servers import free_port, masked
from kmpl.tuning.storage import open_studies, storage_address, studies_file


def journal(folder: Path) -> Path:
    """Return a real journal of one study with two trials."""
    path = folder / "optuna.journal"
    study = optuna.create_study(storage=open_studies(str(path)), study_name="one")
    study.tell(study.ask(), 0.5)
    study.tell(study.ask(), 0.7)
    return path


def test_the_flag_wins_over_the_environment_and_both_over_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    assert storage_address(tmp_path) == str(tmp_path / "optuna.journal")
    monkeypatch.setenv("OPTUNA_STORAGE", "sqlite:///env.db")
    assert storage_address(tmp_path) == "sqlite:///env.db"
    assert storage_address(tmp_path, "postgresql://host/db") == "postgresql://host/db"


def test_the_file_of_studies_is_known_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert studies_file("mlruns/optuna.journal") == tmp_path / "mlruns" / "optuna.journal"
    assert studies_file("sqlite:///studies.db") == tmp_path / "studies.db"
    assert studies_file("postgresql://host/db") is None


def test_any_database_will_do(tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_studies(f"sqlite:///{tmp_path}/studies.db"), study_name="one")
    study.tell(study.ask(), 0.5)
    assert (
        optuna.load_study(study_name="one", storage=open_studies(f"sqlite:///{tmp_path}/studies.db")).best_value == 0.5
    )


@pytest.mark.parametrize(
    "where",
    ["postgresql://me:secret@127.0.0.1:{port}/db", "sqlite:////no/such/folder/studies.db", "nosuchdatabase://host/db"],
)
def test_a_storage_that_does_not_answer_is_one_line_without_its_password(where: str) -> None:
    with pytest.raises(UserError, match="does not answer") as refused:
        open_studies(where.format(port=free_port()))
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_missing_driver_is_told_apart_from_a_database_that_is_not_up() -> None:
    with pytest.raises(UserError, match=r"its driver is not installed; install kmpl\[postgres\]") as refused:
        open_studies("postgresql+pg8000://me:secret@127.0.0.1:1/db")
    assert "start it" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_passwords_are_masked_wherever_they_stand() -> None:
    text = "kmpl tune --storage postgresql://me:p%40ss@db.example/x --name a"
    assert masked(text) == "kmpl tune --storage postgresql://me:***@db.example/x --name a"
    assert masked("postgresql://db.example:5432/x") == "postgresql://db.example:5432/x"


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_cut_off_by_a_kill_is_taken_away_and_all_before_it_is_kept(tmp_path: Path, cut: int) -> None:
    path = journal(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[1][:-cut])
    with pytest.warns(DamagedWarning, match="the last line was incomplete"):
        storage = open_studies(str(path))
    study = optuna.load_study(study_name="one", storage=storage)
    assert [t.value for t in study.trials] == [0.5, 0.7]
    study.tell(study.ask(), 0.1)  # and what comes after stands in a line of its own
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert optuna.load_study(study_name="one", storage=open_studies(str(path))).best_value == 0.1


@pytest.mark.parametrize("cut", [b'{"op_code":4,"worker_id":"x', b"\0" * 200_000, b'{"op_code"' + b"\0" * 5])
def test_what_a_process_leaves_that_dies_while_another_is_at_work_harms_nothing(tmp_path: Path, cut: bytes) -> None:
    """Half a line of a killed process, or the NULs that a loss of power leaves."""
    path = journal(tmp_path)
    here, there = (optuna.load_study(study_name="one", storage=open_studies(str(path))) for _ in range(2))
    with path.open("ab") as file:
        file.write(cut)
    assert len(there.trials) == 2, "who only reads sees what is whole"
    with pytest.warns(DamagedWarning, match=f"the last line was incomplete; its {len(cut)} bytes were removed"):
        trial = here.ask()
    here.tell(trial, 0.9)
    there.tell(there.ask(), 0.8)
    assert [t.value for t in here.trials] == [t.value for t in there.trials] == [0.5, 0.7, 0.9, 0.8]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(optuna.load_study(study_name="one", storage=open_studies(str(path))).trials) == 4


@pytest.mark.parametrize("cut", [b'{"op_code":4,"worker_id":"x', b"\0" * 5_000])
def test_optunas_own_journal_loses_what_comes_after_half_a_line(tmp_path: Path, cut: bytes) -> None:
    """If this fails, Optuna has mended it, and ``MendedJournal`` may go."""
    path = journal(tmp_path)
    with path.open("ab") as file:
        file.write(cut)
    own = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.load_study(study_name="one", storage=own)
    assert len(study.trials) == 2
    with pytest.raises((AttributeError, AssertionError, UnicodeDecodeError)):
        study.ask()
    with pytest.raises(UserError, match="is damaged"):
        open_studies(str(path))


@pytest.mark.parametrize("cut", [b"\0" * 5_000, b'{"op_code"' + b"\0" * 5])
def test_nuls_at_the_end_after_a_loss_of_power_are_taken_away(tmp_path: Path, cut: bytes) -> None:
    path = journal(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + cut)
    with pytest.warns(DamagedWarning, match=f"its {len(cut)} bytes were removed"):
        open_studies(str(path))
    assert path.read_bytes() == whole


def test_a_line_cut_in_the_middle_of_the_last_trial_leaves_that_trial_running(tmp_path: Path) -> None:
    path = journal(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(DamagedWarning):
        study = optuna.load_study(study_name="one", storage=open_studies(str(path)))
    assert [t.state.name for t in study.trials] == ["COMPLETE", "RUNNING"]


def test_damage_before_the_end_is_refused_with_its_line(tmp_path: Path) -> None:
    path = journal(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2][:-9] + b"\n", *lines[3:]]))
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"optuna\.journal, line 3, is damaged"):
        open_studies(str(path))
    assert path.read_bytes() == before


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1, is damaged"):
        open_studies(str(tmp_path / "notes.txt"))
    (tmp_path / "other.json").write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(UserError, match="no journal of studies"):
        open_studies(str(tmp_path / "other.json"))
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write"):
        open_studies(str(tmp_path / "file" / "optuna.journal"))
