"""Class labels as scikit-learn's users give them."""

import re

import numpy as np
import pandas as pd
import pytest

from kmpl.errors import LabelsWarning
from kmpl.method.label_encoding import encode, given_labels


@pytest.mark.parametrize(
    ("y", "given"),
    [
        (np.array([0, -1, 2]), [True, False, True]),
        (np.array([0.0, -1.0, 2.0]), [True, False, True]),
        (np.array(["a", -1, "b"], dtype=object), [True, False, True]),
        (np.array(["a", "b"]), [True, True]),
        (np.array([True, False]), [True, True]),
        (np.array([255, 1], dtype=np.uint8), [True, True]),
    ],
)
def test_minus_one_is_no_label(y: np.ndarray, given: list[bool]) -> None:
    assert given_labels(y).tolist() == given


def test_minus_one_among_strings_is_refused_for_numpy_has_made_a_string_of_it() -> None:
    texts = ["a", "-1", "b"]
    for y in (np.array(["a", -1, "b"]), np.array([b"a", b"-1"]), pd.Series(texts).to_numpy(), np.array(texts, object)):
        with pytest.raises(ValueError, match=re.escape('y has "-1" among strings')):
            given_labels(y)


@pytest.mark.parametrize("word", ["nan", "None", "", "N/A", "?", "unlabelled"])
def test_words_for_no_label_among_the_classes_are_warned_of(word: str) -> None:
    y = np.array(["a", word, -1], dtype=object)
    with pytest.warns(LabelsWarning, match=re.escape(f"y has {word!r} among its classes: to mark unlabelled")):
        assert len(encode(y, given_labels(y))[0]) == 2


def test_classes_are_sorted_and_counted() -> None:
    y = np.array(["dog", -1, "cat", "dog"], dtype=object)
    classes, codes = encode(y, given_labels(y))
    assert classes.tolist() == ["cat", "dog"]
    assert codes.tolist() == [1, -1, 0, 1]


@pytest.mark.parametrize(
    ("y", "line"),
    [
        (np.array([-1, -1]), "no sample has a label"),
        (np.array([3, -1, 3]), "all given labels are of one class, 3; two classes are needed"),
        (np.array(["a", 1, -1], dtype=object), "class labels must be of one kind"),
        (np.array(["a", None, -1], dtype=object), "class labels must be of one kind"),
        (np.array([0.5, 1.2, -1]), "Unknown label type: continuous"),
    ],
)
def test_labels_that_are_no_classes_are_refused(y: np.ndarray, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        encode(y, given_labels(y))
