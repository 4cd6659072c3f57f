"""The parameters of ``KMeansPseudoLabeller`` as kmpl's own settings, which know their ranges."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from kmpl.config.base import Settings
from kmpl.config.experiment import Clustering, PseudoLabelling
from kmpl.config.presets import one_line
from kmpl.config.strategies import STRATEGIES
from kmpl.errors import unknown

S = TypeVar("S", bound=Settings)

_SAMPLES_PER_CLUSTER = 20
_MOST_CLUSTERS = 500  # as many as kmpl takes for 60,000 images
_MOST_PROTOTYPES = 50

_CLUSTERING = ("algorithm", "restarts", "l2", "whiten")
_VOTING = (
    "strategy",
    "k",
    "links",
    "threshold",
    "graph_threshold",
    "rounds",
    "soft_votes",
    "labelled_share",
    "weighted",
)


def settings_of(
    parameters: Mapping[str, Any], *, n_samples: int, n_labels: int, n_classes: int
) -> tuple[Clustering, PseudoLabelling]:
    """Return the settings of clustering and voting; numbers that are left open are chosen from the data's size.

    Args:
        parameters: of the estimator, by name.
        n_samples: number of samples.
        n_labels: number of given labels.
        n_classes: number of classes among them.

    Raises:
        ValueError: a parameter out of its range, or an unknown strategy.
    """
    if parameters["strategy"] not in STRATEGIES:
        raise ValueError(unknown("strategy", str(parameters["strategy"]), STRATEGIES))
    n_clusters = parameters["n_clusters"]
    n_prototypes = parameters["n_prototypes"]
    clustering = _checked(
        Clustering,
        n_clusters=1 if n_clusters is None else n_clusters,
        n_prototypes=min(n_labels, _MOST_PROTOTYPES) if n_prototypes is None else n_prototypes,
        maps=0,
        **{name: parameters[name] for name in _CLUSTERING},
    )
    voting = _checked(PseudoLabelling, **{name: parameters[name] for name in _VOTING})
    if n_clusters is None or n_clusters > n_samples:
        sensible = min(max(n_samples // _SAMPLES_PER_CLUSTER, n_classes, 2), n_samples, _MOST_CLUSTERS)
        clustering = clustering.model_copy(update={"n_clusters": sensible})
    return clustering, voting


def _checked(kind: type[S], **values: Any) -> S:
    """Return settings; numbers of NumPy's kinds, as searches give them, count as Python's.

    Raises:
        ValueError: a value out of its range, in one line.
    """
    plain = {name: v.item() if isinstance(v, np.generic) else v for name, v in values.items()}
    try:
        return kind.model_validate(plain, strict=True)
    except ValidationError as error:
        raise ValueError(one_line(error, kind)) from error
