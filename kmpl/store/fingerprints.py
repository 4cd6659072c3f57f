"""What determines a result, as one digest.

That is: what a step is given, the settings it reads, its seed, the source code it runs, the versions of the libraries
below, the kind of device, its precision and the number of threads.
"""

import ast
import hashlib
import json
import platform
import re
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from kmpl.config.experiment import Learning
from kmpl.runtime.devices import pick_device, pick_precision

# What these hold reaches a key as the value of a setting, or reaches no number at all.
_NO_NUMBERS = {
    "kmpl",
    "kmpl.config.base",
    "kmpl.config.experiment",
    "kmpl.datasets.types",
    "kmpl.errors",
    "kmpl.method.results",
    "kmpl.method.step_inputs",
    "kmpl.training.history",
}
_CODE = {
    "fit": ("kmpl.method.steps", "kmpl.training.loop", "kmpl.models.registry", "kmpl.images.views"),
    "backbone": ("kmpl.models.backbones.registry", "kmpl.models.backbones.embedding", "kmpl.images.decoding"),
    "embed": ("kmpl.models.embedding", "kmpl.models.registry"),
    "pretext": ("kmpl.method.pretext",),
    "vote": ("kmpl.method.steps", "kmpl.method.pseudo_labels", "kmpl.runtime.seeds"),
    "evaluate": ("kmpl.method.evaluation", "kmpl.models.registry", "kmpl.models.frozen_network"),
    "experiment": (
        "kmpl.method.experiment",
        "kmpl.method.frozen_steps",
        "kmpl.method.pseudo_labels",
        "kmpl.method.evaluation",
        "kmpl.reports.experiment_report",
    ),
}


_LATER_IMPORT = re.compile(r"(kmpl(?:\.\w+)+):\w+")  # how records of kmpl.config name code: module:function


@cache
def _imports(source: str) -> set[str]:
    """Return the modules of kmpl that a module's source imports, at once or by ``Choice.load``."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "kmpl":
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            later = _LATER_IMPORT.fullmatch(node.value)
            modules |= {later[1]} if later else set()
    return modules


def _source(module: str) -> str | None:
    """Return a module's source without comments and layout; None if there is no such file."""
    path = Path(__file__).parents[1].joinpath(*module.split(".")[1:]).with_suffix(".py")
    return _without_comments(path.read_text(encoding="utf-8")) if path.is_file() else None


@cache  # the steps share most modules, and parsing them takes most of the time of a first key
def _without_comments(source: str) -> str:
    return ast.unparse(ast.parse(source))


@cache
def code_version(step: str) -> str:
    """Return the digest of the source that a step runs: its modules and, but for steps.py itself, all they import.

    steps.py only hands things on; following its imports too would make every step depend on all of kmpl.
    """
    waiting = list(_CODE[step])
    sources = dict[str, str]()
    while waiting:
        module = waiting.pop()
        source = None if module in _NO_NUMBERS or module in sources else _source(module)
        if source is not None:
            sources[module] = source
            waiting += [] if module == "kmpl.method.steps" else sorted(_imports(source))
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def environment_key(config: Learning) -> dict[str, Any]:
    """Return what a number depends on besides data, settings and code: libraries and what it is computed on."""
    device = pick_device(config.device)
    computed_on = {"device": device.type, "threads": torch.get_num_threads()}
    computed_on |= {"precision": str(pick_precision(config.precision, device))}
    return _library_versions() | computed_on | {"machine": platform.machine()}


@cache
def _library_versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("torch", "torchvision", "scikit-learn", "numpy", "scipy")}


def key(step: str, config: Learning, **inputs: Any) -> str:
    """Return the digest of all that determines a step's result."""
    text = json.dumps(
        {"step": step, "code": code_version(step), "environment": environment_key(config)} | inputs, sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()
