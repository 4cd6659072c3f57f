"""Any model of timm without its classifier: ``timm:vit_small_patch14_dinov2.lvd142m``."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from kmpl.errors import FileError, SettingError, UserError, unknown
from kmpl.models.backbones.backbone import ARCHITECTURE_ONLY, DOWNLOAD, Backbone, Request


def open_timm(request: Request) -> Backbone:
    """Return a model of timm, with weights from a file, from its cache, or fetched if that is asked for.

    Raises:
        UserError: timm is not installed, or the weights are not there.
        SettingError: there is no such model.
    """
    timm = _timm()
    name = f"timm:{request.name}"
    architecture, _, tag = request.name.partition(".")
    if not timm.is_model(architecture):
        raise SettingError("backbone", name, unknown("model", architecture, timm.list_models()))
    if tag and request.name not in (known := timm.list_pretrained(f"{architecture}.*")):
        raise SettingError("backbone", name, unknown("weights", request.name, known))
    more: dict[str, Any] = {"pretrained": request.weights != ARCHITECTURE_ONLY}
    if request.weights not in (DOWNLOAD, ARCHITECTURE_ONLY):
        path = Path(request.weights).expanduser() if request.weights else _cached(timm.get_pretrained_cfg(request.name))
        if path is None or not path.is_file():
            where = f"at {path}" if path else "in the caches of timm's libraries"
            hint = f"give --backbone-weights FILE, or --backbone-weights {DOWNLOAD} to fetch them"
            raise FileError(f"the weights of {name} are not {where}; {hint}", path or "")
        more["pretrained_cfg_overlay"] = {"file": str(path)}
    try:
        network = timm.create_model(request.name, num_classes=0, **more)
    except Exception as error:  # timm, huggingface_hub and PyTorch each raise their own
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"the weights of {name} cannot be read: {reason}") from error
    about = timm.data.resolve_model_data_config(network)
    return Backbone(
        network,
        name=name,
        licence=str(network.pretrained_cfg.get("license") or "unknown"),
        size=about["input_size"][-1],
        dimension=network.num_features if not hasattr(network, "head_hidden_size") else network.head_hidden_size,
        mean=about["mean"],
        deviation=about["std"],
    )


def _cached(about: Any) -> Path | None:
    """Return the file of weights that was fetched before; None if there is none."""
    from huggingface_hub import try_to_load_from_cache  # comes with timm

    if about.url:
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(about.url).name
    files = ("model.safetensors", "pytorch_model.bin")
    found = (try_to_load_from_cache(about.hf_hub_id, file) for file in files if about.hf_hub_id)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _timm() -> ModuleType:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise UserError("backbones timm:NAME need the package timm: pip install timm") from error
