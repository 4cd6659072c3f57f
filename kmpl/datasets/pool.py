"""The pool: which training images, seen how, and which of them are labelled.

Everything is drawn class by class from one seeded order, so that the parts are balanced, a smaller labelled set lies
inside a larger one, and all views of one image stay together. Shapes: N images, C classes.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from kmpl.config.experiment import ExperimentConfig, Method
from kmpl.datasets.registry import read
from kmpl.datasets.types import UNLABELLED, Images, Pool
from kmpl.errors import SettingError
from kmpl.images.transforms import resize, to_float, to_uint8
from kmpl.images.views import VIEWS
from kmpl.runtime.seeds import derive, generator


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolRules:
    """What a protocol fixes."""

    pool_size: int
    """Distinct images in the pool; 0 = all."""
    views: tuple[str, ...]
    """Views in the pool, equally many images each."""
    test_views: tuple[str, ...]
    """Views of every test image."""
    image_size: int
    """Side in pixels; 0 = as the data set gives them."""


PROTOCOLS = {
    "notebook": ProtocolRules(
        pool_size=30_000,
        views=("clean", "blur", "rotation"),
        test_views=("clean", "noise", "rotation", "blur"),
        image_size=32,
    ),
    "literature": ProtocolRules(pool_size=0, views=("clean",), test_views=("clean",), image_size=0),
}


def show(images: torch.Tensor, view: str, *, size: int, seed: int) -> torch.Tensor:
    """Return uint8 images resized to ``size`` and seen in one view, drawn once from ``seed``."""
    draws = generator(seed, "view", view)
    blocks = [to_uint8(VIEWS[view].show(resize(to_float(b), size), draws)) for b in images.split(5_000)]
    return torch.cat(blocks)


def _quotas(total: int, n_classes: int, seed: int) -> np.ndarray:
    """Share ``total`` among the classes as equally as it goes; the seed says which classes get the odd ones."""
    quotas = np.full(n_classes, total // n_classes)
    lucky = np.random.default_rng(derive(seed, "quotas")).permutation(n_classes)
    quotas[lucky[: total % n_classes]] += 1
    return quotas


def _order(labels: np.ndarray, n_classes: int, seed: int) -> list[np.ndarray]:
    """Return the images of each class in a seeded order."""
    rng = np.random.default_rng(derive(seed, "pool"))
    return [rng.permutation(np.flatnonzero(labels == c)) for c in range(n_classes)]


def split(labels: np.ndarray, *, size: int, budget: int, validation: float, seed: int) -> tuple[np.ndarray, ...]:
    """Return the indices of the labelled, the validation and the unlabelled images of a pool.

    Args:
        labels: (images,) int64 classes in [0, C).
        size: images in the pool, class-balanced; the whole set (in its own balance) if it equals ``len(labels)``.
        budget: labelled and validation images together, class-balanced.
        validation: share of the budget; at least one per class, none of a class with a single label.
        seed: draws the order; the sets of a smaller budget lie inside those of a larger one.

    Raises:
        SettingError: a class would have no label, or fewer images than it must give.
    """
    n_classes = int(labels.max()) + 1
    orders = _order(labels, n_classes, seed)
    if size < len(labels):
        wanted = _quotas(size, n_classes, seed)
        short = [c for c in range(n_classes) if len(orders[c]) < wanted[c]]
        if short:
            first = short[0]
            needs = f"not the {wanted[first]} that a balanced pool needs; choose a smaller pool"
            raise SettingError("pool.size", size, f"class {first} has {len(orders[first])} images, {needs}")
        orders = [order[:quota] for order, quota in zip(orders, wanted, strict=True)]
    quotas = _quotas(budget, n_classes, seed)
    for c, (order, quota) in enumerate(zip(orders, quotas, strict=True)):
        if quota < 1:
            line = f"{budget} labels leave class {c} without one; give at least {n_classes}"
            raise SettingError("labels", budget, "too few", f"at least {n_classes}", line=line)
        if quota > len(order):
            line = f"{budget} labels ask for {quota} images of class {c}, which has {len(order)} in the pool"
            raise SettingError("labels", budget, "too many", line=line)
    step = round(1 / validation)
    parts: tuple[list, list, list] = ([], [], [])
    for order, quota in zip(orders, quotas, strict=True):
        held = np.arange(quota) % step == 1  # never the first: a class's only label is for training
        for part, chosen in zip(parts, (order[:quota][~held], order[:quota][held], order[quota:]), strict=True):
            part.append(chosen)
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def labels_asked(config: ExperimentConfig, size: int, n_classes: int) -> int:
    """Return the labelled budget in images that ``ratio`` or ``labels`` means.

    Raises:
        SettingError: too few for one per class, or nothing left unlabelled.
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


