"""The journal: killed anywhere, nothing is lost but the line that was being written."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kmpl.errors import FileError
from kmpl.review.decisions import ClusterNamed, RoundStarted, Undo
from kmpl.review.journal import FILE, Journal, open_journal

ROWS = (
    RoundStarted(clusters=(("a.png", "ö b.png"), ("c.png",))),
    ClusterNamed(cluster=0, label="Käfer"),
    Undo(),
    ClusterNamed(cluster=1, label="cat"),
)


def test_cut_at_any_byte_it_holds_the_whole_lines_before(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        for row in ROWS:
            journal.append(row)
    whole = (tmp_path / FILE).read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        (tmp_path / FILE).write_bytes(whole[:length])
        n_whole = sum(end <= length for end in ends)
        with open_journal(tmp_path) as journal:
            assert journal.rows == list(ROWS[:n_whole])
            journal.append(Undo())
        with open_journal(tmp_path) as journal:
            assert journal.rows == [*ROWS[:n_whole], Undo()]


def test_a_line_that_was_promised_survives_a_kill(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from kmpl.review.decisions import ClusterNamed; from kmpl.review.journal import open_journal\n"
        "with open_journal(Path(sys.argv[1])) as journal:\n"
        "    for number in range(10**6):\n"
        "        journal.append(ClusterNamed(cluster=number, label='x'))\n"
        "        print(number, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < 20:
            pass
        writer.send_signal(signal.SIGKILL)
        last = int(([*writer.stdout.read().split("\n"), ""][-3:-1] or ["20"])[-1] or 20)
    with open_journal(tmp_path) as journal:
        assert not journal.read_only, "a killed process holds no lock"
        assert [row.cluster for row in journal.rows if isinstance(row, ClusterNamed)][: last + 1] == [*range(last + 1)]


def test_who_comes_second_only_reads_and_sees_what_the_first_writes(tmp_path: Path) -> None:
    with open_journal(tmp_path) as first:
        first.append(ROWS[0])
        second = Journal(tmp_path / FILE, read_only=True)
        with open_journal(tmp_path) as third:
            assert third.read_only
        with pytest.raises(FileError, match="another process writes it"):
            second.append(ROWS[1])
        first.append(ROWS[1])
        assert second.refresh()
        assert second.rows == list(ROWS[:2])
        assert not second.refresh()


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.append(ROWS[0])
    with (tmp_path / FILE).open("a") as file:
        file.write('{"kind":"guess"}\n')
    with pytest.raises(FileError, match=r"line 2: is damaged; remove the lines from there on"), open_journal(tmp_path):
        pass
