"""Names of classes: which mean that there is no label, and which read alike."""

import pytest

from kmpl.formats.class_names import means_no_label, means_part, normalise, similar_names


@pytest.mark.parametrize(
    "text",
    [
        "café",
        "cafe\u0301",
        " café\t",
        "ca\u200bfé",
        "\ufeffcafé",
        "café\u00a0",
        "caf\u00ad\u00e9",
        "café\u200d ",
        "\u2067café",
    ],
)
def test_spellings_of_one_class_become_one(text: str) -> None:
    assert normalise(text) == "caf\u00e9"


@pytest.mark.parametrize("name", ["big cat", "a/b", "👩\u200d🔬", "می\u200cخواهم", "01", "Cat", "²", "?!"])
def test_names_that_may_be_meant_stay_apart(name: str) -> None:
    assert normalise(name) == name
    assert not means_no_label(name)


@pytest.mark.parametrize("name", ["unknown", "nano", "nonesuch", "-", "1", "-2", "_", "other", "Nancy", "0"])
def test_a_word_that_says_something_is_a_class(name: str) -> None:
    assert not means_no_label(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "Cat"),
        ("STRASSE", "Straße"),
        ("big cat", "big_cat"),
        ("big cat", "big-cat"),
        ("big cat", "bigcat"),
        ("type 1", "type1"),
        ("1", "01"),
        ("class7", "class007"),
        ("3", "3.0"),
        ("A", "Ａ"),
        ("cat", "ca\u200dt"),
        ("❤", "❤\ufe0f"),
        ("cat", "сat"),  # the second begins with a Cyrillic letter
    ],
)
def test_two_that_read_alike_are_named_with_their_counts(one: str, other: str) -> None:
    (said,) = similar_names({one: 12, "dog": 3, other: 1})
    assert "(12 labels)" in said
    assert said.endswith("(1)")
    assert ascii(other) in said or f"'{other}'" in said


def test_names_that_look_the_same_are_spelt_out() -> None:
    assert similar_names({"cat": 2, "сat": 1}) == [r"'cat' (2 labels) and '\u0441at' (1)"]
    assert similar_names({"cat": 1, "ca\u200dt": 1}) == [r"'cat' (1 label) and 'ca\u200dt' (1)"]
    assert similar_names({"Кот": 2, "кот": 1}) == ["'Кот' (2 labels) and 'кот' (1)"]


@pytest.mark.parametrize(
    "names",
    [
        ("-1", "1"),
        ("1 1", "11"),
        ("1.5", "1.05"),
        ("10", "100"),
        ("cafe", "café"),
        ("0", "O"),
        ("1.1", "1.10"),
        ("v1", "v10"),
        ("two, 🐈", "two, 🐕"),
    ],
)
def test_names_that_read_differently_are_left_alone(names: tuple[str, str]) -> None:
    assert similar_names(dict.fromkeys(names, 1)) == []


def test_parts_of_a_data_set_are_known_by_the_names_that_people_give_them() -> None:
    for name in ("train", "TEST", "val-01", "valid", "dev", "train_2", "Test images", "training set", "testset"):
        assert means_part(name), name
    for name in ("trains", "trainer", "invalid", "testosterone", "valley", "development", "train station", "1"):
        assert not means_part(name), name
