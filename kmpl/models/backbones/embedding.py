"""One pass of a backbone, and the one loop over batches. Shapes: B images, D feature dimension."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from kmpl.images.transforms import to_float
from kmpl.models.backbones.backbone import Backbone
from kmpl.runtime.devices import pick_device, pick_precision

BATCH_IMAGES = 32
"""Pictures that pass through a backbone at once: more are no faster on a CPU, and take more memory."""


def embed_in_batches(
    backbone: Backbone, pictures: Iterable[np.ndarray], device: str = "auto", precision: str = "auto"
) -> Iterator[np.ndarray]:
    """Yield features (B, D) float32 of each 32 pictures, in their order; pictures are asked for batch by batch.

    Args:
        backbone: as for ``embed_batch``.
        pictures: each (height, width, 1 or 3) uint8, all of one size.
        device: auto, cpu, cuda or mps.
        precision: of convolutions: auto, float32 or bfloat16.
    """
    coming = iter(pictures)
    while batch := list(islice(coming, BATCH_IMAGES)):
        yield embed_batch(backbone, torch.from_numpy(np.stack(batch)), device, precision)


def embed_batch(backbone: Backbone, images: Tensor, device: str = "auto", precision: str = "auto") -> np.ndarray:
    """Return features (B, D) float32 of images (B, height, width, 1 or 3) uint8.

    Args:
        backbone: the network; it is moved to the device, and stays there.
        images: as files are read.
        device: auto, cpu, cuda or mps.
        precision: of convolutions: auto, float32 or bfloat16.
    """
    target = pick_device(device)
    backbone.to(target).to(memory_format=torch.channels_last)
    batch = to_float(images.permute(0, 3, 1, 2).to(target))
    number_type = pick_precision(precision, target)
    with torch.inference_mode(), torch.autocast(target.type, number_type, enabled=number_type != torch.float32):
        features: np.ndarray = backbone(batch).float().cpu().numpy()
    return features
