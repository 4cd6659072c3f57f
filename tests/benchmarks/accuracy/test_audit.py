"""The audit's questions on few real digits, and its page: what they compare, and that the numbers are measured."""

import math

import pytest
from matplotlib.figure import Figure

from kmpl.benchmarks.accuracy import audit, audit_page
from kmpl.benchmarks.accuracy.audit import QUESTIONS, Answer, Numbers
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import load, merge
from kmpl.errors import UserError
from kmpl.method.evaluation import evaluate
from kmpl.method.step_interface import Steps
from kmpl.store.cached_steps import cached
from kmpl.store.store import Store


@pytest.fixture(scope="module")
def config() -> ExperimentConfig:
    """The notebook's constants, but a small network, few images, two epochs and a quarter of the test."""
    brief = {"epochs": 2, "images_per_epoch": 4_000}
    change = {"network": "cnn", "protocol": "literature", "threads": 1, "ratio": 0.3, "pool": {"size": 6_000}}
    return load("notebook", None, change | {"pretrain": brief, "retrain": brief, "clustering": {"n_prototypes": 20}})


@pytest.fixture(scope="module")
def answers(config: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    steps = cached(Steps(evaluate=evaluate), Store(tmp_path_factory.mktemp("audit")))
    return list(audit.ask(config, (0.3,), (0,), steps))


def numbers(answers: list[Answer], question: str) -> Numbers:
    [found] = [answer.numbers for answer in answers if answer.question == question]
    return found


@pytest.mark.slow
def test_every_question_is_answered_at_every_ratio_with_every_seed(answers: list[Answer]) -> None:
    assert [(a.question, a.ratio, a.seed) for a in answers] == [(question, 0.3, 0) for question in QUESTIONS]
    for answer in answers:
        assert all(math.isfinite(value) for value in answer.numbers.values()), answer


@pytest.mark.slow
def test_the_leak_is_real_pseudo_labels_beside_true_ones(answers: list[Answer]) -> None:
    found = numbers(answers, "leak")
    assert set(found) == {"labelled-only", "notebook", "oracle", "pseudo-labels right"}
    assert found["pseudo-labels right"] < 1
    assert found["oracle"] > found["notebook"]


def test_the_second_kmeans_changes_no_label(config: ExperimentConfig) -> None:
    brief = merge(config, {"pretrain": {"epochs": 1, "images_per_epoch": 640}})
    found = audit.second_kmeans(brief, Steps(evaluate=evaluate))
    assert found["images"] == 4_200
    assert found["clusters"] > 10
    assert found["labels that differ"] == 0


@pytest.mark.slow
def test_another_draw_of_the_views_names_some_images_otherwise(config: ExperimentConfig, answers: list[Answer]) -> None:
    assert numbers(answers, "other draw")["labels that differ"] == 0  # the clean view has nothing to draw
    views = merge(config, {"protocol": "notebook", "pretrain": {"epochs": 1}})
    found = audit.other_draw(views, Steps(evaluate=evaluate))
    assert 0.005 < found["labels that differ"] < 0.5
    assert found["right, another draw"] == pytest.approx(found["right, the same draw"], abs=0.05)


def test_the_notebooks_loss_is_the_last_batchs_over_the_number_of_batches(config: ExperimentConfig) -> None:
    five = merge(config, {"pretrain": {"batch_size": 2_000, "epochs": 1}})  # of 10,000; so little training: all alike
    found = audit.last_batch(five, Steps(evaluate=evaluate))
    assert found["as the notebook"] == pytest.approx(found["over all images"] / 5, rel=0.1)
    assert found["as the notebook"] != found["over all images"] / 5


@pytest.mark.slow
def test_some_views_have_a_labelled_sibling_and_most_have_none(answers: list[Answer]) -> None:
    # 1,800 of 180,000 views are labelled, and each image has two other views.
    assert numbers(answers, "siblings")["share with a labelled sibling"] == pytest.approx(0.02, abs=0.01)


def test_too_few_views_for_siblings_are_refused(config: ExperimentConfig) -> None:
    with pytest.raises(UserError, match=r"^pool\.size 60: no unlabelled view has a labelled sibling; give more$"):
        audit.siblings(merge(config, {"pool": {"size": 60}}), Steps(evaluate=evaluate))


@pytest.mark.slow
def test_the_best_epoch_on_the_test_is_never_below_the_last(answers: list[Answer]) -> None:
    found = numbers(answers, "best epoch")
    assert found["last"] == found["epoch 2"]
    assert found["best on test"] == max(found["epoch 1"], found["epoch 2"])


@pytest.mark.slow
def test_flipped_digits_become_others(answers: list[Answer]) -> None:
    found = numbers(answers, "flips")
    assert found["as it is"] > max(found["mirrored"], found["upside-down"])
    assert found["both: 6 as 9"] > found.get("as it is: 6 as 9", 0.0)  # what never happens has no number


@pytest.mark.slow
def test_the_page_and_the_figure_show_the_numbers(answers: list[Answer]) -> None:
    page = audit_page.markdown(answers, {"command": "kmpl audit"})
    leak = numbers(answers, "leak")
    assert "| 0.3 | " + " | ".join(f"{100 * leak[name]:.2f}" for name in list(leak)) in page
    assert f"{100 * leak['labelled-only']:.2f} to {100 * leak['labelled-only']:.2f}" in page
    assert f"{numbers(answers, 'last batch')['over all images']:.5f}" in page
    assert "Of 4,200 unlabelled images (1 runs) the class differs in 0" in page
    assert isinstance(audit_page.figure(answers), Figure)
