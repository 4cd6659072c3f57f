"""Merge runs of a benchmark into one table: the same experiments, other arms, on other days or machines."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError

from kmpl.benchmarks.merge_seeds import refuse_loss
from kmpl.config.base import flatten
from kmpl.config.experiment import Arm
from kmpl.config.sweep import SweepConfig, experiment_name
from kmpl.errors import UserError
from kmpl.reports.comparison import SweepReport, accuracies, tables
from kmpl.reports.findings import difference
from kmpl.reports.statistics import paired

_MAY_DIFFER = ("arms", "jobs", "name", "model")
"""Settings that may differ between runs: they change no number of an arm."""


def read(path: Path, settings: SweepConfig) -> SweepReport:
    """Return the report of an earlier run; refuse, before hours of work, one that cannot be merged with this run.

    Raises:
        UserError: there is no such file, it is no report, settings other than the arms differ, no arm is in both, or
            the run tunes.
    """
    try:
        text = path.read_bytes()
        earlier = SweepReport.model_validate_json(text)
    except OSError as error:
        raise UserError(f"--join {path}: {error.strerror}") from error
    except ValidationError as error:
        raise UserError(f"--join {path}: not the numbers of such a table; name the JSON file beside one") from error
    if settings.trials:
        raise UserError("--join: arms that were tuned have settings of their own; join without --trials")
    as_written = json.loads(text)["settings"]  # the model adds settings that an older version did not have
    for name, here, there in _differences(settings.model_dump(mode="json"), as_written, _MAY_DIFFER):
        raise UserError(f"--join {path}: {name} is {there} there and {here} here; only the arms may differ")
    if not {*settings.arms} & {*earlier.settings.arms}:
        first = earlier.settings.arms[0]
        raise UserError(f"--join {path}: no arm in common; add {first} to --arms, it shows that both compute the same")
    return earlier


def refuse_lost_arms(path: Path, arms: Collection[str]) -> None:
    """Refuse to overwrite a table with arms that are not in the new one.

    Raises:
        UserError: arms would be lost.
    """
    try:
        existing = SweepReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # there is no table, or none that could be merged
        return
    refuse_loss(path, "arms", [arm for arm in existing.settings.arms if arm not in arms])


def merge(report: SweepReport, earlier: SweepReport) -> SweepReport:
    """Return one report with the arms of both; the numbers of an arm in both are those of the earlier report.

    An arm in both must be equal to the last bit, unless another kind of processor computed it with the same versions:
    then the draws must be equal, and the provenance of the run holds the difference of the arm.

    Raises:
        UserError: the draws differ, or the numbers of an arm in both differ for another reason than the processor.
    """
    arms = tuple(arm for arm in get_args(Arm) if arm in {*report.settings.arms, *earlier.settings.arms})
    settings = report.settings.model_copy(update={"arms": arms})
    ours = SweepReport.model_validate_json(report.model_dump_json())  # lists, not tuples: as the earlier one was read
    bound = [arm for arm in _shared(report, earlier) if not _processors_differ(report, earlier, arm)]
    results = [
        _merge_results(here, there, arms=arms, bound=bound)
        for here, there in zip(ours.results, earlier.results, strict=True)
    ]
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
    """Say whether the two runs of an arm name different processors and the same versions."""
    here = report.environment
    there = next(part for part in _parts(earlier) if arm in part["arms"].split(", "))
    kinds = {run.get("processor", "") for run in (here, there)}
    return len(kinds) == 2 and "" not in kinds and _versions(here) == _versions(there)


def _versions(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: version for name, version in environment.items() if name.startswith("version.")}


def _merge_results(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], *, arms: tuple[str, ...], bound: Collection[str]
) -> dict[str, Any]:
    """Return one experiment's results with the arms of both; the arms in ``bound`` must be equal."""
    free = [f"arms.{arm}" for arm in arms if arm not in bound]
    for number, here, there in _differences(ours, theirs, ("config.arms", *free)):
        name = experiment_name(ours["config"]["ratio"], ours["seed"])
        raise UserError(
            f"{name}: {number} is {here} here and {there} in the run to join; nothing is written (the same command "
            "without --join writes the table of this run at once)"
        )
    results = {**ours["arms"], **theirs["arms"]}
    config = {**ours["config"], "arms": list(arms)}
    return {**ours, "config": config, "arms": {arm: results[arm] for arm in arms}}


def _other_bits(report: SweepReport, earlier: SweepReport) -> dict[str, str]:
    """Return the differences of the arms in both, in words; empty if they are equal to the last bit."""
    here = report.results
    there = earlier.results
    texts = [
        f"{arm}, ratio {ratio:g}: "
        + difference(paired(ratio, accuracies(there, ratio, arm), accuracies(here, ratio, arm)))
        for arm in _shared(report, earlier)
        if any(ours["arms"][arm] != theirs["arms"][arm] for ours, theirs in zip(here, there, strict=True))
        for ratio in report.settings.ratios
    ]
    return {"differs": "; ".join(texts)} if texts else {}


def _differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], left_out: tuple[str, ...]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted name and both values of each difference, except in the left-out settings and below them."""
    here = flatten(ours)
    there = flatten(theirs)
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name) and not any(f"{name}.".startswith(f"{one}.") for one in left_out):
            yield name, here.get(name), there.get(name)


def _parts(report: SweepReport) -> tuple[dict[str, str], ...]:
    """Return the environment of each merged run, with the mean time of each arm, so that machines can be compared."""
    if report.parts:
        return report.parts
    arms = report.settings.arms
    means = (np.mean([s for name, s in report.times.items() if name.endswith(f", {arm}")]) for arm in arms)
    took = ", ".join(f"{arm} {mean:.0f} s" for arm, mean in zip(arms, means, strict=True))
    return ({**report.environment, "arms": ", ".join(arms), "took": took},)
