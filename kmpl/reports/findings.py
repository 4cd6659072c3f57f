"""The findings of a sweep as sentences: the confidence interval decides what a sentence may claim."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from kmpl.config.experiment import AFTER, BEFORE
from kmpl.reports.comparison import SweepReport
from kmpl.reports.statistics import Paired
from kmpl.reports.studies import StudyRecord

Verdict = Literal["gain", "loss", "unclear", "equal", "single"]

_MIN_SEEDS_FOR_HEADLINE = 5
_FULL_LENGTH = ("all rounds done", "no rounds by definition", "")  # reasons to stop that are no early end
_MAX_RATIOS_LISTED = 3  # more ratios of one verdict become a range, to keep the sentence short
_CLAUSES: dict[Verdict, str] = {
    "gain": "adding pseudo-labels raises test accuracy: {}",
    "loss": "adding pseudo-labels lowers test accuracy: {}",
    "unclear": "no gain or loss can be told from chance: {}",
    "equal": "all seeds gave the same difference, so there is nothing to test: {}",
    "single": "one seed, which gives no interval, so what pseudo-labels changed may be chance: {}",
}


def percent(fraction: float | None) -> str:
    """Return a fraction in per cent, without the sign %; a dash for None.

    >>> percent(0.94914), percent(None)
    ('94.91', '–')
    """
    return "–" if fraction is None else f"{100 * fraction:.2f}"


def points(difference: float) -> str:
    """Return a difference of fractions in percentage points, with its sign.

    >>> points(0.0067), points(-0.0067), points(-0.000001)
    ('+0.67', '−0.67', '0.00')
    """
    text = f"{100 * difference:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def seeds(n: int) -> str:
    """Return the number of seeds as text.

    >>> seeds(1), seeds(5)
    ('1 seed', '5 seeds')
    """
    return f"{n} seed" if n == 1 else f"{n} seeds"


def verdict(pair: Paired) -> Verdict:
    """Return the verdict on a paired difference: its interval decides, not its mean."""
    if pair.low is None or pair.high is None:
        return "single"
    if pair.p is None:
        return "equal"
    if pair.low > 0:
        return "gain"
    return "loss" if pair.high < 0 else "unclear"


def differences(report: SweepReport) -> list[str]:
    """Return one line for each ratio: pseudo-label − labelled-only, paired by seed."""
    return [f"ratio {pair.ratio:g}: {difference(pair)}" for pair in report.paired]


def difference(pair: Paired) -> str:
    """Return a paired difference as text: mean, interval, p and number of seeds, as far as they exist."""
    start = f"{points(pair.mean)} points"
    ending = seeds(pair.n)
    if pair.low is None or pair.high is None:
        return f"{start}, {ending}: a single seed gives no interval"
    if pair.p is None:
        return f"{start} with each of {ending}: equal differences give no test"
    p = "p < 0.001" if pair.p < 0.001 else f"p = {pair.p:.3f}"
    return f"{start}, 95 % [{points(pair.low)}, {points(pair.high)}], {p}, {ending}"


def tuning_gains(report: SweepReport) -> list[str]:
    """Return one line for each ratio and arm: tuned − untuned, on seeds that tuning did not use."""
    lines = []
    for gain in report.tuned:
        ends = f"{percent(gain.untuned)} → {percent(gain.tuned)} %"
        validation = f"validation {points(gain.validation.mean)}"
        lines.append(f"ratio {gain.ratio:g}, {gain.arm}: {ends}, {difference(gain.test)}; {validation}")
    return lines


class BestSetting(NamedTuple):
    """A tuned setting, with values as text."""

    name: str
    untuned: str
    best: list[str]
    """Best value at each ratio, in the order of the settings."""


def best_settings(report: SweepReport) -> list[BestSetting]:
    """Return each tuned setting with its untuned value and its best values, in the order of the studies."""
    by_ratio = [[study for study in report.studies if study.ratio == ratio] for ratio in report.settings.ratios]
    untuned = {name: value for study in report.studies for name, value in study.start.items()}
    best = [{name: value for study in studies for name, value in study.best.items()} for studies in by_ratio]
    return [
        BestSetting(name, f"{value:.4g}", [f"{values[name]:.4g}" for values in best]) for name, value in untuned.items()
    ]


def study_lines(report: SweepReport) -> list[str]:
    """Return one line for each study: the best trial, the other trials' ends, the training saved."""
    lines = []
    for study in report.studies:
        ends = [(study.count("pruned"), "pruned"), (study.count("diverged"), "diverged"), (study.again, "run again")]
        others = "".join(f", {n} {end}" for n, end in ends if n)
        by_pruning, by_store = study.saved()
        winner = next(trial for trial in study.trials if trial.number == study.winner)
        # The trial's number is the same on the pages of Optuna and MLflow and in the output of the command.
        trial = (
            f"trial {winner.number} won out of {len(study.trials)} with {percent(winner.accuracy)} % of "
            f"{study.validation:,} images{_finals(study)}"
        )
        saved = f"training saved: about {by_pruning:.0%} by pruning, {by_store:.0%} by the store"
        lines.append(f"ratio {study.ratio:g}, {study.arm}: {trial}{others}; {saved}")
    return lines


