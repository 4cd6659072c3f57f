"""CSVs as they come: the separator is told by the columns, and what cannot be read strictly is refused by line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kmpl.errors import UserError
from kmpl.formats.csv_rows import Row, open_table

Read = Callable[[str], list[Row]]
NEEDED = ("file", "label")


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str) -> list[Row]:
        path = tmp_path / "labels.csv"
        path.write_bytes(text.encode())
        return list(open_table(path, NEEDED).rows())

    return read


def cells(rows: list[Row]) -> list[list[str]]:
    return [row.cells for row in rows]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", ["", "\ufeff", "sep={}", "\ufeffSEP={}", '"sep={}"'])
def test_separator_line_ends_and_the_hint_to_excel(read: Read, mark: str, end: str, first: str) -> None:
    hint = first.format(mark) + (end if "=" in first else "")
    rows = read(hint + end.join([f"file{mark}label", "", f'a.png{mark}"big{mark} red"', f"b.png{mark}cat"]))
    assert cells(rows) == [["a.png", f"big{mark} red"], ["b.png", "cat"]]
    assert [row.line for row in rows] == [3 + ("=" in first), 4 + ("=" in first)]


def test_the_separator_is_the_one_that_gives_the_columns_not_the_most_frequent(read: Read) -> None:
    assert cells(read("file,label,by;at;with;for\na.png,cat,x\n")) == [["a.png", "cat", "x"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label;by\na.png,cat;me\n", r"labels.csv line 1: 'file,label;by': its separators are mixed; use commas"),
        ("sep=;\nfile,label\na.png,cat\n", r"line 2: 'file,label': 'sep=;' does not name its separator"),
        ("sep=;\n", "the first line must name the columns file and label; it is ''"),
        ('file,"label\na.png,cat\n', "the first line must name the columns file and label"),
        ('file,label\na.png,"cat\nb.png,dog\nc.png,cat\n', r"line 2: a quote that opens here is never closed"),
        ('sep=,\nfile,label\n\na.png,cat\nb.png,"dog\n', r"line 5: a quote that opens here is never closed"),
        ('file,label\na.png,"cat\nb.png,"dog"\n', r"line 2: a quoted cell .* goes on behind its quote in line 3"),
        ('file,label\na.png,"ca"t\n', r"line 2: a quoted cell .* goes on behind its quote in line 2"),
        ('file,label\na.png, "cat\n', r"line 2: a quote that opens here is never closed"),
        (f'file,label\na.png,"{"cat " * 40_000}"\n', r"line 2: a quote that opens here is never closed"),
        ("file,label\na.png,big, red\n", r"line 2: has 3 cells, but the first line names 2 columns; put cells"),
    ],
)
def test_ambiguous_rows_are_refused_with_their_line(read: Read, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(text)


def test_quotes_blanks_and_empty_cells_as_people_write_them(read: Read) -> None:
    text = 'file, label , by\na.png, "big, cat", "me"\nb.png,5" pipe,,,\n c.png,"say ""hi"", then"\n'
    assert cells(read(text)) == [
        ["a.png", "big, cat", "me"],
        ["b.png", '5" pipe', "", "", ""],
        [" c.png", 'say "hi", then'],
    ]


def test_a_cell_may_have_lines(read: Read) -> None:
    (row, other) = read('file,label,by\na.png,cat,"me,\nat home"\nb.png,dog,\n')
    assert (row.cells, row.line, row.following) == (["a.png", "cat", "me,\nat home"], 2, ['at home"\n'])
    assert other.line == 4
