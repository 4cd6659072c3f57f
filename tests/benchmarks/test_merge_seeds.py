"""One table from several sessions: their seeds are merged, and sessions of another table are refused."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from kmpl.benchmarks import merge_seeds
from kmpl.benchmarks.accuracy import fewest, fewest_page
from kmpl.benchmarks.accuracy.fewest import Draw
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import load, merge
from kmpl.errors import UserError


@pytest.fixture(scope="module")
def config() -> ExperimentConfig:
    return load("default", None, dict(fewest.SETTINGS))


def draws(*seeds: int) -> list[Draw]:
    ways = [(seed, labels, way) for seed in seeds for labels in (20, 10) for way in fewest.WAYS]
    errors = {"labelled-only": 0.5, "pseudo-label": 0.1}
    return [
        Draw(labels=labels, way=way, seed=seed, classes=10, errors=errors, seconds=90.0) for seed, labels, way in ways
    ]


def written(found: merge_seeds.Sessions[Draw], folder: Path) -> Path:
    path = folder / "fewest.json"
    path.write_text(json.dumps(asdict(found)), encoding="utf-8")
    return path


def test_sessions_make_the_table_that_one_would_have_made(config: ExperimentConfig, tmp_path: Path) -> None:
    found = merge_seeds.one_session(config, draws(1, 4), {"command": "the first"})
    for command, seed in (("the second", 3), ("the third", 0)):
        earlier = merge_seeds.read(written(found, tmp_path), merge_seeds.Sessions[Draw], config, (seed,))
        assert earlier == found, "read as it was written"
        found = merge_seeds.merge(merge_seeds.one_session(config, draws(seed), {"command": command}), earlier)
    assert found.rows == draws(0, 1, 3, 4)
    assert [part["seeds"] for part in found.parts] == ["1, 4", "3", "0"]
    page = fewest_page.markdown(found.rows, found.parts)
    assert "Made in 3 sessions, each seed in one:\n\n- seeds: 1, 4\n- command: `the first`\n" in page
    assert "\n\n- seeds: 3\n- command: `the second`\n" in page


def test_a_single_turn_is_the_table(config: ExperimentConfig) -> None:
    alone = merge_seeds.one_session(config, draws(0, 1), {"command": "once"})
    assert merge_seeds.merge(alone, None) is alone
    assert "\n\n- seeds: 0, 1\n- command: `once`\n" in fewest_page.markdown(alone.rows, alone.parts)


def test_threads_and_seed_may_differ(config: ExperimentConfig, tmp_path: Path) -> None:
    path = written(merge_seeds.one_session(config, draws(0), {}), tmp_path)
    other = merge(config, {"seed": 7, "threads": 3})
    assert merge_seeds.read(path, merge_seeds.Sessions[Draw], other, (1,)).rows == draws(0)


def test_a_seed_comes_from_one_session(config: ExperimentConfig, tmp_path: Path) -> None:
    path = written(merge_seeds.one_session(config, draws(0, 1), {}), tmp_path)
    with pytest.raises(UserError, match=r"fewest\.json: seed 1 is in there already; leave it out of --seeds"):
        merge_seeds.read(path, merge_seeds.Sessions[Draw], config, (1, 2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pseudo_labels": {"rounds": 2}}, r"pseudo_labels\.rounds is 3 there and 2 here; only the seeds may differ"),
        ({"labels": 50}, "labels is None there and 50 here"),
    ],
)
def test_other_settings_make_another_table(
    config: ExperimentConfig, change: dict[str, object], said: str, tmp_path: Path
) -> None:
    path = written(merge_seeds.one_session(config, draws(0), {}), tmp_path)
    with pytest.raises(UserError, match=said):
        merge_seeds.read(
            path,
            merge_seeds.Sessions[Draw],
            merge(config, {"ratio": None, **change} if "labels" in change else change),
            (1,),
        )


def test_a_setting_that_an_older_version_did_not_know_is_a_difference(config: ExperimentConfig, tmp_path: Path) -> None:
    older = merge_seeds.one_session(config, draws(0), {})
    del older.settings["retrain"]["last_round"]
    with pytest.raises(UserError, match=r"retrain\.last_round is None there and 3 here"):
        merge_seeds.read(written(older, tmp_path), merge_seeds.Sessions[Draw], config, (1,))


def test_no_seed_is_lost_for_a_forgotten_join(config: ExperimentConfig, tmp_path: Path) -> None:
    kind = merge_seeds.Sessions[Draw]
    path = written(merge_seeds.one_session(config, draws(0, 1), {}), tmp_path)
    for seeds in ((1, 2), (3,)):
        with pytest.raises(UserError, match=r"fewest\.json: seeds 0(, 1)? would be lost; add --join .*fewest\.json"):
            merge_seeds.read_earlier(None, out=path, kind=kind, config=config, seeds=seeds)
    assert merge_seeds.read_earlier(None, out=path, kind=kind, config=config, seeds=(0, 1, 2)) is None, (
        "all are measured again"
    )
    assert merge_seeds.read_earlier(path, out=path, kind=kind, config=config, seeds=(2,)) == merge_seeds.one_session(
        config, draws(0, 1), {}
    )
    assert merge_seeds.read_earlier(None, out=tmp_path / "new.json", kind=kind, config=config, seeds=(2,)) is None


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), ("{}", "not the numbers of"), ("no JSON", "not the numbers of")]
)
def test_a_file_that_is_no_table_is_named(
    config: ExperimentConfig, content: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"--join .*results\.json: {said}"):
        merge_seeds.read(path, merge_seeds.Sessions[Draw], config, (1,))
