"""Defaults of flags in words, where a command chooses them and the field's own default does not hold."""

from collections.abc import Mapping
from typing import Any

from kmpl.benchmarks.options import AUDIT, RATIOS, SETTINGS
from kmpl.commands.flags import flag
from kmpl.config.backbones import DEFAULT_BACKBONE
from kmpl.config.base import flatten
from kmpl.config.experiment import Method
from kmpl.config.labelling import sized
from kmpl.config.presets import PRESETS, load

Words = dict[str, str]
_CLUSTERS = "--clustering.n-clusters"


def text(value: Any) -> str:
    """Return a value as it would be typed.

    >>> text((0.8, 0.4)), text(30_000)
    ('0.8,0.4', '30000')
    """
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def of_folders() -> Words:
    """Return the settings that ``kmpl label`` and ``kmpl suggest`` choose by the folder."""
    return {flag(name): "chosen from the folder's size" for name in flatten(sized(1, 1))}


def of_presets() -> Words:
    """Return the defaults of settings that a preset changes, with the value of each preset."""
    own = flatten(Method().model_dump())
    changes = {preset: flatten(tree) for preset, tree in PRESETS.items()}
    words = {}
    for name, value in own.items():
        other = [f"{preset}: {text(c[name])}" for preset, c in changes.items() if c.get(name, value) != value]
        if other:
            words[flag(name)] = f"depends on --preset: {text(value)}, {', '.join(other)}"
    return words | {_CLUSTERS: f"{words[_CLUSTERS]}; fewer for a smaller pool"}


def of_comparison(name: str) -> Words:
    """Return the defaults of a benchmark that is a sweep: its own protocol, ratios and name, the rest by the preset."""
    own = SETTINGS[name] | {"ratios": RATIOS[name], "name": name}
    return of_presets() | _words(own)


def of_table(benchmark: str) -> Words:
    """Return the defaults of a benchmark that takes no preset."""
    return _words({name: value for name, value in SETTINGS[benchmark].items() if name in Method.model_fields})


def of_audit() -> Words:
    """Return the defaults of the audit: the notebook's constants, with a smaller network."""
    own = flatten(Method().model_dump())
    of_preset = flatten(load(*AUDIT).model_dump(include=set(Method.model_fields)))
    return {flag(name): text(value) for name, value in of_preset.items() if value != own[name]}


def of_folder_benchmark() -> Words:
    """Return the defaults of the benchmark of labelled folders."""
    return of_folders() | {"--expect-accuracy": "0.99 with balanced labels, else 0.8"}


def of_picture_benchmark() -> Words:
    """Return the defaults of ``kmpl benchmark pictures``."""
    return of_folders() | {"--backbone": DEFAULT_BACKBONE}


def _words(settings: Mapping[str, Any]) -> Words:
    return {flag(name): text(value) for name, value in flatten(settings).items()}
