"""The search space: the ranges that the settings declare, as numbers for one experiment."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kmpl.config.base import Search, flatten
from kmpl.config.experiment import AFTER, BEFORE, ExperimentConfig
from kmpl.config.sweep import split_range
from kmpl.errors import UserError, look_up

_ARMS = {"pretrain": BEFORE, "augmentation": BEFORE}  # these act before pseudo-labelling begins
_MAX_CLUSTERS_PER_IMAGE = 0.25  # K-means with fewer images per cluster says little


@dataclass(frozen=True)
class Range:
    """Lowest and highest value of a setting, both included."""

    low: float
    high: float
    whole: bool
    log: bool

    def nearest(self, value: float) -> float:
        """Return the nearest value inside the range."""
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.whole else inside

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


Space = dict[str, Range]

_UNTUNED = ("pretext",)  # pretext training is for few labels, and few labels cannot tune it


def space(config: ExperimentConfig, arm: str, n_images: int, ranges: tuple[str, ...] = ()) -> Space:
    """Return the range of each setting that the study of an arm searches.

    Args:
        config: settings; each range contains the value that they hold.
        arm: labelled-only or pseudo-label.
        n_images: number of images in the pool; it limits the number of clusters.
        ranges: ranges that replace the declared ones, unchanged, as ``name=lowest:highest``.

    Raises:
        UserError: a range is for a setting that is not tuned, or beyond the limits of the setting.
    """
    requested = dict(map(split_range, ranges))
    values = flatten(config.model_dump())
    declared = {name: (field, search) for name, field, search in _searched(type(config))}
    for name, ends in requested.items():
        field, _ = look_up(declared, name, "tuned setting")
        _check(name, ends, field)
    limits: Space = {}
    for name, (field, search) in declared.items():
        if _ARMS.get(name.split(".")[0], AFTER) != arm:
            continue
        low, high = requested.get(name) or _around(values[name], search)
        if name not in requested:
            lowest, highest = _limits(field)
            if name == "clustering.n_clusters":
                highest = _MAX_CLUSTERS_PER_IMAGE * n_images
            low = max(low, lowest)
            high = max(values[name], min(high, highest))
        if field.annotation is int:
            limits[name] = Range(round(low), round(high), whole=True, log=search.log)
        else:
            limits[name] = Range(low, high, whole=False, log=search.log)
    return limits


def _searched(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo, Search]]:
    """Yield dotted name, field and declaration of each setting that is tuned."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and name not in _UNTUNED:
            yield from _searched(kind, f"{prefix}{name}.")
        for search in (m for m in field.metadata if isinstance(m, Search)):
            if search.only in ("", prefix.rstrip(".")):
                yield f"{prefix}{name}", field, search


def _around(value: float, search: Search) -> tuple[float, float]:
    if search.around:
        return value * search.around[0], value * search.around[1]
    assert search.between is not None
    return min(search.between[0], value), max(search.between[1], value)


def _limits(field: FieldInfo) -> tuple[float, float]:
    """Return the lowest and the highest value that the setting accepts."""
    lows = [float(m.ge) for m in field.metadata if isinstance(m, annotated_types.Ge)]  # type: ignore[arg-type]
    highs = [float(m.le) for m in field.metadata if isinstance(m, annotated_types.Le)]  # type: ignore[arg-type]
    return max(lows, default=-math.inf), min(highs, default=math.inf)


def _check(name: str, ends: tuple[float, float], field: FieldInfo) -> None:
    low, high = _limits(field)
    above = [float(m.gt) for m in field.metadata if isinstance(m, annotated_types.Gt)]  # type: ignore[arg-type]
    least = max([low, *above])
    if ends[0] < low or ends[1] > high or any(ends[0] <= limit for limit in above):
        allowed = f"{'above' if above else 'at least'} {least:g}" + ("" if math.isinf(high) else f", at most {high:g}")
        raise UserError(f"{name}={ends[0]:g}:{ends[1]:g}: {name} is {allowed}; give a range within")
    if field.annotation is int and any(end != int(end) for end in ends):
        raise UserError(f"{name}={ends[0]:g}:{ends[1]:g}: {name} is a whole number; give whole ends")


def differences(previous: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Return the first difference between two flat records in words, and the number of others; empty if none."""
    names = [name for name in sorted(previous.keys() | current.keys()) if previous.get(name) != current.get(name)]
    if not names:
        return ""
    more = f", and {len(names) - 1} more" if len(names) > 1 else ""
    first = names[0]
    return f"{first} was {previous.get(first, 'not there')}, is now {current.get(first, 'not there')}{more}"
