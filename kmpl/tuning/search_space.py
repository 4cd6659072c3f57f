"""What is searched: the ranges declared beside the settings in config.py, as numbers for one experiment."""

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

_ARMS = {"pretrain": BEFORE, "augmentation": BEFORE}  # what is set here is set before pseudo-labelling begins
_MOST_CLUSTERS = 0.25  # of the images


@dataclass(frozen=True)
class Range:
    """Lowest and highest value of a setting, both included."""

    low: float
    high: float
    whole: bool
    log: bool

    def nearest(self, value: float) -> float:
        """Return the value of the range that is nearest."""
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.whole else inside

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


Space = dict[str, Range]

_UNTUNED = ("pretext",)  # is there for few labels, and few labels cannot tune it


def space(config: ExperimentConfig, arm: str, n_images: int, given: tuple[str, ...] = ()) -> Space:
    """Return the range of each setting that the study of an arm tries.

    Args:
        config: the settings that are searched around; what they say is always within.
        arm: labelled-only or pseudo-label.
        n_images: in the pool; K-means with few images a cluster says nothing.
        given: ranges that somebody asked for, as ``name=lowest:highest``; they are taken as they are.

    Raises:
        UserError: a range for a setting that is not tuned, or beyond what the setting may be.
    """
    asked, values = dict(map(split_range, given)), flatten(config.model_dump())
    known = {name: (field, search) for name, field, search in _searched(type(config))}
    for name, ends in asked.items():
        _check(name, ends, look_up(known, name, "tuned setting")[0])
    found: Space = {}
    for name, (field, search) in known.items():
        if _ARMS.get(name.split(".")[0], AFTER) != arm:
            continue
        whole = field.annotation is int
        low, high = asked.get(name) or _around(values[name], search)
        if name not in asked:
            limits = _limits(field)
            top = _MOST_CLUSTERS * n_images if name == "clustering.n_clusters" else limits[1]
            low, high = max(low, limits[0]), max(values[name], min(high, top))
        found[name] = Range(round(low), round(high), True, search.log) if whole else Range(low, high, False, search.log)
    return found


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
    """Return the lowest and the highest value that the setting itself takes."""
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


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what differs between two flat records in words: the first, and how many more; empty for nothing."""
    names = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if not names:
        return ""
    more = f", and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]} was {before.get(names[0], 'not there')}, is now {now.get(names[0], 'not there')}{more}"
