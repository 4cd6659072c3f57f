"""What a sweep found: statistics as SciPy computes them by other ways, and a digest that knows results from times."""

import copy
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import stats

from kmpl.config.experiment import AFTER, BEFORE
from kmpl.config.sweep import SweepConfig
from kmpl.reports.comparison import SweepReport, compare
from kmpl.reports.statistics import interval, paired

Summaries = list[dict[str, Any]]
SEEDS = np.random.default_rng(0).normal(0.95, 0.01, size=(20, 5))


@pytest.mark.parametrize("values", SEEDS.tolist())
def test_the_interval_is_students(values: list[float]) -> None:
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("before", "after"), list(zip(SEEDS[:10].tolist(), SEEDS[10:].tolist(), strict=True)))
def test_the_paired_test_is_that_of_the_differences(before: list[float], after: list[float]) -> None:
    pair, expected = paired(0.1, before, after), stats.ttest_1samp(np.subtract(after, before), 0)
    assert pair.mean == pytest.approx(np.mean(after) - np.mean(before))
    assert pair.p == pytest.approx(expected.pvalue)
    assert (pair.low, pair.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_the_order_of_seeds_pairs_them() -> None:
    before, after = [0.90, 0.94, 0.97], [0.91, 0.951, 0.979]
    shuffled = paired(0.1, before, after[::-1])
    assert paired(0.1, before, after).mean == pytest.approx(shuffled.mean)
    assert paired(0.1, before, after).p < 0.01 < shuffled.p  # type: ignore[operator]


def test_a_single_seed_has_no_interval_and_no_test() -> None:
    pair = paired(0.1, [0.9], [0.92])
    assert (pair.n, pair.low, pair.high, pair.p) == (1, None, None, None)
    assert pair.mean == pytest.approx(0.02)


@pytest.mark.parametrize("gain", [0, 1, 268, -40])
def test_equal_differences_have_no_p_whatever_their_last_bits(gain: int) -> None:
    for seed in range(50):
        right = np.random.default_rng(seed).integers(30_000, 39_000, size=3)
        pair = paired(0.1, (right / 40_000).tolist(), ((right + gain) / 40_000).tolist())
        assert pair.p is None
        assert pair.low == pytest.approx(gain / 40_000, abs=1e-12)
        assert pair.high == pytest.approx(gain / 40_000, abs=1e-12)


def test_one_image_more_or_less_is_a_difference() -> None:
    assert paired(0.1, [0.9, 0.9], [0.91, 0.91 + 1 / 40_000]).p is not None


def test_rows_are_the_means_of_the_experiments(sweep_settings: SweepConfig, summaries: Summaries) -> None:
    report = compare(sweep_settings, summaries)
    assert [(row.ratio, row.arm) for row in report.rows] == [(r, a) for r in (0.4, 0.2) for a in (BEFORE, AFTER)]
    for row in report.rows:
        group = [s["arms"][row.arm] for s in summaries if s["config"]["ratio"] == row.ratio]
        values = [numbers["test_accuracy"] for numbers in group]
        assert (row.n, row.labels) == (2, round(600 * row.ratio))
        assert row.mean == pytest.approx(sum(values) / 2)
        assert row.sd == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
        assert row.views == {"clean": pytest.approx(sum(n["views"]["clean"] for n in group) / 2)}
        for name, key in (("right", "pseudo_label_accuracy"), ("kept", "coverage")):
            expected = None if row.arm == BEFORE else pytest.approx(sum(n[key] for n in group) / 2)
            assert getattr(row, name) == expected


def test_the_oracle_is_said_to_use_all_labels(invented: Callable[..., Summaries]) -> None:
    settings = SweepConfig(ratios=(0.1,), arms=("labelled-only", "oracle"))
    assert [row.labels for row in compare(settings, invented(settings)).rows] == [3_000, 30_000]


def test_without_both_arms_nothing_is_paired(invented: Callable[..., Summaries]) -> None:
    settings = SweepConfig(arms=("pseudo-label", "oracle"))
    assert compare(settings, invented(settings)).paired == ()


def test_the_order_of_summaries_changes_nothing(sweep_settings: SweepConfig, summaries: Summaries) -> None:
    assert compare(sweep_settings, summaries[::-1]) == compare(sweep_settings, summaries)


def test_times_and_run_ids_are_no_results(sweep_settings: SweepConfig, summaries: Summaries) -> None:
    changed = copy.deepcopy(summaries)
    for summary in changed:
        summary["mlflow_run_id"] = "another"
        for arm in summary["arms"].values():
            arm["seconds"] += 1
            arm["seconds_per_step"]["evaluate"] += 1
            for turn in arm.get("rounds", []):
                turn["seconds"] = {}
    one, other = compare(sweep_settings, summaries), compare(sweep_settings, changed)
    assert one.results == other.results
    assert one.digest == other.digest
    assert other.seconds == pytest.approx(one.seconds + 8)


def numbers_of(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all numbers in a tree."""
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [found for key, value in items for found in numbers_of(value, (*path, key))]
    return [path] if isinstance(tree, int | float) and not isinstance(tree, bool) else []


def test_any_other_number_changes_the_digest(sweep_settings: SweepConfig, summaries: Summaries) -> None:
    digest = compare(sweep_settings, summaries).digest
    numbers = numbers_of(summaries[0]["arms"], ("arms",))
    paths = [path for path in numbers if not {"seconds", "seconds_per_step"} & {*path}]
    assert len(paths) > 200
    for path in [("labelled",), ("validation",), *paths[::5]]:
        changed = copy.deepcopy(summaries)
        place = changed[0]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] += 1
        assert compare(sweep_settings, changed).digest != digest, path


def test_pretraining_shared_by_the_arms_is_counted_once(sweep_settings: SweepConfig, summaries: Summaries) -> None:
    steps = [[arm["seconds_per_step"] for arm in summary["arms"].values()] for summary in summaries]
    alone = sum(seconds for arms in steps for arm in arms for name, seconds in arm.items() if name != "pretrain")
    shared = sum(arms[0]["pretrain"] for arms in steps)
    assert compare(sweep_settings, summaries).seconds == pytest.approx(alone + shared)


def test_tuning_is_compared_seed_by_seed_and_its_trials_are_results(tuned_report: SweepReport) -> None:
    gains = {(gain.ratio, gain.arm): gain for gain in tuned_report.tuned}
    assert set(gains) == {(ratio, arm) for ratio in (0.4, 0.1) for arm in (BEFORE, AFTER)}
    one = gains[0.1, AFTER]
    assert one.test.n == 3
    assert one.tuned - one.untuned == pytest.approx(one.test.mean)
    assert one.test.low is not None
    assert one.test.low < one.test.mean
    settings, [first, *rest] = tuned_report.settings, tuned_report.studies
    other = first.model_copy(update={"best": {name: value * 2 for name, value in first.best.items()}})
    times = [t.model_copy(update={"computed": 1.0, "run": "other"}) for t in first.trials]
    later = first.model_copy(update={"trials": tuple(times), "again": 7})
    again = partial(compare, settings, timed(tuned_report.results), untuned=timed(tuned_report.untuned))
    assert again(studies=[later, *rest]).digest == tuned_report.digest
    assert again(studies=[other, *rest]).digest != tuned_report.digest


def timed(results: Iterable[dict[str, Any]]) -> Summaries:
    """Return results as summaries again, which have times."""
    return [
        result
        | {"arms": {arm: numbers | {"seconds": 0.0, "seconds_per_step": {}} for arm, numbers in result["arms"].items()}}
        for result in results
    ]
