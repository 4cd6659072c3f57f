"""What a sweep found, in words: the numbers decide which ones, so a sentence never claims more than its interval."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from kmpl.config.experiment import AFTER, BEFORE
from kmpl.reports.comparison import SweepReport
from kmpl.reports.statistics import Paired
from kmpl.reports.studies import StudyRecord

Verdict = Literal["gain", "loss", "unclear", "equal", "single"]

_HEADLINE_SEEDS = 5
_TO_THE_END = ("all rounds done", "no rounds by definition", "")
_LISTED = 3  # more ratios of one verdict are summed up as a range, or the sentence has no end
_WORDS: dict[Verdict, str] = {
    "gain": "adding pseudo-labels raises test accuracy: {}",
    "loss": "adding pseudo-labels lowers test accuracy: {}",
    "unclear": "no gain or loss can be told from chance: {}",
    "equal": "all seeds gave the same difference, so there is nothing to test: {}",
    "single": "one seed, which gives no interval, so what pseudo-labels changed may be chance: {}",
}


def percent(fraction: float | None) -> str:
    """Return a fraction in per cent, without the sign; a dash where there is none.

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
    """Return how many seeds, in words.

    >>> seeds(1), seeds(5)
    ('1 seed', '5 seeds')
    """
    return f"{n} seed" if n == 1 else f"{n} seeds"


def verdict(pair: Paired) -> Verdict:
    """Return what a paired difference allows to say: its interval decides, not its mean."""
    if pair.low is None or pair.high is None:
        return "single"
    if pair.p is None:
        return "equal"
    if pair.low > 0:
        return "gain"
    return "loss" if pair.high < 0 else "unclear"


def differences(report: SweepReport) -> list[str]:
    """Return one line for each ratio: what pseudo-label − labelled-only is, seed by seed."""
    return [f"ratio {pair.ratio:g}: {difference(pair)}" for pair in report.paired]


def difference(pair: Paired) -> str:
    """Return a paired difference in words: mean, interval, p and seeds, as far as there are any."""
    start, ending = f"{points(pair.mean)} points", seeds(pair.n)
    if pair.low is None or pair.high is None:
        return f"{start}, {ending}: a single seed gives no interval"
    if pair.p is None:
        return f"{start} with each of {ending}: equal differences give no test"
    p = "p < 0.001" if pair.p < 0.001 else f"p = {pair.p:.3f}"
    return f"{start}, 95 % [{points(pair.low)}, {points(pair.high)}], {p}, {ending}"


def tuned(report: SweepReport) -> list[str]:
    """Return one line for each ratio and arm: what tuning changed on seeds that it never saw."""
    lines = []
    for gain in report.tuned:
        ends = f"{percent(gain.untuned)} → {percent(gain.tuned)} %"
        held = f"validation {points(gain.validation.mean)}"
        lines.append(f"ratio {gain.ratio:g}, {gain.arm}: {ends}, {difference(gain.test)}; {held}")
    return lines


def best(report: SweepReport) -> list[tuple[str, str, list[str]]]:
    """Return each tuned setting with its untuned value and the best one at each ratio, in the order of the studies."""
    by_ratio = [[study for study in report.studies if study.ratio == ratio] for ratio in report.settings.ratios]
    start = {name: value for study in report.studies for name, value in study.start.items()}
    found = [{name: value for study in studies for name, value in study.best.items()} for studies in by_ratio]
    return [(name, f"{value:.4g}", [f"{values[name]:.4g}" for values in found]) for name, value in start.items()]


def effort(report: SweepReport) -> list[str]:
    """Return one line for each study: which trial won, how the others ended, and what pruning and the store saved."""
    lines = []
    for study in report.studies:
        ended = [(study.count("pruned"), "pruned"), (study.count("diverged"), "diverged"), (study.again, "run again")]
        others = "".join(f", {n} {what}" for n, what in ended if n)
        pruned, kept = study.saved()
        won = next(trial for trial in study.trials if trial.number == study.winner)
        # By its number, under which it stands on the pages of Optuna and MLflow and in what was printed on the way.
        trial = (
            f"trial {won.number} won out of {len(study.trials)} with {percent(won.accuracy)} % of "
            f"{study.validation:,} images{_finals(study)}"
        )
        saved = f"training saved: about {pruned:.0%} by pruning, {kept:.0%} by the store"
        lines.append(f"ratio {study.ratio:g}, {study.arm}: {trial}{others}; {saved}")
    return lines


def _finals(study: StudyRecord) -> str:
    """Return what the winner reached on all draws, and what the untuned settings reached there."""
    won, draws = study.finals[0], len(study.finals[0].values)
    if draws == 1:
        return ""
    numbers = {trial.number for trial in study.trials if trial.params == study.start}
    start = next((final for final in study.finals if final.number in numbers), None)
    beside = f", untuned {percent(start.mean)} %" if start and start is not won else ""
    return f", {percent(won.mean)} % over {draws} draws{beside}"


def why_early(reason: str) -> str:
    """Return why an arm had no further round, if it had fewer than it might; else nothing.

    >>> why_early("round 2: no pseudo-label changed"), why_early("all rounds done")
    ('round 2: no pseudo-label changed', '')
    """
    return "" if reason in _TO_THE_END else reason


def ended_early(report: SweepReport) -> list[str]:
    """Return one line for each ratio and arm with experiments whose rounds ended early: how many, and why."""
    lines = []
    for ratio in report.settings.ratios:
        results = [result for result in report.results if result["config"]["ratio"] == ratio]
        for arm in report.settings.arms:
            counts = Counter(why_early(result["arms"][arm].get("stop_reason", "")) for result in results)
            reasons = [f"{n} of {len(results)} at {reason}" for reason, n in counts.items() if reason]
            lines += [f"ratio {ratio:g}, {arm}: {'; '.join(reasons)}"] if reasons else []
    return lines


def finding(report: SweepReport) -> str:
    """Return the main finding in one sentence, and a second one where there are too few seeds for a headline."""
    if not report.paired:
        return f"Before and after are not compared: that takes both arms, {BEFORE} and {AFTER}."
    clauses = []
    for name, words in _WORDS.items():
        group = [pair for pair in report.paired if verdict(pair) == name]
        if group:
            clauses.append(words.format(_listed(group)))
    few = min(pair.n for pair in report.paired)
    caution = f" A headline takes {_HEADLINE_SEEDS} seeds; here are {few}." if 1 < few < _HEADLINE_SEEDS else ""
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}.{caution}"


def _listed(group: Sequence[Paired]) -> str:
    if len(group) > _LISTED:
        means = [pair.mean for pair in group]
        ratios = _and([f"{pair.ratio:g}" for pair in group])
        return f"{points(min(means))} to {points(max(means))} points at the labelled ratios {ratios}"
    return _and([f"{points(pair.mean)} points at labelled ratio {pair.ratio:g}{_within(pair)}" for pair in group])


def _within(pair: Paired) -> str:
    if pair.low is None or pair.high is None or pair.p is None:
        return ""
    return f" (95 % interval {points(pair.low)} to {points(pair.high)})"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
