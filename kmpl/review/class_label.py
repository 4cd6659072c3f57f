"""The class names that a person types into the page."""

from kmpl.formats.class_names import means_no_label, normalise
from kmpl.formats.given_labels import Rules, class_named_flags
from kmpl.review.state import DecisionError


def checked_label(text: str, rules: Rules, *, may_be_empty: bool) -> str:
    """Return a class name with composed accents and single blanks.

    Args:
        text: what a person typed.
        rules: which words for "no label" are classes here.
        may_be_empty: an empty text takes a label away.

    Raises:
        DecisionError: it means that there is no label.
    """
    label = normalise(text)
    if means_no_label(label) and (label or not may_be_empty) and not rules.is_class(label):
        remedy = f" (or start with {class_named_flags(label)})" if label else ""
        raise DecisionError(f"'{label}' means that there is no label; give another name{remedy}")
    return label
