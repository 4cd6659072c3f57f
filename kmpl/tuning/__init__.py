"""Tuning: for each labelled ratio two studies, labelled-only first, as many trials each. The only folder with Optuna.

Validation decides, on draws of its own that no experiment of a sweep uses. The test set is out of reach: the steps of
a trial come without a way to open it.
"""

from kmpl.tuning.ratio_studies import check, seeds, tune, tuned
from kmpl.tuning.storage import address, open_studies, studies_answer, studies_file
from kmpl.tuning.study_task import Desk

__all__ = ["Desk", "address", "check", "open_studies", "seeds", "studies_answer", "studies_file", "tune", "tuned"]
