"""A sweep's settings: which experiments, how they are tuned, what they are called."""

import contextlib
import json
import math
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from kmpl.config.base import Ratios, Seeds, Settings, each_once, split_commas
from kmpl.config.experiment import Arms, Method


def _ranges(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what is no range; whether there is such a setting, only who knows all of them can say."""
    names = []
    for text in values:
        name, ends = split_range(text)
        if not ends[0] < ends[1]:
            wrong = "empty" if ends[0] == ends[1] else "reversed"
            raise ValueError(f"{text}: the range is {wrong}; give name=lowest:highest")
        names.append(name)
    each_once(tuple(names))
    return tuple(sorted(values))


def split_range(text: str) -> tuple[str, tuple[float, float]]:
    """Return name, lowest and highest of a range.

    >>> split_range("pseudo_labels.k=1:20")
    ('pseudo_labels.k', (1.0, 20.0))

    Raises:
        ValueError: it is none.
    """
    name, _, ends = text.partition("=")
    low, _, high = ends.partition(":")
    with contextlib.suppress(ValueError):
        if all(map(math.isfinite, found := (float(low), float(high)))):
            return name.strip(), found
    raise ValueError(f"{text}: no range; give name=lowest:highest, clustering.n_clusters=50:400 say")


Ranges = Annotated[tuple[str, ...], BeforeValidator(split_commas), AfterValidator(_ranges)]


class SweepOptions(Settings):
    """Which experiments make up a sweep, and how they are run."""

    ratios: Ratios = (0.8, 0.4, 0.1)
    """Labelled ratios (shares of the pool that are labelled), separated by commas; each in (0, 1)."""
    seeds: Seeds = (0,)
    """Seeds, separated by commas. Each seed draws labels, views and weights anew; all arms share its draws."""
    arms: Arms = ("labelled-only", "pseudo-label")
    """Arms (methods) to compare, separated by commas."""
    trials: int = Field(default=0, ge=0, le=10_000)
    """Number of trials of each of the two studies per ratio (labelled-only, pseudo-label); 0 = no tuning."""
    search: Ranges = ()
    """Search ranges that replace the default ones, separated by commas: clustering.n_clusters=50:400, say."""
    draws: int = Field(default=3, ge=1, le=100)
    """Number of draws of labels that decide a study: trials use the first draw, the final comparison the others."""
    jobs: int = Field(default=1, ge=1, le=256)
    """Number of experiments that run at once. Each has a process of its own and its share of the cores."""
    name: str = Field(default="", max_length=80, pattern=r"^[\w.+-]*$")
    """Name of the sweep (letters, digits, . _ + -). It belongs to one configuration. Empty: made from the settings."""
    model: str = Field(default="kmpl", min_length=1, max_length=80, pattern=r"^[\w.+-]+$")
    """Registered model whose champion the sweep may replace."""

    @field_validator("ratios")
    @classmethod
    def _falling(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        """Sort them: their order changes no number, and the same sweep should have the same name."""
        return tuple(sorted(ratios, reverse=True))


class TuneOptions(SweepOptions):
    """What is tuned, and how it is compared with the settings as they are."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """Seeds of the comparison after tuning, separated by commas. Tuning uses none of them."""
    trials: int = Field(default=20, ge=1, le=10_000)
    """Number of trials of each of the two studies (labelled-only, pseudo-label); trials of earlier runs count."""


class SweepConfig(SweepOptions):
    """All labelled ratios × seeds × arms of one configuration."""

    experiment: Method = Method()
    """What all experiments share."""

    def configuration(self) -> str:
        """Return what the sweep's name stands for: all but how and where it is run, and for how long it is tuned."""
        told = self.model_dump(mode="json", exclude={"jobs", "name", "model"}) | {"trials": self.trials > 0}
        return json.dumps(told, sort_keys=True)


def experiment_name(ratio: float, seed: int) -> str:
    """Return what one experiment of a sweep is called, everywhere.

    >>> experiment_name(0.1, 3)
    'ratio 0.1, seed 3'
    """
    return f"ratio {ratio}, seed {seed}"


_UNTUNED = ", untuned"


def untuned(name: str) -> str:
    """Return what the experiment of the same draw is called that keeps the settings as they were given."""
    return name + _UNTUNED


def is_untuned(name: str) -> bool:
    """Say whether an experiment of a sweep that tunes keeps the settings as they were given."""
    return name.endswith(_UNTUNED)
