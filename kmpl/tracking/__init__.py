"""Reports into MLflow; the only folder that imports it."""

from kmpl.tracking.client import failed_outside, open_store, page, store_answers, tracking_uri

__all__ = ["failed_outside", "open_store", "page", "store_answers", "tracking_uri"]
