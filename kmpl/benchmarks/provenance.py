"""What all tables say alike."""

from collections.abc import Iterator, Mapping, Sequence
from string import ascii_lowercase

import numpy as np

from kmpl.config.experiment import AFTER
from kmpl.reports.comparison import SweepReport, accuracies
from kmpl.reports.findings import difference, percent, seeds
from kmpl.reports.statistics import paired


def spread(mean: float, sd: float | None) -> str:
    """Return mean and standard deviation of fractions in per cent.

    >>> spread(0.0121, 0.0004), spread(0.0121, None)
    ('1.21 ± 0.04', '1.21')
    """
    return percent(mean) if sd is None else f"{percent(mean)} ± {percent(sd)}"


def cell(values: Sequence[float]) -> str:
    """Return mean and standard deviation over the seeds, in per cent; a single seed has no deviation.

    >>> cell([0.01, 0.02]), cell([0.01])
    ('1.50 ± 0.71', '1.00')
    """
    return spread(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def pool(report: SweepReport) -> str:
    """Return what was trained on, from what was run: a smaller pool must not pass for the whole."""
    first, settings = report.results[0], report.settings.experiment
    size = first["labelled"] + first["unlabelled"]
    return f"Data set {settings.dataset}, network `{settings.network}`, pool of {size:,} training images."


def gains(report: SweepReport, what: str, names: Mapping[float, str]) -> list[str]:
    """Return what pseudo-label has over each other arm but the oracle, a paragraph for each, a line for each ratio.

    Args:
        report: of all arms.
        what: What accuracy is meant.
        names: What each ratio is called, in the order in which they are told.
    """
    paragraphs, arms = [], report.settings.arms
    for rival in (arm for arm in arms if AFTER in arms and arm not in (AFTER, "oracle")):
        pairs = {r: paired(r, *(accuracies(report.results, r, arm) for arm in (rival, AFTER))) for r in names}
        lines = [f"- {name}: {difference(pairs[r])}" for r, name in names.items()]
        paragraphs.append(f"{AFTER} − {rival}, {what}, seed by seed:\n\n" + "\n".join(lines))
    return paragraphs


def circumstances(report: SweepReport) -> str:
    """Return how the numbers came about: command, seeds, versions, machine, digest; of each run that was joined."""
    common = {
        "seeds": f"{', '.join(map(str, report.settings.seeds))} ({seeds(len(report.settings.seeds))})",
        "digest of the results (SHA-256)": report.digest,
    }
    if not report.parts:
        return _listed(_about(report.environment) | common)
    runs = [f"({letter}) {part['arms']}:\n\n{_listed(_about(part))}" for letter, part in _lettered(report)]
    agree = f"Joined from {len(runs)} runs, which agree to the last bit in the arms that they share"
    if any("differs" in part for part in report.parts):
        agree += ", but for runs on another kind of processor: there the draws are the same, and what differs is said"
    agree += (
        ". The numbers and the minutes of an arm are those of the first run that has it; compare minutes by what a "
        "shared arm took in each."
    )
    return "\n\n".join([_listed(common), agree, *runs])


def run_of(report: SweepReport, arm: str) -> str:
    """Return the mark of the joined run that an arm's minutes are of; nothing where there is only one run."""
    return next((f" ({letter})" for letter, part in _lettered(report) if arm in part["arms"].split(", ")), "")


def _lettered(report: SweepReport) -> Iterator[tuple[str, Mapping[str, str]]]:
    return zip(ascii_lowercase, report.parts, strict=False)


def turns(parts: Sequence[Mapping[str, str]]) -> str:
    """Return how numbers came about that were measured in one turn or in several, each with seeds of its own."""
    lists = [_listed({"seeds": part["seeds"]} | _about(part)) for part in parts]
    return lists[0] if len(lists) == 1 else "\n\n".join([f"Made in {len(lists)} turns, each seed in one:", *lists])


def made(environment: Mapping[str, str]) -> str:
    """Return how numbers came about that were measured at once: command, date, machine, versions."""
    return _listed(_about(environment))


def _about(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of the environment is worth telling, as far as it is known, by the name that people read."""
    known = environment.get
    versions = (name for name in sorted(environment) if name.startswith("version."))
    told = {
        "command": f"`{known('command')}`" if known("command") else "",
        "date": known("date", ""),
        "machine": ", ".join(filter(None, (known("machine"), f"{known('cores', '?')} cores", known("processor")))),
        "versions": ", ".join(f"{name.removeprefix('version.')} {environment[name]}" for name in versions),
        "commit": known("mlflow.source.git.commit", ""),
        "one run, on average": known("took", ""),
        "accuracy less that of the first run with the arm": known("differs", ""),
    }
    return {name: text for name, text in told.items() if text}


def _listed(lines: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in lines.items())
