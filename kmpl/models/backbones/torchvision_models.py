"""Any classifier of torchvision without its last layer: ``torchvision:resnet50``."""

from pathlib import Path

import torch
from torch import nn
from torchvision.models import get_model, get_model_weights, list_models

from kmpl.errors import FileError, SettingError, unknown
from kmpl.models.backbones.backbone import ARCHITECTURE_ONLY, DOWNLOAD, Backbone, Request
from kmpl.models.backbones.weights_file import read_weights

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def open_torchvision(request: Request) -> Backbone:
    """Return a model of torchvision, with weights from a file, from torch's cache, or fetched if that is asked for.

    Raises:
        SettingError: there is no such model, or it is no classifier of pictures.
        FileError: the weights are not there, damaged, or another model's.
    """
    name = f"torchvision:{request.name}"
    known = list_models(module=torch_models())
    if request.name not in known:
        raise SettingError("backbone", name, unknown("model", request.name, known))
    network = get_model(request.name, weights=None)
    published = get_model_weights(request.name).DEFAULT
    if request.weights == DOWNLOAD:
        network.load_state_dict(published.get_state_dict(progress=False, check_hash=True))
    elif request.weights != ARCHITECTURE_ONLY:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
        path = Path(request.weights).expanduser() if request.weights else cached
        if not path.is_file():
            hint = f"give --backbone-weights FILE, or --backbone-weights {DOWNLOAD} to fetch {published.url}"
            raise FileError(f"the weights of {name} are not at {path}; {hint}", path)
        read_weights(network, path)
    dimension = _without_classifier(network, name)
    transforms = published.transforms()
    return Backbone(
        network,
        name=name,
        licence=f"see {published.meta.get('recipe') or published.url}",
        size=int((getattr(transforms, "crop_size", None) or [224])[0]),
        dimension=dimension,
        mean=getattr(transforms, "mean", _IMAGENET_MEAN),
        deviation=getattr(transforms, "std", _IMAGENET_DEVIATION),
    )


def torch_models() -> object:
    """Return the module of torchvision's classifiers; detection and video have modules of their own."""
    import torchvision

    return torchvision.models


def _without_classifier(network: nn.Module, backbone: str) -> int:
    """Replace the last linear layer by nothing; return the dimension of what it was given.

    Raises:
        SettingError: it has none.
    """
    linear = [(path, module) for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise SettingError("backbone", backbone, "its classifier has no linear layer to leave out", "another model")
    path, layer = linear[-1]
    owner, _, attribute = path.rpartition(".")
    setattr(network.get_submodule(owner), attribute, nn.Identity())
    return layer.in_features
