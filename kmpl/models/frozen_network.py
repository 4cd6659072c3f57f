"""A backbone that stays as it is, and a linear classifier on its features. Shapes: B images, D features, C classes."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from kmpl.models.backbones.backbone import Backbone
from kmpl.models.network import Network

LINEAR = "linear"
"""What a model file calls the network on top of a backbone."""


class Direction(nn.Module):
    """Features to vectors of length one, by what angles between them say.

    Features that are never negative are counts of a kind: square roots keep the largest from deciding alone
    (Arandjelović & Zisserman 2012, "Three things everyone should know to improve object retrieval").
    """

    def __init__(self, root: bool) -> None:
        super().__init__()
        self.root = root

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, D) of length one."""
        return normalize(features.clamp_min(0).sqrt() if self.root else features, dim=1)


def directions(features: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return features (N, D) of length one, float32, and whether square roots were taken.

    >>> values, root = directions(np.array([[9.0, 16.0], [0.0, 4.0]]))
    >>> values.astype(float).round(2).tolist(), root
    ([[0.6, 0.8], [0.0, 1.0]], True)
    """
    root = bool((features >= 0).all())
    return directions_of(features, root=root), root


def directions_of(features: np.ndarray, *, root: bool) -> np.ndarray:
    """Return features (N, D) of length one, float32, with square roots taken or not."""
    with torch.inference_mode():
        result: np.ndarray = Direction(root)(torch.from_numpy(np.array(features, dtype=np.float32))).numpy()
    return result


class FrozenNetwork(Network):
    """A backbone and a classifier: what it gives for an image depends on this image alone."""

    head: nn.Linear

    def __init__(self, backbone: nn.Module | None, *, dimension: int, n_classes: int, root: bool) -> None:
        """Take a backbone; None where features come from a file, and no image can be embedded.

        Args:
            backbone: images → features.
            dimension: D.
            n_classes: C.
            root: take square roots, as ``directions`` did.
        """
        super().__init__()
        self.extractor = nn.Identity() if backbone is None else backbone
        self.neck = Direction(root)
        self.head = nn.Linear(dimension, n_classes)
        self.dimension = dimension
        self.requires_grad_(False)

    @classmethod
    def untrained(cls, backbone: Backbone, *, n_classes: int, root: bool) -> "FrozenNetwork":
        """Return a network whose weights are still to be read from a file."""
        return cls(backbone, dimension=backbone.dimension, n_classes=n_classes, root=root)

    @property
    def description(self) -> dict[str, object]:
        """What its weights do not say: the fields of ``kmpl.models.model_file.Description`` that it decides."""
        name = self.extractor.name if isinstance(self.extractor, Backbone) else ""
        assert isinstance(self.neck, Direction)
        return {"network": LINEAR, "backbone": name, "root": self.neck.root}

    def set_head(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Set the classifier: weight (C, D) and bias (C,)."""
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight))
            self.head.bias.copy_(torch.from_numpy(bias))

    def tempered(self, temperature: float) -> "FrozenNetwork":
        """Return the same network with its logits divided by a temperature."""
        other = FrozenNetwork(
            self.extractor,
            dimension=self.dimension,
            n_classes=self.head.out_features,
            root=bool(self.description["root"]),
        )
        weight = self.head.weight.cpu().numpy() / temperature
        other.head.to(self.head.weight.device)
        other.set_head(weight, self.head.bias.cpu().numpy() / temperature)
        return other

    def logits(self, prepared: np.ndarray) -> np.ndarray:
        """Return logits (N, C) float32 of features (N, D) of length one, in any precision."""
        with torch.inference_mode():
            features = torch.from_numpy(np.asarray(prepared, dtype=np.float32))
            result: np.ndarray = self.head(features.to(self.head.weight.device)).cpu().numpy()
        return result

    def probabilities(self, prepared: np.ndarray) -> np.ndarray:
        """Return class probabilities (N, C) float32 of features (N, D) of length one."""
        logits = torch.from_numpy(self.logits(prepared))
        return np.asarray(logits.softmax(dim=1).numpy())


def sees_images(network: Network) -> bool:
    """Say whether a network takes images: False where its features come from a file, or from another runtime."""
    if not isinstance(network, FrozenNetwork):
        return True
    return isinstance(network.extractor, Backbone) and network.extractor.is_exportable
