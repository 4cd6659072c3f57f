"""Features of a folder's images by a backbone: kept for files that were seen before, computed for new ones.

Shapes: N images, D feature dimension, S side of the images in pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from kmpl.config.backbones import FEATURES, kind_of
from kmpl.config.experiment import Learning
from kmpl.datasets.feature_files import read_features
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import FrozenFeatures
from kmpl.errors import UserError
from kmpl.images.reading import OnProgress, read_in_order
from kmpl.models.backbones.backbone import Backbone
from kmpl.models.backbones.embedding import embed_in_batches
from kmpl.models.backbones.registry import open_backbone
from kmpl.models.frozen_network import directions
from kmpl.runtime.devices import use_threads
from kmpl.store.fingerprints import key
from kmpl.store.kept_features import KeptFeatures
from kmpl.store.kept_results import weights_digest
from kmpl.store.store import Store
from kmpl.training.watch import ignore

_KEPT_TOGETHER = 256
"""Images whose features are kept in one entry: after a kill, at most so many are computed again."""


def embed(images: FolderImages, learning: Learning, store: Store, on_progress: OnProgress = ignore) -> FolderImages:
    """Return the same images with features of the backbone that the settings name.

    Args:
        images: of the folder.
        learning: settings; ``backbone`` is one.
        store: of finished steps.
        on_progress: called with the number of images so far and in all.

    Raises:
        UserError: no such backbone, a package or a file is missing, or a file of features lacks images.
    """
    use_threads(learning.threads)
    name = learning.backbone
    if kind_of(name) == FEATURES:
        backbone = None
        values = read_features(Path(name.partition(":")[2]).expanduser(), images.files)
    else:
        backbone = open_backbone(name, learning.backbone_weights)
        values = _by_content(images, backbone, learning, store=store, on_progress=on_progress)
    if not np.isfinite(values).all():
        raise UserError(f"--backbone {name}: not all features are finite numbers; another --precision may help")
    prepared, root = directions(values)
    if len(prepared) > 1 and (prepared == prepared[0]).all():
        raise UserError(f"--backbone {name}: all images have the same features, which tell nothing apart")
    frozen = FrozenFeatures(
        values=prepared,
        validation=prepared[:0],
        root=root,
        name=name,
        backbone=backbone,
        side=backbone.size if backbone else 0,
    )
    return replace(images, frozen=frozen)


def _by_content(
    images: FolderImages, backbone: Backbone, learning: Learning, *, store: Store, on_progress: OnProgress
) -> np.ndarray:
    """Return features (N, D), from the store where it holds a file's."""
    reading = key(
        "backbone",
        learning,
        weights=weights_digest(backbone),
        size=backbone.size,
        conversion=images.conversion.record(),
    )
    kept = KeptFeatures(store, reading)
    rows = kept.read(set(images.digests))
    new = list({digest: i for i, digest in enumerate(images.digests) if digest not in rows}.items())
    done = len(images.files) - len(new)
    on_progress(done, len(images.files))
    pictures = read_in_order(
        images.root, [images.files[i] for _, i in new], size=backbone.size, channels=3, conversion=images.conversion
    )
    for part in _parts([digest for digest, _ in new], _KEPT_TOGETHER):
        computed: dict[str, np.ndarray] = {}
        missing = iter(part)
        ours = islice(pictures, len(part))
        for values in embed_in_batches(backbone, ours, learning.device, learning.precision):
            computed |= zip(islice(missing, len(values)), values, strict=True)
            done += len(values)
            on_progress(done, len(images.files))
        kept.write(computed)
        rows |= computed
    return np.stack([rows[digest] for digest in images.digests])


def _parts(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
