"""Published results of papers and of the reference notebook; kmpl measured none of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishedError:
    """A published test error."""

    error: float
    """In %."""
    sd: float | None = None
    """Standard deviation, in percentage points."""
    checked: bool = False
    """Checked in the paper itself or in a later paper's table; otherwise quoted from memory, and shown with a *."""

    def __str__(self) -> str:
        deviation = "" if self.sd is None else f" ± {self.sd:.2f}"
        return f"{self.error:.2f}{deviation}{'' if self.checked else ' *'}"


LITERATURE: dict[str, dict[int, PublishedError]] = {
    "CNN, labels only (Lee 2013)": {
        100: PublishedError(22.98),
        600: PublishedError(7.68),
        1_000: PublishedError(6.45),
        3_000: PublishedError(3.35),
    },
    "Pseudo-Label (Lee 2013)": {
        100: PublishedError(16.15),
        600: PublishedError(5.03),
        1_000: PublishedError(4.30),
        3_000: PublishedError(2.80),
    },
    "Pseudo-Label + DAE (Lee 2013)": {
        100: PublishedError(10.49),
        600: PublishedError(4.01),
        1_000: PublishedError(3.46, checked=True),
        3_000: PublishedError(2.69),
    },
    "M1 + M2 (Kingma 2014)": {
        100: PublishedError(3.33, 0.14, checked=True),
        600: PublishedError(2.59),
        1_000: PublishedError(2.40, checked=True),
        3_000: PublishedError(2.18),
    },
    "DEPICT (Dizaji 2017)": {100: PublishedError(2.65), 1_000: PublishedError(2.10), 3_000: PublishedError(1.91)},
    "Ladder, independent re-runs": {
        100: PublishedError(1.71, 0.70, checked=True),
        1_000: PublishedError(1.60, 0.12, checked=True),
    },
    "VAT (Miyato 2017)": {100: PublishedError(1.36, checked=True), 1_000: PublishedError(1.27, checked=True)},
    "Ladder (Rasmus 2015)": {
        100: PublishedError(1.06, 0.37, checked=True),
        1_000: PublishedError(0.84, 0.08, checked=True),
    },
    "Improved GAN (Salimans 2016)": {100: PublishedError(0.93, 0.065, checked=True)},
}
"""Error in % on MNIST's 10,000 test images, by method and number of labels."""

NOTEBOOK = {0.1: (47.27, 89.91), 0.4: (83.48, 91.77), 0.8: (86.39, 80.62)}
"""Accuracy in % on the reference notebook's own test images, before and after, by labelled ratio; one run each."""