def _views_of(sources: np.ndarray, names: tuple[str, ...], *, per_image: int, seed: int) -> list[tuple[int, str]]:
    """Return ``per_image`` (source, view) pairs for each source, every view equally often."""
    start = np.random.default_rng(derive(seed, "views")).permutation(len(sources))
    return [(int(s), names[(start[i] + j) % len(names)]) for i, s in enumerate(sources) for j in range(per_image)]


def _render(data: Images, pairs: list[tuple[int, str]], *, size: int, seed: int) -> torch.Tensor:
    """Return the images of (source, view) pairs, uint8, in their order."""
    sources = np.array([s for s, _ in pairs], dtype=np.int64)
    names = np.array([v for _, v in pairs])
    side = resize(to_float(data.images[:1]), size).shape
    out = torch.empty((len(pairs), *side[1:]), dtype=torch.uint8)
    for view in np.unique(names):
        where = np.flatnonzero(names == view)
        out[where] = show(data.images[sources[where]], str(view), size=size, seed=derive(seed, "copies"))
    return out


def _asked(config: Method) -> tuple[Images, int]:
    """Return the data set, and how many distinct images of it are to be in the pool."""
    rules = PROTOCOLS[config.protocol]
    data = read(config.dataset, train=True, size=config.pool.image_size or rules.image_size)
    return data, config.pool.size or min(rules.pool_size or len(data.labels), len(data.labels))


def extent(config: Method) -> tuple[int, int]:
    """Return how many images, each view counted, and how many classes the pool has.

    Raises:
        UserError: the data set cannot be had.
    """
    data, size = _asked(config)
    return size * config.pool.views_per_image, len(data.classes)


def divide(config: ExperimentConfig) -> tuple[Images, tuple[np.ndarray, ...]]:
    """Return the data set, and the indices of its labelled, validation and unlabelled images.

    Raises:
        UserError: the labelled budget, the pool's size or the data set cannot be had.
    """
    data, size = _asked(config)
    if size > len(data.labels):
        reason = f"{config.dataset} has {len(data.labels)} training images"
        raise SettingError("pool.size", size, reason, "no more")
    budget = labels_asked(config, size, len(data.classes))
    return data, split(
        data.labels.numpy(), size=size, budget=budget, validation=config.pool.validation, seed=config.seed
    )


def build_pool(config: ExperimentConfig) -> tuple[Pool, np.ndarray]:
    """Return the pool, and apart from it the true labels (N,) of all its images, for diagnostics and the oracle.

    Raises:
        UserError: as ``divide``.
    """
    rules = PROTOCOLS[config.protocol]
    data, (labelled, validation, unlabelled) = divide(config)
    true = data.labels.numpy()
    # One order of sources for all three parts: the view of an image does not depend on who is labelled.
    everyone = np.sort(np.concatenate([labelled, validation, unlabelled]))
    pairs = _views_of(everyone, rules.views, per_image=config.pool.views_per_image, seed=config.seed)
    images = _render(data, pairs, size=config.pool.image_size or rules.image_size, seed=config.seed)
    sources = np.array([s for s, _ in pairs], dtype=np.int64)
    rank = np.concatenate([np.flatnonzero(np.isin(sources, labelled)), np.flatnonzero(np.isin(sources, unlabelled))])
    held = np.flatnonzero(np.isin(sources, validation))
    given = np.where(np.isin(sources[rank], labelled), true[sources[rank]], UNLABELLED)
    digest = hashlib.sha256(images.numpy().tobytes())
    for part in (sources[rank], given, sources[held], true[sources[held]]):
        digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
    pool = Pool(
        images=images[rank],
        labels=given,
        validation_images=images[held],
        validation_labels=true[sources[held]],
        sources=sources[rank],
        validation_sources=sources[held],
        views=tuple(pairs[i][1] for i in rank),
        classes=data.classes,
        raw_shape=(data.images.shape[1], data.images.shape[2], data.images.shape[3]),
        digest=digest.hexdigest(),
        ranges=data.ranges,
    )
    return pool, true[sources[rank]]
