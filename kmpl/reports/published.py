"""What papers and the reference notebook printed. Nothing here was measured by kmpl."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Printed:
    """An error in %."""

    error: float
    sd: float | None = None
    checked: bool = False
    """Read at the source or in a later paper's table; else from memory."""

    def __str__(self) -> str:
        spread = "" if self.sd is None else f" ± {self.sd:.2f}"
        return f"{self.error:.2f}{spread}{'' if self.checked else ' *'}"


LITERATURE: dict[str, dict[int, Printed]] = {
    "CNN, labels only (Lee 2013)": {
        100: Printed(22.98),
        600: Printed(7.68),
        1_000: Printed(6.45),
        3_000: Printed(3.35),
    },
    "Pseudo-Label (Lee 2013)": {
        100: Printed(16.15),
        600: Printed(5.03),
        1_000: Printed(4.30),
        3_000: Printed(2.80),
    },
    "Pseudo-Label + DAE (Lee 2013)": {
        100: Printed(10.49),
        600: Printed(4.01),
        1_000: Printed(3.46, checked=True),
        3_000: Printed(2.69),
    },
    "M1 + M2 (Kingma 2014)": {
        100: Printed(3.33, 0.14, checked=True),
        600: Printed(2.59),
        1_000: Printed(2.40, checked=True),
        3_000: Printed(2.18),
    },
    "DEPICT (Dizaji 2017)": {100: Printed(2.65), 1_000: Printed(2.10), 3_000: Printed(1.91)},
    "Ladder, independent re-runs": {100: Printed(1.71, 0.70, checked=True), 1_000: Printed(1.60, 0.12, checked=True)},
    "VAT (Miyato 2017)": {100: Printed(1.36, checked=True), 1_000: Printed(1.27, checked=True)},
    "Ladder (Rasmus 2015)": {100: Printed(1.06, 0.37, checked=True), 1_000: Printed(0.84, 0.08, checked=True)},
    "Improved GAN (Salimans 2016)": {100: Printed(0.93, 0.065, checked=True)},
}
"""Error in % on MNIST's 10,000 test images, by method and number of labels."""

NOTEBOOK = {0.1: (47.27, 89.91), 0.4: (83.48, 91.77), 0.8: (86.39, 80.62)}
"""% of the reference notebook's own test right before and after, by labelled ratio; one run each."""
