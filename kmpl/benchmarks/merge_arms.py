"""One table out of several runs: the same experiments, other arms, on other days or machines."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError

from kmpl.benchmarks.merge_seeds import check_kept
from kmpl.config.base import flatten
from kmpl.config.experiment import Arm
from kmpl.config.sweep import SweepConfig, experiment_name
from kmpl.errors import UserError
from kmpl.reports.comparison import SweepReport, accuracies, tables
from kmpl.reports.findings import difference
from kmpl.reports.statistics import paired

_OWN = ("arms", "jobs", "name", "model")
"""Settings that may differ: they change no number of an arm."""


def read(path: Path, chosen: SweepConfig) -> SweepReport:
    """Return the report of an earlier run, or say before hours of work that it cannot be joined to this one.

    Raises:
        UserError: no such file, or no report; other settings than these but for the arms; no arm in both; tuning.
    """
    try:
        text = path.read_bytes()
        earlier = SweepReport.model_validate_json(text)
    except OSError as error:
        raise UserError(f"--join {path}: {error.strerror}") from error
    except ValidationError as error:
        raise UserError(f"--join {path}: not the numbers of such a table; name the JSON file beside one") from error
    if chosen.trials:
        raise UserError("--join: arms that were tuned have settings of their own; join without --trials")
    as_written = json.loads(text)["settings"]  # the model fills in what an older version did not know
    for name, here, there in _differences(chosen.model_dump(mode="json"), as_written, _OWN):
        raise UserError(f"--join {path}: {name} is {there} there and {here} here; only the arms may differ")
    if not {*chosen.arms} & {*earlier.settings.arms}:
        first = earlier.settings.arms[0]
        raise UserError(f"--join {path}: no arm in common; add {first} to --arms, it shows that both compute the same")
    return earlier


def check_standing(path: Path, arms: Collection[str]) -> None:
    """Refuse to write a table in the place of one with arms that are not in it.

    Raises:
        UserError: arms would be lost.
    """
    try:
        standing = SweepReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # nothing there, or nothing that could be joined
        return
    check_kept(path, "arms", [arm for arm in standing.settings.arms if arm not in arms])


def joined(report: SweepReport, earlier: SweepReport) -> SweepReport:
    """Return one report of the arms of both; an arm that both have is the earlier one's.

    It must have come out the same to the last bit, unless another kind of processor computed it with the same versions:
    then the draws must be the same, and what the arm differs by is said among the run's circumstances.

    Raises:
        UserError: the draws differ; or the numbers of an arm that both have do, and not for the processor alone.
    """
    arms = tuple(arm for arm in get_args(Arm) if arm in {*report.settings.arms, *earlier.settings.arms})
    settings = report.settings.model_copy(update={"arms": arms})
    ours = SweepReport.model_validate_json(report.model_dump_json())  # lists, not tuples: as the earlier one was read
    bound = [arm for arm in _shared(report, earlier) if not _processors_differ(report, earlier, arm)]
    results = [_together(here, there, arms, bound) for here, there in zip(ours.results, earlier.results, strict=True)]
    more = {
        "settings": settings,
        "seconds": report.seconds + earlier.seconds,
        "times": report.times | earlier.times,
        "parts": (*_parts(earlier), *({**part, **_other_bits(ours, earlier)} for part in _parts(report))),
    }
    return report.model_copy(update=more | tables(settings, results))


def _shared(report: SweepReport, earlier: SweepReport) -> list[str]:
    return [arm for arm in report.settings.arms if arm in earlier.settings.arms]


def _processors_differ(report: SweepReport, earlier: SweepReport, arm: str) -> bool:
    """Whether nothing but the kind of processor, which both runs must tell, sets an arm of both apart."""
    here, there = report.environment, next(part for part in _parts(earlier) if arm in part["arms"].split(", "))
    kinds = {run.get("processor", "") for run in (here, there)}
    return len(kinds) == 2 and "" not in kinds and _versions(here) == _versions(there)


def _versions(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: version for name, version in environment.items() if name.startswith("version.")}


def _together(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], arms: tuple[str, ...], bound: Collection[str]
) -> dict[str, Any]:
    free = [f"arms.{arm}" for arm in arms if arm not in bound]
    for number, here, there in _differences(ours, theirs, ("config.arms", *free)):
        name = experiment_name(ours["config"]["ratio"], ours["seed"])
        raise UserError(
            f"{name}: {number} is {here} here and {there} in what was to be joined; nothing is written "
            "(the same command without --join writes what was run here, at once)"
        )
    found = {**ours["arms"], **theirs["arms"]}
    config = {**ours["config"], "arms": list(arms)}
    return {**ours, "config": config, "arms": {arm: found[arm] for arm in arms}}


def _other_bits(report: SweepReport, earlier: SweepReport) -> dict[str, str]:
    """Return what the arms of both differ by, in words; nothing where they are the same to the last bit."""
    here, there = report.results, earlier.results
    told = [
        f"{arm}, ratio {ratio:g}: "
        + difference(paired(ratio, accuracies(there, ratio, arm), accuracies(here, ratio, arm)))
        for arm in _shared(report, earlier)
        if any(ours["arms"][arm] != theirs["arms"][arm] for ours, theirs in zip(here, there, strict=True))
        for ratio in report.settings.ratios
    ]
    return {"differs": "; ".join(told)} if told else {}


def _differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], left_out: tuple[str, ...]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted name and both values of all that differs, but for what is left out with all that is below it."""
    here, there = flatten(ours), flatten(theirs)
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name) and not any(f"{name}.".startswith(f"{one}.") for one in left_out):
            yield name, here.get(name), there.get(name)


def _parts(report: SweepReport) -> tuple[dict[str, str], ...]:
    """Return the circumstances of each run, and how long an arm took in it: what both have tells the machines apart."""
    if report.parts:
        return report.parts
    arms = report.settings.arms
    means = (np.mean([s for name, s in report.times.items() if name.endswith(f", {arm}")]) for arm in arms)
    took = ", ".join(f"{arm} {mean:.0f} s" for arm, mean in zip(arms, means, strict=True))
    return ({**report.environment, "arms": ", ".join(arms), "took": took},)
