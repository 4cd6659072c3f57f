"""The mark of a study: tells the study that a process opened from one that took its place."""

import contextlib
import uuid
from collections.abc import Iterator

import optuna

from kmpl.errors import UserError

_KEY = "key"  # user attribute of a study: its run in MLflow has the same


class StudyMark:
    """A mark of this process in a study's own attributes, looked at before each write.

    Optuna addresses studies and trials by numbers, and in SQLite (Optuna 5.0.0) those of deleted ones are used again:
    where a study was deleted and another was made, the late result of a trial of the first completes a trial of the
    second. A look takes one read of the storage. Each process has a mark of its own, so that two machines that open a
    new study at the same moment cannot overwrite each other's.
    """

    def __init__(self, study: optuna.Study) -> None:
        """Mark a study, and give it a key if it has none. The caller holds the lock of the claims."""
        if not study.user_attrs.get(_KEY):
            study.set_user_attr(_KEY, uuid.uuid4().hex)
        self.key: str = study.user_attrs[_KEY]
        self.name = study.study_name
        self.storage = study._storage
        self.number = study._study_id
        self.mark = f"kmpl:mark:{uuid.uuid4().hex}"
        self.storage.set_study_system_attr(self.number, self.mark, True)

    def check(self) -> None:
        """Raise if what has the study's number now is not the study that was opened.

        Raises:
            UserError: the study was deleted, or another one has its number.
        """
        with self.deletion_reported():
            if not self._marks(self.number):
                raise self._deleted()

    def _marks(self, number: int) -> bool:
        return self.mark in self.storage.get_study_system_attrs(number)

    def is_gone(self) -> bool:
        """Say whether the study is deleted, or replaced by another of its name; False if nothing answers."""
        try:
            numbers = {study.study_name: study._study_id for study in self.storage.get_all_studies()}
            return self.name not in numbers or not self._marks(numbers[self.name])
        except Exception:
            return False

    @contextlib.contextmanager
    def deletion_reported(self) -> Iterator[None]:
        """Turn any exception into a ``UserError`` of one line if the study was deleted during the block.

        Optuna then passes on the exceptions of its storage: KeyError, UnboundLocalError, errors of the database.

        Raises:
            UserError: instead.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, UserError) or not self.is_gone():
                raise
            raise self._deleted() from error

    def _deleted(self) -> UserError:
        return UserError(
            f"study '{self.name}' was deleted while it was tuned (on Optuna's pages?); run the same command again: it "
            "starts the study anew, with the finished trainings from the store"
        )
