"""The pool: a seeded choice of training images and views, split into labelled, validation and unlabelled images.

The images of each class are drawn from one seeded order. So the parts are balanced, a smaller labelled set lies inside
a larger one, and all views of an image are in the same part. Shapes: N images, C classes.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from kmpl.config.backbones import BACKBONE_SIDE_PIXELS, NO_BACKBONE
from kmpl.config.experiment import ExperimentConfig, Method
from kmpl.datasets.folder_dataset import PREFIX as FOLDER
from kmpl.datasets.registry import read
from kmpl.datasets.types import UNLABELLED, Images, Pool
from kmpl.errors import SettingError
from kmpl.images.transforms import resize, to_float, to_uint8
from kmpl.images.views import VIEWS
from kmpl.runtime.seeds import derive, generator


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolRules:
    """The settings that a protocol fixes."""

    pool_size: int
    """Distinct images in the pool; 0 = all."""
    views: tuple[str, ...]
    """Views in the pool, with the same number of images each."""
    test_views: tuple[str, ...]
    """Views of every test image."""
    image_size: int
    """Side in pixels; 0 = as in the data set."""


PROTOCOLS = {
    "notebook": ProtocolRules(
        pool_size=30_000,
        views=("clean", "blur", "rotation"),
        test_views=("clean", "noise", "rotation", "blur"),
        image_size=32,
    ),
    "literature": ProtocolRules(pool_size=0, views=("clean",), test_views=("clean",), image_size=0),
}


class Split(NamedTuple):
    """Indices of the images of a pool in its data set, each part sorted."""

    labelled: np.ndarray
    validation: np.ndarray
    unlabelled: np.ndarray


class SourceView(NamedTuple):
    """One image of the pool: an image of the data set in one view."""

    source: int
    """Index in the data set."""
    view: str


def image_side(config: Method) -> int:
    """Return the side of the images of pool and test set, pixels; 0 = as in the data set."""
    if config.pool.image_size:
        return config.pool.image_size
    if config.backbone != NO_BACKBONE and config.dataset.startswith(FOLDER):
        return BACKBONE_SIDE_PIXELS  # files have more to show a backbone than thumbnails have
    return PROTOCOLS[config.protocol].image_size


def show(images: torch.Tensor, view: str, *, size: int, seed: int) -> torch.Tensor:
    """Return uint8 images resized to ``size``, in one view; ``seed`` draws its random numbers."""
    draws = generator(seed, "view", view)
    blocks = [to_uint8(VIEWS[view].show(resize(to_float(b), size), draws)) for b in images.split(5_000)]
    return torch.cat(blocks)


def _quotas(total: int, n_classes: int, seed: int) -> np.ndarray:
    """Divide ``total`` among the classes as equally as possible; the seed decides which classes get one more."""
    quotas = np.full(n_classes, total // n_classes)
    order = np.random.default_rng(derive(seed, "quotas")).permutation(n_classes)
    quotas[order[: total % n_classes]] += 1
    return quotas


def _order(labels: np.ndarray, n_classes: int, seed: int) -> list[np.ndarray]:
    """Return the images of each class in a seeded order."""
    rng = np.random.default_rng(derive(seed, "pool"))
    return [rng.permutation(np.flatnonzero(labels == c)) for c in range(n_classes)]


def split(labels: np.ndarray, *, size: int, budget: int, validation: float, seed: int) -> Split:
    """Return the indices of the labelled, the validation and the unlabelled images of a pool.

    Args:
        labels: (images of the data set,) int64 classes in [0, C).
        size: images in the pool, class-balanced; the whole set (in its own balance) if it equals ``len(labels)``.
        budget: labelled and validation images together, class-balanced.
        validation: share of the budget; at least one per class, none of a class with a single label.
        seed: draws the order; the sets of a smaller budget lie inside those of a larger one.

    Raises:
        UserError: a class would have no label, or has too few images.
    """
    n_classes = int(labels.max()) + 1
    orders = _order(labels, n_classes, seed)
    if size < len(labels):
        class_sizes = _quotas(size, n_classes, seed)
        for c, (order, class_size) in enumerate(zip(orders, class_sizes, strict=True)):
            if len(order) < class_size:
                needs = f"not the {class_size} that a balanced pool needs; choose a smaller pool"
                raise SettingError("pool.size", size, f"class {c} has {len(order)} images, {needs}")
        orders = [order[:class_size] for order, class_size in zip(orders, class_sizes, strict=True)]
    quotas = _quotas(budget, n_classes, seed)
    for c, (order, quota) in enumerate(zip(orders, quotas, strict=True)):
        if quota < 1:
            line = f"{budget} labels leave class {c} without one; give at least {n_classes}"
            raise SettingError("labels", budget, "too few", f"at least {n_classes}", line=line)
        if quota > len(order):
            line = f"{budget} labels ask for {quota} images of class {c}, which has {len(order)} in the pool"
            raise SettingError("labels", budget, "too many", line=line)
    step = round(1 / validation)
    parts = []
    for order, quota in zip(orders, quotas, strict=True):
        held_out = np.arange(quota) % step == 1  # never the first: a class's only label is for training
        budgeted = order[:quota]
        parts.append(Split(budgeted[~held_out], budgeted[held_out], order[quota:]))
    return Split(*(np.sort(np.concatenate(indices)) for indices in zip(*parts, strict=True)))


def labelled_budget(config: ExperimentConfig, size: int, n_classes: int) -> int:
    """Return the labelled budget in images, from the setting ``labels`` or ``ratio``.

    Raises:
        UserError: fewer labels than classes, or no unlabelled image left.
    """
    ratio = config.ratio or 0.1
    budget = config.labels or round(ratio * size)
    setting = "labels" if config.labels else "ratio"
    value = str(budget) if config.labels else f"{ratio} ({budget} labels of {size} images)"
    if budget < n_classes:
        raise SettingError(setting, value, f"fewer labels than the {n_classes} classes", f"at least {n_classes}")
    if budget >= size:
        raise SettingError(setting, value, f"the pool has {size} images and some must stay unlabelled", "fewer")
    return budget


def _views_of(sources: np.ndarray, names: tuple[str, ...], *, per_image: int, seed: int) -> list[SourceView]:
    """Return ``per_image`` views of each source, every view with the same number of images."""
    start = np.random.default_rng(derive(seed, "views")).permutation(len(sources))
    return [
        SourceView(int(source), names[(start[i] + j) % len(names)])
        for i, source in enumerate(sources)
        for j in range(per_image)
    ]


def _render(data: Images, pairs: list[SourceView], *, size: int, seed: int) -> torch.Tensor:
    """Return the images of the pairs, uint8, in their order."""
    sources = np.array([pair.source for pair in pairs], dtype=np.int64)
    names = np.array([pair.view for pair in pairs])
    shape = resize(to_float(data.images[:1]), size).shape
    images = torch.empty((len(pairs), *shape[1:]), dtype=torch.uint8)
    for view in np.unique(names):
        index = np.flatnonzero(names == view)
        images[index] = show(data.images[sources[index]], str(view), size=size, seed=derive(seed, "copies"))
    return images


def _data_and_size(config: Method) -> tuple[Images, int]:
    """Return the data set, and the number of distinct images in the pool."""
    rules = PROTOCOLS[config.protocol]
    data = read(config.dataset, train=True, size=image_side(config))
    return data, config.pool.size or min(rules.pool_size or len(data.labels), len(data.labels))


def count_images_and_classes(config: Method) -> tuple[int, int]:
    """Return the number of images of the pool, each view counted, and the number of classes.

    Raises:
        UserError: the data set is not available.
    """
    data, size = _data_and_size(config)
    return size * config.pool.views_per_image, len(data.classes)


def divide(config: ExperimentConfig) -> tuple[Images, Split]:
    """Return the data set, and the indices of its labelled, validation and unlabelled images.

    Raises:
        UserError: the data set is not available, or too small for the pool's size or the labelled budget.
    """
    data, size = _data_and_size(config)
    if size > len(data.labels):
        reason = f"{config.dataset} has {len(data.labels)} training images"
        raise SettingError("pool.size", size, reason, "no more")
    return data, split(
        data.labels.numpy(),
        size=size,
        budget=labelled_budget(config, size, len(data.classes)),
        validation=config.pool.validation,
        seed=config.seed,
    )


def build_pool(config: ExperimentConfig) -> tuple[Pool, np.ndarray]:
    """Return the pool, and separately the true labels (N,) of all its images, for diagnostics and the oracle.

    Raises:
        UserError: as ``divide``.
    """
    rules = PROTOCOLS[config.protocol]
    data, parts = divide(config)
    true = data.labels.numpy()
    # One order of sources for all three parts: the view of an image does not depend on its part.
    pairs = _views_of(
        np.sort(np.concatenate(parts)), rules.views, per_image=config.pool.views_per_image, seed=config.seed
    )
    images = _render(data, pairs, size=image_side(config), seed=config.seed)
    source_of = np.array([pair.source for pair in pairs], dtype=np.int64)
    is_labelled = np.isin(source_of, parts.labelled)
    is_unlabelled = np.isin(source_of, parts.unlabelled)
    order = np.concatenate([np.flatnonzero(is_labelled), np.flatnonzero(is_unlabelled)])
    validation = np.flatnonzero(np.isin(source_of, parts.validation))
    sources = source_of[order]
    validation_sources = source_of[validation]
    labels = np.where(is_labelled[order], true[sources], UNLABELLED)
    digest = hashlib.sha256(images.numpy().tobytes())
    for part in (sources, labels, validation_sources, true[validation_sources]):
        digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
    pool = Pool(
        images=images[order],
        labels=labels,
        validation_images=images[validation],
        validation_labels=true[validation_sources],
        sources=sources,
        validation_sources=validation_sources,
        views=tuple(pairs[i].view for i in order),
        classes=data.classes,
        raw_shape=(data.images.shape[1], data.images.shape[2], data.images.shape[3]),
        digest=digest.hexdigest(),
        conversion=data.conversion,
    )
    return pool, true[sources]
