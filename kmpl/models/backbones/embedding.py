"""One pass of a backbone. Shapes: B images, D feature dimension."""

import numpy as np
import torch
from torch import Tensor

from kmpl.images.transforms import to_float
from kmpl.models.backbones.backbone import Backbone
from kmpl.runtime.devices import pick_device, pick_precision


def embed_batch(backbone: Backbone, images: Tensor, device: str = "auto", precision: str = "auto") -> np.ndarray:
    """Return features (B, D) float32 of images (B, height, width, 3) uint8.

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
