"""Features without any label: K-means as the task that a network learns from. Shapes: N images, D feature dimension.

Cluster the images by what is known of them, at first their pixels; train a new network to name each image's cluster
however the image is moved, bent and lit; cluster what it has learnt to see; and again. What lies together for no better
reason than its place or its brightness parts, and what is alike comes together.

Source: Caron et al. 2018, "Deep clustering for unsupervised learning of visual features",
https://arxiv.org/abs/1807.05520
"""

from functools import partial

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits
from torch import Tensor

from kmpl.config.experiment import ExperimentConfig, Learning
from kmpl.datasets.types import Pool
from kmpl.errors import UserError
from kmpl.images.transforms import resize, to_float
from kmpl.method.kmeans import kmeans, prepare
from kmpl.method.pseudo_labels import propagates
from kmpl.method.step_inputs import StepInput
from kmpl.models import embedding
from kmpl.models import registry as networks
from kmpl.runtime.devices import to_device
from kmpl.runtime.seeds import derive
from kmpl.training import examples, loop
from kmpl.training.watch import Watch

_COMPONENTS = 64  # of the pixels, for the first clusters
_SIDE_PIXELS = 32  # at most, that these are computed from
_IMAGES_PER_CLUSTER = 5  # on average, at least
_LEAST_PER_EPOCH = 2_000  # images
_MOST_PER_EPOCH = 10_000  # images


def wanted(config: ExperimentConfig, pool: Pool) -> bool:
    """Say whether labels are so few that what the images alone teach is worth more than what these teach."""
    n_labelled = int(pool.labelled.sum())
    few = n_labelled <= config.pretext.up_to * len(pool.classes) and pool.frozen is None
    return few and propagates(config.pseudo_labels.strategy, n_labelled, config.clustering.n_clusters)


def of_pool(inputs: StepInput) -> np.ndarray:
    """Return features (N, D) of a pool's images, learnt from these alone."""
    seed = derive(inputs.config.seed, "without labels")
    return features(inputs.config, inputs.pool.images, seed=seed, watch=inputs.watch)


def features(config: Learning, images: Tensor, *, seed: int, watch: Watch) -> np.ndarray:
    """Return features (N, D) float32 of uint8 images (N, channels, height, width), as they are clustered.

    Args:
        config: network, augmentation, rounds and what each is (``pretext``), and how features are prepared.
        images: all images, none of them labelled.
        seed: of clusters, weights and batches.
        watch: told how training goes.

    Raises:
        UserError: fewer than two images.
    """
    if len(images) < 2:
        raise UserError(f"{len(images)} image cannot be clustered; give at least 2")
    learnt = pixels(images)
    for number in range(1, config.pretext.rounds + 1):
        learnt = _round(config, images, learnt, seed=derive(seed, "pretext", number), number=number, watch=watch)
    return learnt


def pixels(images: Tensor) -> np.ndarray:
    """Return the first principal components of the pixels, (N, D) float32 of length one."""
    small = [resize(to_float(block), min(_SIDE_PIXELS, images.shape[-1])).flatten(1) for block in images.split(1_000)]
    flat = torch.cat(small).numpy()
    solver = "covariance_eigh" if len(flat) > flat.shape[1] else "full"  # whichever decomposes the smaller matrix
    with threadpool_limits(1):
        return normalize(PCA(min(_COMPONENTS, *flat.shape), svd_solver=solver).fit_transform(flat))


def _round(
    config: Learning, images: Tensor, features: np.ndarray, *, seed: int, number: int, watch: Watch
) -> np.ndarray:
    """Return the features of a new network that has learnt to name the clusters of ``features`` (N, D)."""
    settings = config.pretext
    n_clusters = min(settings.n_clusters, max(2, len(images) // _IMAGES_PER_CLUSTER))
    clusters = kmeans(features, n_clusters, seed=derive(seed, "cluster"))
    network = networks.build(
        config.network, channels=images.shape[1], n_classes=len(clusters.centroids), seed=derive(seed, "weights")
    )
    per_epoch = settings.training.images_per_epoch or min(max(len(images), _LEAST_PER_EPOCH), _MOST_PER_EPOCH)
    title = f"without labels, round {number}"
    fit = loop.fit(
        to_device(network, config.device, config.precision),
        examples.examples(images, clusters.assignment),
        settings.training.model_copy(update={"images_per_epoch": per_epoch}),
        augmentation=config.augmentation,
        seed=seed,
        validation=(images[:0], np.empty(0, dtype=np.int64)),
        on_epoch=partial(watch.epoch, title),
        on_batch=partial(watch.batch, title),
    )
    deep, _ = embedding.embed(fit.network, images, components=config.clustering.maps)
    return prepare(deep, config.clustering, derive(seed, "prepare"))
