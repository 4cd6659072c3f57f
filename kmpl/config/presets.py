"""Settings in layers: defaults, preset, file, single changes; the later wins."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kmpl.config.experiment import ExperimentConfig, Learning
from kmpl.errors import FileError, SettingError, look_up, unknown

M = TypeVar("M", bound=Learning)

_NOTEBOOK_LABELS = {
    "strategy": "prototype-knn",
    "rounds": 1,
    "threshold": 0.0,
    "labelled_share": 0.0,
    "weighted": False,
}

ARM_CHANGES: dict[str, dict[str, Any]] = {
    "notebook": {
        "pseudo_labels": _NOTEBOOK_LABELS,
        "clustering": {"l2": False, "whiten": 0, "maps": 0},
    },
    "self-training": {"pseudo_labels": {"strategy": "self-training"}},
    "label-spreading": {"pseudo_labels": {"strategy": "label-spreading"}},
}

_NOTEBOOK_TRAINING = {
    "epochs": 4,
    "batch_size": 64,
    "optimizer": "adam",
    "learning_rate": 0.001,
    "weight_decay": 0.0,
    "schedule": "constant",
    "ema": 0.0,
    "images_per_epoch": 0,
}
_NOTEBOOK_RETRAINING = _NOTEBOOK_TRAINING | {"last_round": 1}
_NO_AUGMENTATION = {
    "degrees": 0,
    "translate": 0,
    "scale": 0,
    "shear": 0,
    "elastic": 0,
    "crop": 1.0,
    "cutout": 0,
    "brightness": 0,
    "contrast": 0,
    "views": 0,
}

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "quick": {
        # What tuning found at ratio 0.1, in three quarters of its epochs (docs/log/attempts-tuning.md has command and
        # price); clusters by the root of the smaller pool.
        "pool": {"size": 10_000},
        "augmentation": {"strength": 0.81},
        "pretrain": {"epochs": 9, "learning_rate": 0.0037},
        "retrain": {
            "epochs": 7,
            "images_per_epoch": 16_000,
            "learning_rate": 0.0024,
            "clustering_loss": 0.068,
            "last_round": 1,
        },
        "clustering": {"n_clusters": 220},
        "pseudo_labels": {"rounds": 1},
    },
    "notebook": {
        "protocol": "notebook",
        "network": "vgg16",
        "pretrain": _NOTEBOOK_TRAINING,
        "retrain": _NOTEBOOK_RETRAINING,
        "augmentation": _NO_AUGMENTATION,
        "clustering": {"l2": False, "whiten": 0, "maps": 0},
        "pseudo_labels": _NOTEBOOK_LABELS,
    },
}


_POOL = 30_000  # images from which on the clusters of the defaults fit


def preset_pool_size(preset: str) -> int:
    """Return the size of the pool that a preset's number of clusters is for."""
    size: int = PRESETS[preset].get("pool", {}).get("size", _POOL)
    return size


def for_arm(config: ExperimentConfig, arm: str) -> ExperimentConfig:
    """Return the settings with what an arm is by definition: its strategy, and the notebook's single round."""
    return merge(config, ARM_CHANGES.get(arm, {}))


def overlay(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``change`` laid over it, section by section; ratio and labels displace each other."""
    merged = dict(base)
    for key, value in change.items():
        section = merged.get(key)
        merged[key] = overlay(section, value) if isinstance(section, Mapping) and isinstance(value, Mapping) else value
    if change.get("ratio") is not None and change.get("labels") is None:
        merged["labels"] = None
    if change.get("labels") is not None and change.get("ratio") is None:
        merged["ratio"] = None
    return merged


def merge(config: M, change: Mapping[str, Any]) -> M:
    """Return settings of the same kind with a tree of changes laid over them, validated anew.

    Raises:
        SettingError: an unknown key or a value out of its range, in one line.
    """
    try:
        return type(config).model_validate(overlay(config.model_dump(), change))
    except ValidationError as error:
        raise setting_error(error, type(config)) from error


def load(
    preset: str = "default", file: Path | None = None, change: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """Return an experiment's settings as ``layered`` makes them."""
    return layered(ExperimentConfig(), preset, file, change)


def layered(base: M, preset: str, file: Path | None, change: Mapping[str, Any] | None) -> M:
    """Return the defaults under a preset, under a TOML file, under single changes: the later wins.

    Raises:
        UserError: no such preset, an unreadable file, an unknown key or a value out of its range.
    """
    config = merge(base, look_up(PRESETS, preset, "preset"))
    if file is not None:
        tree = _read(file)
        try:
            config = merge(config, tree)
        except SettingError as error:
            error.is_in_file = True
            error.add_context(str(file))
            raise
    return merge(config, change or {})


def overrides_from(file: Path | None, change: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings that a file and single changes give, as a tree, without defaults and preset.

    Raises:
        UserError: an unreadable file.
    """
    return overlay({} if file is None else _read(file), change or {})


def _read(file: Path) -> dict[str, Any]:
    """Return what a TOML file says."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}", file) from error
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{file} is no valid TOML: {error}", file) from error


def setting_error(error: ValidationError, model: type[BaseModel] = ExperimentConfig) -> SettingError:
    """Return the first thing that is wrong, as ``one_line`` says it."""
    first = error.errors()[0]
    setting = ".".join(str(part) for part in first["loc"])
    return SettingError(setting, first["input"], first["msg"], line=one_line(error, model))


_NOT_A_NUMBER = {"int_parsing": "give a whole number", "float_parsing": "give a number"}
"""What would be right, by pydantic's type of error; its own words are about parsers."""


def one_line(error: ValidationError, model: type[BaseModel] = ExperimentConfig) -> str:
    """Return the first thing that is wrong in one line, with the nearest right name where a name is wrong."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown("key", place, _names(model))
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        known = first["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return unknown("arm" if first["loc"][0] == "arms" else place, first["input"], known)
    message = _NOT_A_NUMBER.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    more = f"; and {error.error_count() - 1} more" if error.error_count() > 1 else ""
    got = "" if isinstance(first["input"], Mapping) else f", got {first['input']!r}"  # a whole section says nothing
    return f"{place}: {message}{got}{more}" if place else message + more


def _names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the dotted names of all fields."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            names += _names(section, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names
