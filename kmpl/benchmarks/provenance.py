"""The provenance of a table: data, differences between arms, command, seeds, versions, machine."""

from collections.abc import Iterator, Mapping, Sequence
from string import ascii_lowercase

import numpy as np

from kmpl.config.experiment import AFTER
from kmpl.reports.comparison import SweepReport, accuracies
from kmpl.reports.findings import difference, percent, seeds
from kmpl.reports.statistics import paired


def mean_sd(mean: float, sd: float | None) -> str:
    """Return mean and standard deviation of fractions in per cent.

    >>> mean_sd(0.0121, 0.0004), mean_sd(0.0121, None)
    ('1.21 ± 0.04', '1.21')
    """
    return percent(mean) if sd is None else f"{percent(mean)} ± {percent(sd)}"


def mean_sd_of(values: Sequence[float]) -> str:
    """Return mean and standard deviation over the seeds, in per cent; a single seed has no deviation.

    >>> mean_sd_of([0.01, 0.02]), mean_sd_of([0.01])
    ('1.50 ± 0.71', '1.00')
    """
    return mean_sd(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def pool_line(report: SweepReport) -> str:
    """Return data set, network and size of the pool that was run: a smaller pool must not pass for the whole."""
    first = report.results[0]
    settings = report.settings.experiment
    size = first["labelled"] + first["unlabelled"]
    return f"Data set {settings.dataset}, network `{settings.network}`, pool of {size:,} training images."


def gains(report: SweepReport, metric: str, names: Mapping[float, str]) -> list[str]:
    """Return the gain of pseudo-label over each other arm but the oracle: a paragraph an arm, a line a ratio.

    Args:
        report: of all arms.
        metric: name of the accuracy, for people.
        names: name of each ratio, in the order of the lines.
    """
    paragraphs = []
    arms = report.settings.arms
    for rival in (arm for arm in arms if AFTER in arms and arm not in (AFTER, "oracle")):
        pairs = {r: paired(r, *(accuracies(report.results, r, arm) for arm in (rival, AFTER))) for r in names}
        lines = [f"- {name}: {difference(pairs[r])}" for r, name in names.items()]
        paragraphs.append(f"{AFTER} − {rival}, {metric}, seed by seed:\n\n" + "\n".join(lines))
    return paragraphs


def sweep_provenance(report: SweepReport) -> str:
    """Return the provenance of a sweep: command, seeds, versions, machine, digest; of each run that was merged."""
    common = {
        "seeds": f"{', '.join(map(str, report.settings.seeds))} ({seeds(len(report.settings.seeds))})",
        "digest of the results (SHA-256)": report.digest,
    }
    if not report.parts:
        return _markdown_list(_environment_lines(report.environment) | common)
    runs = [
        f"({letter}) {part['arms']}:\n\n{_markdown_list(_environment_lines(part))}"
        for letter, part in _lettered(report)
    ]
    agree = f"Joined from {len(runs)} runs, which agree to the last bit in the arms that they share"
    if any("differs" in part for part in report.parts):
        agree += ", but for runs on another kind of processor: there the draws are the same, and what differs is said"
    agree += (
        ". The numbers and the minutes of an arm are those of the first run that has it; compare minutes by what a "
        "shared arm took in each."
    )
    return "\n\n".join([_markdown_list(common), agree, *runs])


def run_mark(report: SweepReport, arm: str) -> str:
    """Return the letter of the merged run whose minutes an arm has; empty if there is only one run."""
    return next((f" ({letter})" for letter, part in _lettered(report) if arm in part["arms"].split(", ")), "")


def _lettered(report: SweepReport) -> Iterator[tuple[str, Mapping[str, str]]]:
    return zip(ascii_lowercase, report.parts, strict=False)


def sessions_provenance(parts: Sequence[Mapping[str, str]]) -> str:
    """Return the provenance of numbers from one session or several, each with seeds of its own."""
    lists = [_markdown_list({"seeds": part["seeds"]} | _environment_lines(part)) for part in parts]
    return lists[0] if len(lists) == 1 else "\n\n".join([f"Made in {len(lists)} sessions, each seed in one:", *lists])


def run_provenance(environment: Mapping[str, str]) -> str:
    """Return the provenance of numbers from one session: command, date, machine, versions."""
    return _markdown_list(_environment_lines(environment))


def _environment_lines(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the parts of the environment that a table shows, by their name there; unknown parts are left out."""
    value = environment.get
    versions = (name for name in sorted(environment) if name.startswith("version."))
    lines = {
        "command": f"`{value('command')}`" if value("command") else "",
        "date": value("date", ""),
        "machine": ", ".join(filter(None, (value("machine"), f"{value('cores', '?')} cores", value("processor")))),
        "versions": ", ".join(f"{name.removeprefix('version.')} {environment[name]}" for name in versions),
        "commit": value("mlflow.source.git.commit", ""),
        "one run, on average": value("took", ""),
        "accuracy less that of the first run with the arm": value("differs", ""),
    }
    return {name: text for name, text in lines.items() if text}


def _markdown_list(lines: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in lines.items())
