"""Ingredients: each change is one, all are judged alike by images that no pool has seen, and never by the test."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from sweeping import kmpl

from kmpl.benchmarks.accuracy import ingredients, ingredients_page
from kmpl.benchmarks.accuracy.ingredients import IN, NO_TEST_SET, OUT, WHOLE, Outcome
from kmpl.config.base import flatten
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import load, merge
from kmpl.errors import UserError
from kmpl.method import steps
from kmpl.method.step_inputs import EvaluateInput
from kmpl.method.step_interface import Steps
from kmpl.models import registry as networks
from kmpl.store.cached_steps import cached
from kmpl.store.store import Store

BRIEF = {"epochs": 3, "images_per_epoch": 2_000}


@pytest.fixture(scope="module")
def config() -> ExperimentConfig:
    change = {"threads": 1, "labels": 50, "pool": {"size": 1_000}, "pretrain": BRIEF, "retrain": BRIEF}
    change |= {"clustering": {"n_clusters": 155}, "pseudo_labels": {"rounds": 2}}  # so many that the graph decides
    return load("default", None, {**ingredients.SETTINGS, **change})


@pytest.fixture(scope="module")
def outcomes(config: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return list(
        ingredients.measure(config, (1_000,), cached(Steps(evaluate=NO_TEST_SET), Store(tmp_path_factory.mktemp("i"))))
    )


@pytest.mark.slow
def test_the_method_comes_first_and_every_change_has_its_outcome(outcomes: list[Outcome]) -> None:
    assert [o.change for o in outcomes] == [WHOLE, *OUT, *IN]
    assert all(0 < o.error < 0.5 and 0 <= o.kept <= 1 for o in outcomes), "all have learnt"
    assert all((o.kept > 0) == (o.seconds > 0) == bool(o.right) for o in outcomes), "nothing kept, no round"
    assert outcomes[0].kept == 1, "few labels: the method names all images"
    assert len({o.error for o in outcomes}) > len(outcomes) / 2, "changes change something"
    rounds = {o.change: len(o.right) for o in outcomes}
    assert rounds.pop("second and third round") == 1
    assert max(rounds.values()) == 2


def test_one_change_is_run_as_the_method_is(config: ExperimentConfig) -> None:
    few = merge(config, {"pseudo_labels": {"rounds": 1}, "retrain": {"last_round": 1}})
    pool, truth = steps.load(few)
    images, labels = ingredients.outside_images(few, pool)
    judges = images[:5_000], labels[:5_000]
    changed = merge(few, OUT["augmentation"])
    found = ingredients.outcome(
        "no augmentation", changed, pool=pool, truth=truth, outside=judges, steps=Steps(evaluate=NO_TEST_SET)
    )
    assert (found.change, found.seed, len(found.right)) == ("no augmentation", few.seed, 1)
    assert 0 < found.error < 0.5, "it has learnt"


@pytest.mark.parametrize("change", [*OUT, *IN])
def test_a_change_sets_what_it_says_and_nothing_else(change: str) -> None:
    whole = load("default", None, dict(ingredients.SETTINGS))
    settings = {**OUT, **IN}[change]
    before, after = (flatten(c.model_dump()) for c in (whole, merge(whole, settings)))
    assert {name for name in before if before[name] != after[name]} == set(flatten(settings))


@pytest.mark.parametrize("change", [*OUT, *IN])
def test_a_change_of_strategy_brings_its_threshold_and_changes_nothing_else(change: str) -> None:
    settings = {**OUT, **IN}[change].get("pseudo_labels", {})
    whole = load("default", None, dict(ingredients.SETTINGS)).pseudo_labels
    assert settings.get("threshold", whole.graph_threshold) == whole.graph_threshold
    assert ("strategy" in settings) == ("threshold" in settings), "the graph has a threshold of its own"


def test_the_judges_are_in_no_part_of_the_pool(config: ExperimentConfig) -> None:
    pool, _ = steps.load(config)
    images, labels = ingredients.outside_images(config, pool)
    assert len(images) == len(labels) == 60_000 - 1_000
    seen = {image.tobytes() for image in np.concatenate([pool.images.numpy(), pool.validation_images.numpy()])}
    assert not any(image.tobytes() in seen for image in images.numpy())
    assert (np.bincount(labels) > 5_000).all()


def test_a_pool_of_everything_leaves_no_judge(config: ExperimentConfig) -> None:
    pool, _ = steps.load(config)
    pool = dataclasses.replace(pool, sources=np.arange(60_000))
    with pytest.raises(UserError, match="all 60000 training images are in the pool"):
        ingredients.outside_images(config, pool)


def test_the_test_stays_shut(config: ExperimentConfig) -> None:
    pool, _ = steps.load(config)
    untrained = networks.build(config.network, channels=1, n_classes=len(pool.classes), seed=0)
    with pytest.raises(AssertionError, match="not judged by the test"):
        Steps(evaluate=NO_TEST_SET).evaluate(EvaluateInput(config=config, network=untrained))


def test_the_page_says_what_a_change_adds_seed_by_seed() -> None:
    made = [
        Outcome(change=change, seed=seed, error=0.01 + more + seed / 1_000, right=(0.9, 0.95), kept=0.99, seconds=120.0)
        for change, more in {WHOLE: 0.0, **dict.fromkeys(OUT, 0.02), **dict.fromkeys(IN, -0.001)}.items()
        for seed in (0, 1)
    ]
    made = [dataclasses.replace(o, right=(), kept=0.0) if o.change == "augmentation" else o for o in made]
    page = ingredients_page.markdown(made, [{"seeds": "0, 1", "command": "kmpl benchmark ingredients"}])
    lines = {line.split(" | ")[1].strip(): line for line in page.splitlines() if line.startswith("|")}
    assert "1.05 ± 0.07" in lines[WHOLE]
    assert "90.00, 95.00" in lines[WHOLE]
    assert "+2.00 [+2.00, +2.00] | – | 0.00" in " ".join(lines["augmentation"].split())
    assert "−0.10 [−0.10, −0.10]" in lines["label smoothing of 0.1"]
    assert isinstance(ingredients_page.figure(made), Figure)


def test_a_seed_whose_labels_settled_early_counts_in_later_rounds_too() -> None:
    rights = {1000: (0.9, 0.94, 0.96), 1001: (0.92,)}
    made = [
        Outcome(change=c, seed=seed, error=0.01, right=right, kept=1.0, seconds=60.0)
        for c in (WHOLE, *OUT, *IN)
        for seed, right in rights.items()
    ]
    page = ingredients_page.markdown(made, [{"seeds": "1000, 1001", "command": "kmpl benchmark ingredients"}])
    assert "91.00, 93.00, 94.00" in next(line for line in page.splitlines() if WHOLE in line)


@pytest.mark.slow
def test_the_command_writes_page_figure_and_numbers(tmp_path: Path) -> None:
    brief = [f"--{step}.{name}" for step in ("pretrain", "retrain") for name in ("epochs=1", "images-per-epoch=256")]
    few = ["--labels=50", "--pool.size=1000", "--clustering.n-clusters=50", "--threads=1"]
    done = kmpl("benchmark", "ingredients", "--seeds", "1000", "--out", "results", *few, *brief, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "results" / "ingredients.json").read_text(encoding="utf-8"))
    assert [o["change"] for o in numbers["rows"]] == [WHOLE, *OUT, *IN]
    assert "kmpl benchmark ingredients" in (tmp_path / "results" / "ingredients.md").read_text(encoding="utf-8")
    assert (tmp_path / "results" / "ingredients.png").read_bytes().startswith(b"\x89PNG")
