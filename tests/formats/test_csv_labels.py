"""Labels of a CSV: which words give none, which column counts, and whose labels those of a kmpl CSV are."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kmpl.errors import UserError
from kmpl.formats.class_names import NO_LABEL
from kmpl.formats.csv_labels import read_labels
from kmpl.formats.folder_labels import labels_of_folders
from kmpl.formats.given_labels import GivenLabels, Rules

Read = Callable[..., GivenLabels]
FILES = tuple(f"{name}.png" for name in "abcdefgh")
KMPL = "file,label,confidence,cluster,round,source,assigned\n"
WRITTEN = {
    "a": "a.png,cat,1.0000,0,0,given,\n",
    "b": "b.png,dog,0.9000,0,1,assigned,dog\n",
    "c": "c.png,dog,0.8000,1,1,assigned,dog\n",
    "d": "d.png,,0.3000,1,,,\n",
}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str, **rules: object) -> GivenLabels:
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding="utf-8")
        return read_labels(path, tmp_path, FILES, Rules(**rules))  # type: ignore[arg-type]

    return read


def kmpl(**changed: str) -> str:
    """Return what ``kmpl label`` wrote, with some rows as a person left them."""
    return KMPL + "".join((WRITTEN | changed).values())


@pytest.mark.parametrize("word", [*sorted(NO_LABEL), "NaN", "None", "N/A", "NULL", "Unlabelled", " nan "])
def test_words_for_no_label_give_none_and_a_folder_and_a_csv_agree(read: Read, word: str) -> None:
    found = [(read(f"file,label\na.png,cat\nb.png,{word}\nc.png,{word}\nd.png,\n"), "row")]
    if "/" not in word:  # which no folder is called
        found += [(labels_of_folders(["cat/a.png", f"{word}/b.png", f"{word}/c.png", "d.png"]), "image")]
    for given, what in found:
        assert set(given.labels.values()) == {"cat"}
        (note,) = given.notes
        assert note.startswith(f"2 {what}s are read as not labelled (2 × '{word.strip()}'); to keep one as a class: ")
    kept = Rules(class_named=(word,))
    assert read(f"file,label\na.png,{word}\n", class_named=(word,)).labels == {"a.png": word.strip()}
    if "/" not in word:
        assert labels_of_folders([f"{word}/b.png"], rules=kept).labels == {f"{word}/b.png": word.strip()}


def test_the_flag_that_is_named_is_the_one_that_helps(read: Read) -> None:
    (note,) = read("file,label\na.png,?\nb.png,?\nc.png,nan\n").notes
    assert note.endswith("(2 × '?', 1 × 'nan'); to keep one as a class: --class-named '?'")
    assert read("file,label\na.png,-1\n").notes[0].endswith("--class-named=-1")
    with pytest.raises(UserError, match=r"--class-named dog: 'dog' is a class anyway"):
        Rules(class_named=("dog",))


def test_a_label_that_is_given_later_wins_over_a_word_for_none(read: Read) -> None:
    assert read("file,label\na.png,nan\na.png,cat\n").labels == {"a.png": "cat"}


def test_spellings_that_are_certainly_one_class_are_one_and_others_are_named(read: Read) -> None:
    found = read("file,label\na.png,café\nb.png,cafe\u0301\nc.png,\u200bcafé \nd.png,Café\ne.png,01\nf.png,1\n")
    assert sorted(found.labels.values()) == ["01", "1", "Café", "café", "café", "café"]
    (note,) = found.notes
    assert note.startswith("classes that read alike: '01' (1 label) and '1' (1); 'Café' (1 label) and 'café' (3); ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'file,label\na.png,"cat\nb.png,dog\nc.png,cat"\nd.png,cat\n',
            r"line 2: a quote .* takes in line 3, which names b.png",
        ),
        ('file,label,by\na.png,cat,"me\n.\\b.png,dog,you"\n', r"line 2: a quote .* takes in line 3, which names b.png"),
        ("file,label\na.png;cat\n", r"line 2: has 1 of 2 columns; the first line has ',' between them"),
        ("file,label,file\na.png,cat,b.png\n", "two columns are called file"),
        ('file,label\na.png,"{""choices"":[""cat"",""dog""]}"\n', r"line 2: gives several classes, .*; give one"),
    ],
)
def test_a_csv_that_would_be_misread_is_refused(read: Read, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(text)


def test_a_comment_of_several_lines_is_no_row_that_was_swallowed(read: Read) -> None:
    found = read('file,label,by\na.png,cat,"me,\nat home, /etc/x\nC:\\b.png, not here"\nb.png,dog,\n')
    assert found.labels == {"a.png": "cat", "b.png": "dog"}


@pytest.mark.parametrize(
    ("text", "labels", "said"),
    [
        (
            "file,label,label\na.png,cat,cat\nb.png,cat,dog\nc.png,,dog\n",
            ["cat", "cat", "dog"],
            r"label \(column 2\) and label \(column 3\) disagree in 1 row, first in line 3: 'cat' and 'dog'; "
            r"label \(column 2\) counts",
        ),
        (
            "choice,file,label\ndog,a.png,cat\ndog,b.png,\ncat,c.png,cat\n",
            ["cat", "cat"],
            r"label \(column 3\) and choice \(column 1\) disagree in 2 rows, first in line 2: 'cat' and 'dog'; "
            r"label \(column 3\) counts",
        ),
        (
            "annotation_id,choice,file,label\n7,dog,a.png,cat\n,,b.png,cat\n8,cat,c.png,\n",
            ["dog", "cat", "cat"],
            r"choice \(column 2\) and label \(column 4\) disagree in 1 row, first in line 2: 'dog' and 'cat'; "
            r"choice \(column 2\) counts",
        ),
    ],
    ids=["two labels", "a choice", "Label Studio's choice"],
)
def test_columns_that_disagree_are_named_with_the_one_that_counts(
    read: Read, text: str, labels: list[str], said: str
) -> None:
    found = read(text)
    assert list(found.labels.values()) == labels
    (note,) = found.notes
    assert re.fullmatch(said, note)


def test_columns_that_agree_are_not_spoken_of(read: Read) -> None:
    assert read("file,label,choice,label\na.png,cat, cat ,nan\n").notes == ()


# What a person hands over is a label; what kmpl assigned and nobody touched is not taken for one in silence.


def test_kmpls_own_labels_untouched_are_refused_unless_they_are_trusted(read: Read) -> None:
    with pytest.raises(UserError, match=r"2 of 3 labels are kmpl's own .* none was changed .* --trust assigned .*"):
        read(kmpl())
    assert read(kmpl(), trust="assigned") == GivenLabels({"a.png": "cat", "b.png": "dog", "c.png": "dog"})
    assert read(kmpl(), trust="given") == GivenLabels({"a.png": "cat"})
    assert read(kmpl(), trust="assigned").unreviewed == {"b.png", "c.png"}
    assert not read(kmpl(), trust="given").unreviewed


def test_nor_are_they_a_persons_by_being_sorted_or_in_part_or_saved_by_a_spreadsheet(read: Read) -> None:
    for text in (KMPL + WRITTEN["c"] + WRITTEN["b"], kmpl().replace("0.9000", "0.9").replace(",", ";")):
        with pytest.raises(UserError, match="none was changed or added by hand"):
            read(text)


@pytest.mark.parametrize(
    ("changed", "labels", "work"),
    [
        ({"b": "b.png,cat,0.9000,0,1,assigned,dog\n"}, {"b.png": "cat", "c.png": "dog"}, "1 changed and 0 added"),
        ({"b": "b.png,,0.9000,0,1,assigned,dog\n"}, {"c.png": "dog"}, "1 changed and 0 added"),
        ({"d": "d.png,cat,0.3000,1,,,\n"}, {"b.png": "dog", "c.png": "dog", "d.png": "cat"}, "0 changed and 1 added"),
        ({"e": "e.png,cat\n"}, {"b.png": "dog", "c.png": "dog", "e.png": "cat"}, "0 changed and 1 added"),
        ({"e": "b.png,cat\n"}, {"b.png": "cat", "c.png": "dog"}, "0 changed and 1 added"),
    ],
    ids=["corrected", "emptied", "completed", "a row more", "a row that says otherwise"],
)
def test_in_a_file_that_a_person_worked_on_every_label_counts_and_it_is_said(
    read: Read, changed: dict[str, str], labels: dict[str, str], work: str
) -> None:
    found = read(kmpl(**changed))
    assert found.labels == {"a.png": "cat"} | labels
    (note,) = found.notes
    assert "labels are kmpl's own (source=assigned) and count as given, too" in note
    assert f"because of {work} by hand; --trust given leaves them out" in note
    theirs = {
        file: label for file, label in labels.items() if (file, label) not in {("b.png", "dog"), ("c.png", "dog")}
    }
    assert read(kmpl(**changed), trust="given") == GivenLabels({"a.png": "cat"} | theirs)
    assert read(kmpl(**changed), trust="assigned").labels == {"a.png": "cat"} | labels


def test_a_cleared_source_makes_labels_a_persons_own(read: Read) -> None:
    assert read(kmpl().replace(",assigned,", ",,")) == GivenLabels({"a.png": "cat", "b.png": "dog", "c.png": "dog"})


def test_where_nothing_keeps_what_was_assigned_it_is_said_that_changes_cannot_be_told(read: Read) -> None:
    before = "file,label,confidence,source\na.png,cat,1,given\nb.png,dog,0.9,assigned\nc.png,,0.1,\n"
    with pytest.raises(UserError, match=r"1 of 2 .* the column assigned is missing, so .* cannot be seen; .* --trust"):
        read(before)
    assert read(before, trust="assigned") == GivenLabels({"a.png": "cat", "b.png": "dog"})
    found = read(before, trust="given")
    assert found.labels == {"a.png": "cat"}
    assert "1 of 2 labels are kmpl's own (source=assigned) and do not count; the column assigned" in found.notes[0]
    assert read(before.replace("c.png,,", "c.png,cat,")).labels == {"a.png": "cat", "b.png": "dog", "c.png": "cat"}


# Label Studio writes the columns of the data beside its own, in the order of the alphabet.
STUDIO = "annotation_id,annotator,assigned,choice,confidence,file,id,image,label,lead_time,source\n"


def test_labels_chosen_in_label_studio_are_a_persons_whatever_kmpl_had_assigned(read: Read) -> None:
    rows = "1,1,dog,cat,0.9,b.png,1,x,dog,2.5,assigned\n2,1,dog,dog,0.8,c.png,2,x,dog,2.5,assigned\n"
    found = read(STUDIO + rows)
    assert found.labels == {"b.png": "cat", "c.png": "dog"}
    (note,) = found.notes
    assert "choice (column 4) counts" in note
    unseen = ",,dog,,0.8,d.png,3,x,dog,,assigned\n,,,,1,a.png,4,x,cat,,given\n"
    found = read(STUDIO + rows + unseen)
    assert found.labels == {"a.png": "cat", "b.png": "cat", "c.png": "dog"}
    assert (
        "1 of 4 labels are kmpl's own (source=assigned) and nobody annotated them, so they do not count"
        in found.notes[1]
    )
    assert read(STUDIO + rows + unseen, trust="assigned").labels["d.png"] == "dog"
    with pytest.raises(UserError, match="none was changed or added by hand"):
        read(STUDIO + unseen)


def test_where_label_studio_calls_the_annotation_label_it_is_a_persons_too(read: Read) -> None:
    rows = "cat,1,dog,b.png,dog,assigned\ndog,2,dog,c.png,dog,assigned\n"
    head = "label,annotation_id,_data_label,file,assigned,source\n"
    assert read(head + rows) == GivenLabels({"b.png": "cat", "c.png": "dog"})
