"""The backbones: networks that learnt elsewhere and stay as they are. A new one is a function and one line here.

The function takes a ``kmpl.models.backbones.backbone.Request`` and returns a ``Backbone``.
"""

from pathlib import Path

from kmpl.config.choices import Choice, by_name
from kmpl.errors import FileError, UnknownNameError

NO_BACKBONE = "none"
"""The network learns from the folder's own images, from scratch."""
AUTO = "auto"
"""The given labels decide, where the default backbone is installed."""
DEFAULT_BACKBONE = "efficientnet-lite0"
BACKBONE_SIDE_PIXELS = 224
"""Side that images of a folder are read at for a backbone, where a data set is made of them."""
FEATURES = "features"
"""Kind of what is no network: ``features:FILE``, or a folder of shards, holds features that somebody computed."""

ONNX = "onnx"
"""Kind of a network of another runtime: ``onnx:FILE``."""

BACKBONES = by_name(
    Choice(
        DEFAULT_BACKBONE,
        "kmpl.models.backbones.efficientnet_lite:open_efficientnet_lite0",
        "efficientnet-lite0 (photographs)",
    ),
    Choice("timm", "kmpl.models.backbones.timm_models:open_timm", "timm:NAME"),
    Choice("torchvision", "kmpl.models.backbones.torchvision_models:open_torchvision", "torchvision:NAME"),
    Choice(ONNX, "kmpl.models.backbones.onnx_models:open_onnx", "onnx:FILE"),
)

BACKBONES_DESCRIBED = f"{', '.join(choice.help for choice in BACKBONES.values())} or {FEATURES}:FILE"
"""For help texts."""


def kind_of(backbone: str) -> str:
    """Return the entry of ``BACKBONES`` that a setting names, or ``features``.

    >>> kind_of("timm:resnet18"), kind_of("features:mine.npz"), kind_of("efficientnet-lite0")
    ('timm', 'features', 'efficientnet-lite0')
    """
    return backbone.partition(":")[0]


def why_no_model(backbone: str) -> str:
    """Return why features of a backbone leave no model to predict with, and what does; empty where one is left.

    >>> why_no_model("features:mine.npz").partition(";")[0]
    'features:mine.npz holds features of these images alone'
    >>> why_no_model("efficientnet-lite0")
    ''
    """
    why = {FEATURES: "holds features of these images alone", ONNX: "is a network of another runtime"}
    reason = why.get(kind_of(backbone))
    others = ", ".join(choice.help for kind, choice in BACKBONES.items() if kind != ONNX)
    return f"{backbone} {reason}; --backbone with one of {others} leaves one" if reason else ""


def check_backbone(backbone: str) -> None:
    """Refuse, before anything heavy is imported, a backbone of an unknown kind and a file that is not there.

    Raises:
        UserError: in one line.
    """
    kind, _, name = backbone.partition(":")
    known = (*BACKBONES, FEATURES, NO_BACKBONE, AUTO)
    if kind not in known:
        raise UnknownNameError("backbone", backbone, known)
    path = Path(name).expanduser()
    if kind in (FEATURES, ONNX) and not (path.is_file() or (kind == FEATURES and path.is_dir())):
        what = "file of features" if kind == FEATURES else "ONNX file"
        raise FileError(f"backbone {backbone}: there is no such {what}", name)