def _finals(study: StudyRecord) -> str:
    """Return the mean of the best trial over all draws, and that of the untuned settings."""
    winner = study.finals[0]
    draws = len(winner.values)
    if draws == 1:
        return ""
    untuned_numbers = {trial.number for trial in study.trials if trial.params == study.start}
    untuned = next((final for final in study.finals if final.number in untuned_numbers), None)
    comparison = f", untuned {percent(untuned.mean)} %" if untuned and untuned is not winner else ""
    return f", {percent(winner.mean)} % over {draws} draws{comparison}"


def why_early(reason: str) -> str:
    """Return why the rounds of an arm ended early; empty if they did not.

    >>> why_early("round 2: no pseudo-label changed"), why_early("all rounds done")
    ('round 2: no pseudo-label changed', '')
    """
    return "" if reason in _FULL_LENGTH else reason


def early_endings(report: SweepReport) -> list[str]:
    """Return one line for each ratio and arm whose rounds ended early in some experiments: in how many, and why."""
    lines = []
    for ratio in report.settings.ratios:
        results = [result for result in report.results if result["config"]["ratio"] == ratio]
        for arm in report.settings.arms:
            counts = Counter(why_early(result["arms"][arm].get("stop_reason", "")) for result in results)
            reasons = [f"{n} of {len(results)} at {reason}" for reason, n in counts.items() if reason]
            if reasons:
                lines.append(f"ratio {ratio:g}, {arm}: {'; '.join(reasons)}")
    return lines


def finding(report: SweepReport) -> str:
    """Return the main finding in one sentence, and a caution in a second one if there are few seeds."""
    if not report.paired:
        return f"Before and after are not compared: that takes both arms, {BEFORE} and {AFTER}."
    clauses = []
    for name, clause in _CLAUSES.items():
        group = [pair for pair in report.paired if verdict(pair) == name]
        if group:
            clauses.append(clause.format(_listed(group)))
    n = min(pair.n for pair in report.paired)
    caution = ""
    if 1 < n < _MIN_SEEDS_FOR_HEADLINE:
        caution = f" A headline takes {_MIN_SEEDS_FOR_HEADLINE} seeds; here are {n}."
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}.{caution}"


def _listed(group: Sequence[Paired]) -> str:
    if len(group) > _MAX_RATIOS_LISTED:
        means = [pair.mean for pair in group]
        ratios = _and([f"{pair.ratio:g}" for pair in group])
        return f"{points(min(means))} to {points(max(means))} points at the labelled ratios {ratios}"
    return _and([f"{points(pair.mean)} points at labelled ratio {pair.ratio:g}{_interval(pair)}" for pair in group])


def _interval(pair: Paired) -> str:
    if pair.low is None or pair.high is None or pair.p is None:
        return ""
    return f" (95 % interval {points(pair.low)} to {points(pair.high)})"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
