"""Numbers about predictions. Shapes: N points, C classes."""

import numpy as np


def accuracy(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the share of equal entries; NaN if there are none.

    >>> accuracy(np.array([1, 2, 3]), np.array([1, 2, 0]))
    0.6666666666666666
    """
    return float(np.mean(predicted == true)) if len(true) else float("nan")


def confusion(predicted: np.ndarray, true: np.ndarray, n_classes: int) -> np.ndarray:
    """Return counts, shape (C, C): true class by predicted class.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(true * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def class_shares(right: np.ndarray, classes: np.ndarray, n_classes: int) -> tuple[float, ...]:
    """Return the share of ``right`` (N,) within each class of ``classes`` (N,); NaN where a class has no point.

    >>> class_shares(np.array([True, False, True]), np.array([0, 0, 1]), 2)
    (0.5, 1.0)
    """
    total = np.bincount(classes, minlength=n_classes)
    hits = np.bincount(classes, weights=right, minlength=n_classes)
    return tuple(float(h / t) if t else float("nan") for h, t in zip(hits, total, strict=True))


def calibration_error(probabilities: np.ndarray, true: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error of ``probabilities`` (N, C): confidence against accuracy, a fraction.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599

    >>> calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1]))  # says 80 %, is right in 50 %
    0.3
    """
    return calibration_error_of(probabilities.max(axis=1), probabilities.argmax(axis=1) == true, bins)


def calibration_error_of(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    """Return the same of confidences (N,) and of which guesses are right, (N,) bool."""
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(number, weights=confidence, minlength=bins) - np.bincount(number, weights=right, minlength=bins)
    return round(float(np.abs(gaps).sum() / len(right)), 12)


def log_loss(probabilities: np.ndarray, true: np.ndarray) -> float:
    """Return the mean cross-entropy in nats of ``probabilities`` (N, C).

    >>> round(log_loss(np.array([[0.5, 0.5]]), np.array([1])), 4)
    0.6931
    """
    of_true_class = probabilities[np.arange(len(true)), true].astype(np.float64)
    return float(-np.log(np.maximum(of_true_class, 1e-12)).mean())


def purity(assignment: np.ndarray, true: np.ndarray) -> float:
    """Return the share of points that belong to the most frequent class of their cluster.

    >>> purity(np.array([0, 0, 0, 1]), np.array([5, 5, 6, 6]))
    0.75
    """
    table = np.zeros((assignment.max() + 1, true.max() + 1), dtype=np.int64)
    np.add.at(table, (assignment, true), 1)
    return float(table.max(axis=1).sum() / len(true))


def coverage_curve(right: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coverage and accuracy (both (N,), fractions) when the 1, 2, … N most confident points are kept.

    >>> coverage_curve(np.array([False, True]), np.array([0.2, 0.9]))
    (array([0.5, 1. ]), array([1. , 0.5]))
    """
    order = np.argsort(-confidence, kind="stable")
    counts = np.arange(1, len(right) + 1)
    return counts / len(right), np.cumsum(right[order]) / counts
