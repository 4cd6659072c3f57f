"""Hyper-parameter tuning with Optuna: two studies per labelled ratio. The only folder that imports Optuna.

Labelled-only is tuned first, then pseudo-label, with as many trials each. Validation decides, on draws of labels that
no experiment of a sweep uses. The test set is out of reach: the steps of a trial cannot open it.
"""

from kmpl.tuning.ratio_studies import best_settings, check, draw_seeds, tune
from kmpl.tuning.storage import make_studies, open_studies, storage_address, studies_answer, studies_file
from kmpl.tuning.study_task import StudyContext

__all__ = [
    "StudyContext",
    "best_settings",
    "check",
    "draw_seeds",
    "make_studies",
    "open_studies",
    "storage_address",
    "studies_answer",
    "studies_file",
    "tune",
]
