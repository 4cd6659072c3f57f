"""The test set: the only access to test images. A contract forbids its import where models are trained or chosen."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor

from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.pool import PROTOCOLS, image_side, show
from kmpl.datasets.registry import read

TEST_SEED = 20_130_621  # draws the views of the test images, the same for every experiment


@dataclass(frozen=True, slots=True)
class TestSet:
    """All test images in each view of the protocol."""

    __test__ = False  # pytest collects classes named Test…; this is no test case

    views: dict[str, Tensor]
    """View: (N, channels, height, width) uint8."""
    labels: np.ndarray
    """(N,) int64, the same for each view."""


def open_test_set(config: ExperimentConfig) -> TestSet:
    """Return the protocol's test set."""
    return _rendered(config.dataset, config.protocol, image_side(config))


@lru_cache(maxsize=1)  # every arm asks for the same views
def _rendered(dataset: str, protocol: str, image_size: int) -> TestSet:
    data = read(dataset, train=False, size=image_size)
    test_views = PROTOCOLS[protocol].test_views
    views = {view: show(data.images, view, size=image_size, seed=TEST_SEED) for view in test_views}
    return TestSet(views=views, labels=data.labels.numpy())
