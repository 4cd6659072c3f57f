"""Arms of one table that were run on other days or machines: joined where they are pairs, refused where not."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kmpl.benchmarks import merge_arms
from kmpl.benchmarks.accuracy import literature
from kmpl.config.experiment import AFTER, BEFORE
from kmpl.config.sweep import SweepConfig
from kmpl.errors import UserError
from kmpl.reports.comparison import SweepReport, compare

Summaries = list[dict[str, Any]]


def settings(*arms: str, **more: Any) -> SweepConfig:
    return SweepConfig.model_validate({"ratios": (0.4, 0.1), "seeds": (0, 1), "arms": arms or (AFTER,)} | more)


@pytest.fixture(scope="module")
def all_arms(invented: Callable[..., Summaries]) -> Summaries:
    return invented(settings(BEFORE, AFTER, "oracle"))


def run(all_arms: Summaries, command: str, *arms: str, processor: str = "with bfloat16") -> SweepReport:
    """Return what a sweep of some of the arms would have found."""
    some = copy.deepcopy(all_arms)
    for summary in some:
        summary["arms"] = {arm: summary["arms"][arm] for arm in arms}
        summary["config"]["arms"] = list(arms)
    about = {"command": command, "date": "today", "machine": "laptop", "cores": "2", "version.torch": "2.9"}
    about |= {"processor": processor} if processor else {}
    return compare(settings(*arms), some, environment=about)


def written(report: SweepReport, folder: Path) -> Path:
    path = folder / "literature.json"
    path.write_text(report.model_dump_json(), encoding="utf-8")
    return path


def test_two_runs_make_the_table_that_one_would_have_made(all_arms: Summaries, tmp_path: Path) -> None:
    path = written(run(all_arms, "the first", BEFORE, AFTER), tmp_path)
    earlier = merge_arms.read(path, settings("oracle", BEFORE))
    found = merge_arms.merge(run(all_arms, "the second", "oracle", BEFORE), earlier)
    once = run(all_arms, "at once", BEFORE, AFTER, "oracle")
    for name in ("rows", "paired", "digest", "times", "settings"):
        assert getattr(found, name) == getattr(once, name)
    page = literature.markdown(found)
    assert "- command: `the first`" in page
    assert "(b) oracle, labelled-only:\n\n- command: `the second`" in page
    minutes = {cells[1].strip("* "): cells[-2] for line in page.splitlines() if len(cells := line.split("|")) > 3}
    assert [minutes[arm].split()[1] for arm in (BEFORE, AFTER, "oracle")] == ["(a)", "(a)", "(b)"]
    assert "(a)" not in literature.markdown(once)
    assert literature.markdown(once).count("- command:") == 1


def test_the_minutes_of_slower_machines_are_told_apart(all_arms: Summaries, tmp_path: Path) -> None:
    earlier = merge_arms.read(written(run(all_arms, "the first", BEFORE, AFTER), tmp_path), settings("oracle", BEFORE))
    slower = run(all_arms, "the second", "oracle", BEFORE)
    slower = slower.model_copy(update={"times": {name: 10 * seconds for name, seconds in slower.times.items()}})
    found = merge_arms.merge(slower, earlier)
    for name, seconds in found.times.items():
        assert seconds == (slower if name.endswith("oracle") else earlier).times[name]
    assert [part["took"].split(", ")[-1] for part in found.parts] == [
        f"{arm} {sum(times[f'ratio {ratio}, {arm}'] for ratio in (0.4, 0.1)) / 2:.0f} s"
        for arm, times in ((AFTER, earlier.times), (BEFORE, slower.times))
    ]
    assert literature.markdown(found).count("- one run, on average: ") == 2


def test_a_joined_table_can_be_joined_again(all_arms: Summaries, tmp_path: Path) -> None:
    path = written(run(all_arms, "the first", BEFORE), tmp_path)
    for arm in (AFTER, "oracle"):
        here = run(all_arms, arm, BEFORE, arm)
        path = written(merge_arms.merge(here, merge_arms.read(path, here.settings)), tmp_path)
    found = merge_arms.read(path, settings(AFTER))
    assert found.digest == run(all_arms, "at once", BEFORE, AFTER, "oracle").digest
    assert [part["command"] for part in found.parts] == ["the first", AFTER, "oracle"]


@pytest.mark.parametrize("number", ["test_accuracy", "validation_accuracy"])
def test_an_arm_that_came_out_otherwise_is_no_pair(all_arms: Summaries, number: str, tmp_path: Path) -> None:
    other = copy.deepcopy(all_arms)
    other[-1]["arms"][BEFORE][number] -= 1e-4
    earlier = merge_arms.read(written(run(other, "elsewhere", BEFORE, AFTER), tmp_path), settings(BEFORE))
    with pytest.raises(UserError, match=rf"ratio 0\.1, seed 1: arms\.{BEFORE}\.{number} is .* nothing is written"):
        merge_arms.merge(run(all_arms, "here", BEFORE, "oracle"), earlier)


def test_another_kind_of_processor_may_differ_and_says_by_how_much(all_arms: Summaries, tmp_path: Path) -> None:
    path = written(run(all_arms, "the first", BEFORE, AFTER), tmp_path)
    other = copy.deepcopy(all_arms)
    for summary in other:
        summary["arms"][BEFORE]["test_accuracy"] -= 0.001 if summary["config"]["ratio"] == 0.1 else 0.002
    here = run(other, "the second", BEFORE, "oracle", processor="without")
    found = merge_arms.merge(here, merge_arms.read(path, here.settings))
    assert found.digest == run(all_arms, "at once", BEFORE, AFTER, "oracle").digest  # the shared arm is the first run's
    assert found.parts[1]["differs"] == (
        f"{BEFORE}, ratio 0.4: −0.20 points with each of 2 seeds: equal differences give no test; "
        f"{BEFORE}, ratio 0.1: −0.10 points with each of 2 seeds: equal differences give no test"
    )
    page = literature.markdown(found)
    assert f"accuracy less that of the first run with the arm: {BEFORE}, ratio 0.4: −0.20" in page
    assert "but for runs on another kind of processor" in page

    again = merge_arms.read(written(found, tmp_path), settings(BEFORE))
    agreeing = run(all_arms, "the third", BEFORE, processor="without")
    assert "differs" not in merge_arms.merge(agreeing, again).parts[2]
    same_kind = run(other, "the fourth", BEFORE)
    with pytest.raises(UserError, match="nothing is written"):
        merge_arms.merge(same_kind, again)


@pytest.mark.parametrize(("here", "there"), [("", "without"), ("without", ""), ("", "")])
def test_processors_that_are_not_known_are_not_of_another_kind(
    all_arms: Summaries, here: str, there: str, tmp_path: Path
) -> None:
    other = copy.deepcopy(all_arms)
    other[0]["arms"][BEFORE]["test_accuracy"] -= 1e-4
    earlier = merge_arms.read(written(run(other, "there", BEFORE, processor=there), tmp_path), settings(BEFORE))
    with pytest.raises(UserError, match="nothing is written"):
        merge_arms.merge(run(all_arms, "here", BEFORE, processor=here), earlier)


def test_another_kind_of_processor_with_another_version_is_refused(all_arms: Summaries, tmp_path: Path) -> None:
    other = copy.deepcopy(all_arms)
    other[0]["arms"][BEFORE]["test_accuracy"] -= 1e-4
    earlier = merge_arms.read(written(run(other, "there", BEFORE), tmp_path), settings(BEFORE))
    here = run(all_arms, "here", BEFORE, processor="without")
    newer = here.model_copy(update={"environment": here.environment | {"version.torch": "2.10"}})
    with pytest.raises(UserError, match="nothing is written"):
        merge_arms.merge(newer, earlier)
    assert merge_arms.merge(here, earlier).parts[1]["differs"]


@pytest.mark.parametrize("processor", ["with bfloat16", "without"])
def test_other_draws_are_no_pairs(all_arms: Summaries, processor: str, tmp_path: Path) -> None:
    other = copy.deepcopy(all_arms)
    other[0]["pool_digest"] = "another"
    earlier = merge_arms.read(written(run(other, "elsewhere", BEFORE), tmp_path), settings(BEFORE))
    with pytest.raises(UserError, match=r"seed 0: pool_digest is .* here and another in"):
        merge_arms.merge(run(all_arms, "here", BEFORE, processor=processor), earlier)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (settings(BEFORE, seeds=(0, 2)), r"seeds is \[0, 1\] there and \[0, 2\] here; only the arms may differ"),
        (settings(BEFORE, ratios=(0.4,)), r"ratios is \[0\.4, 0\.1\] there and \[0\.4\] here"),
        (settings(BEFORE, experiment={"network": "vgg16"}), "experiment.network is cnn there and vgg16 here"),
        (settings("oracle"), f"no arm in common; add {BEFORE} to --arms"),
        (settings(BEFORE, trials=3), "join without --trials"),
    ],
)
def test_tables_that_cannot_be_joined_are_refused_before_hours_of_work(
    all_arms: Summaries, chosen: SweepConfig, said: str, tmp_path: Path
) -> None:
    path = written(run(all_arms, "the first", BEFORE, AFTER), tmp_path)
    with pytest.raises(UserError, match=said):
        merge_arms.read(path, chosen)


def test_a_setting_that_an_older_version_did_not_know_is_a_difference(all_arms: Summaries, tmp_path: Path) -> None:
    report = run(all_arms, "the first", BEFORE).model_dump(mode="json")
    del report["settings"]["experiment"]["retrain"]["last_round"]
    path = tmp_path / "old.json"
    path.write_text(SweepReport.model_validate(report).model_dump_json(exclude_unset=True), encoding="utf-8")
    with pytest.raises(UserError, match=r"retrain\.last_round is None there and 3 here"):
        merge_arms.read(path, settings(BEFORE))


def test_no_arm_is_lost_for_a_forgotten_join(all_arms: Summaries, tmp_path: Path) -> None:
    path = written(run(all_arms, "the first", BEFORE, AFTER), tmp_path)
    with pytest.raises(
        UserError, match=rf"literature\.json: arms {AFTER} would be lost; add --join .*literature\.json"
    ):
        merge_arms.refuse_lost_arms(path, {BEFORE, "oracle"})
    merge_arms.refuse_lost_arms(path, {BEFORE, AFTER, "oracle"})
    merge_arms.refuse_lost_arms(tmp_path / "new.json", {"oracle"})


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), ("{}", "not the numbers of"), ("no JSON", "not the numbers of")]
)
def test_a_file_that_is_no_report_is_named(content: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"--join .*results\.json: {said}"):
        merge_arms.read(path, settings(BEFORE))
