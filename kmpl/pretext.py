"""Features without any label: K-means as the task that a network learns from. Shapes: N images, D feature dimension.

Cluster the images by what is known of them, at first their pixels; train a new network to name each image's cluster
however the image is moved, bent and lit; cluster what it has learnt to see; and again. What lies together for no better
reason than its place or its brightness parts, and what is alike comes together.

Source: Caron et al. 2018, "Deep clustering for unsupervised learning of visual features",
https://arxiv.org/abs/1807.05520
"""

from functools import partial

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits
from torch import Tensor

from kmpl import networks, training
from kmpl.clustering import kmeans, prepare
from kmpl.config import Method
from kmpl.devices import pick_device
from kmpl.errors import UserError
from kmpl.seeds import derive
from kmpl.steps import Watch

_COMPONENTS = 64  # of the pixels, for the first clusters
_CLUSTER = 5  # images in a cluster, on average, at least


def features(config: Method, images: Tensor, seed: int, watch: Watch) -> np.ndarray:
    """Return features (N, D) float32 of uint8 images (N, channels, height, width), as they are clustered.

    Args:
        config: settings: ``pretext``, network, augmentation, and how features are prepared for clustering.
        images: all images, none of them labelled.
        seed: of clusters, weights and batches.
        watch: told how training goes.

    Raises:
        UserError: fewer than two images.
    """
    if len(images) < 2:
        raise UserError(f"{len(images)} image cannot be clustered; give at least 2")
    known = pixels(images)
    for number in range(1, config.pretext.rounds + 1):
        known = _round(config, images, known, derive(seed, "pretext", number), number, watch)
    return known


def pixels(images: Tensor) -> np.ndarray:
    """Return the first principal components of the pixels, (N, D) float32 of length one."""
    flat = images.flatten(1).numpy().astype(np.float32) / 255
    with threadpool_limits(1):
        return normalize(PCA(min(_COMPONENTS, *flat.shape), svd_solver="full").fit_transform(flat))


def _round(config: Method, images: Tensor, known: np.ndarray, seed: int, number: int, watch: Watch) -> np.ndarray:
    """Return what a new network sees in the images once it can name the clusters of ``known`` (N, D)."""
    clusters = kmeans(known, min(config.pretext.n_clusters, max(2, len(images) // _CLUSTER)), derive(seed, "cluster"))
    network = networks.build(config.network, images.shape[1], len(clusters.centroids), derive(seed, "weights"))
    name = f"without labels, round {number}"
    fit = training.fit(
        network.to(pick_device(config.device)),
        training.examples(images, clusters.assignment),
        config.pretext.training,
        config.augmentation,
        seed,
        validation=(images[:0], np.empty(0, dtype=np.int64)),
        on_epoch=partial(watch.epoch, name),
        on_batch=partial(watch.batch, name),
    )
    seen, _ = training.embed(fit.network, images, components=config.clustering.maps)
    return prepare(seen, config.clustering, derive(seed, "prepare"))
