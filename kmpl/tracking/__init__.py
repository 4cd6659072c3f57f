"""Experiment tracking with MLflow. The only folder that imports MLflow."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmpl.tracking.client import failed_outside, open_store, store_answers, tracking_uri
    from kmpl.tracking.pages import run_url, runs_url

__all__ = ["failed_outside", "open_store", "run_url", "runs_url", "store_answers", "tracking_uri"]


def __getattr__(name: str) -> object:
    """Import MLflow when something of it is first asked for: it takes seconds, and who only predicts does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "pages" if name in ("run_url", "runs_url") else "client"
    return getattr(import_module(f"kmpl.tracking.{module}"), name)
