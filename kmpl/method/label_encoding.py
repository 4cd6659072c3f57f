"""Class labels as scikit-learn's users give them: numbers or strings, −1 = unlabelled. Shapes: N samples, C classes."""

import warnings

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from kmpl.datasets.types import UNLABELLED
from kmpl.errors import LabelsWarning
from kmpl.formats.class_names import means_no_label, normalise

_UNLABELLED = ("-1", "-1.0", b"-1", b"-1.0")


def given_labels(y: np.ndarray) -> np.ndarray:
    """Return where y (N,) has a label, (N,) bool; −1 is none.

    Raises:
        ValueError: strings that NumPy or pandas has made out of −1 and others.

    >>> given_labels(np.array(["cat", -1, "dog"], dtype=object))
    array([ True, False,  True])
    """
    labels = y.tolist() if y.dtype.kind in "USO" else []
    if any(label.strip() in _UNLABELLED for label in labels if isinstance(label, str | bytes)):
        raise ValueError('y has "-1" among strings: to mark unlabelled samples give dtype object with the number -1')
    return np.ones(len(y), dtype=bool) if y.dtype.kind in "US" else np.asarray(y != UNLABELLED, dtype=bool)


def encode(y: np.ndarray, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the class labels (C,) and y as classes (N,) in [0, C), −1 where no label is given.

    Classes that are called as if there were no label (``nan``, ``None``, an empty string) are warned of.

    Raises:
        ValueError: labels that are no classes or cannot be sorted, or fewer than two classes.

    >>> encode(np.array(["dog", -1, "cat"], dtype=object), np.array([True, False, True]))
    (array(['cat', 'dog'], dtype=object), array([ 1, -1,  0]))
    """
    if not labelled.any():
        raise ValueError("no sample has a label: y is -1 throughout")
    labels = y[labelled]
    try:
        check_classification_targets(labels)
        classes, indices = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"class labels must be of one kind, strings or numbers: {error}") from error
    if len(classes) < 2:
        raise ValueError(f"all given labels are of one class, {classes[0]}; two classes are needed")
    if words := [str(name) for name in classes if isinstance(name, str) and means_no_label(normalise(name))]:
        listed = ", ".join(map(repr, words))
        message = f"y has {listed} among its classes: to mark unlabelled samples give the number -1"
        warnings.warn(message, LabelsWarning, stacklevel=3)
    codes = np.full(len(y), UNLABELLED)
    codes[labelled] = indices
    return classes, codes
