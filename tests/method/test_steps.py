"""What the steps hand to the training loop."""

import pytest
import torch

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import load, merge
from kmpl.method import steps
from kmpl.method.results import PseudoLabels
from kmpl.method.step_inputs import RetrainInput, StepInput


@pytest.fixture(scope="module")
def brief() -> ExperimentConfig:
    training = {"epochs": 1, "images_per_epoch": 128, "batch_size": 32, "ema": 0.0}
    return load(
        change={
            "threads": 1,
            "ratio": 0.2,
            "pool": {"size": 300},
            "clustering": {"n_clusters": 30},
            "pretrain": training,
            "retrain": training,
        }
    )


@pytest.mark.parametrize(("protocol", "same"), [("notebook", False), ("literature", True)])
def test_only_where_a_view_mirrors_are_images_seen_anew(protocol: str, same: bool, brief: ExperimentConfig) -> None:
    with_views = merge(brief, {"protocol": protocol})
    without = merge(with_views, {"augmentation": {"views": 0.0}})
    pool, truth = steps.load(with_views)
    labels = PseudoLabels(
        classes=truth, guesses=truth, confidence=torch.ones(len(truth)).numpy(), rounds=(~pool.labelled).astype(int)
    )
    for train in (
        lambda config: steps.pretrain(StepInput(config=config, pool=pool)),
        lambda config: steps.retrain(RetrainInput(config=config, pool=pool, number=1, labels=labels)),
    ):
        one, other = (train(config).network.state_dict() for config in (with_views, without))
        assert all(torch.equal(one[name], other[name]) for name in one) == same


def test_the_last_round_and_the_oracle_train_longer(brief: ExperimentConfig) -> None:
    config = merge(brief, {"retrain": {"epochs": 2, "last_round": 4}, "pseudo_labels": {"rounds": 3}})
    assert [steps.retraining(config, number).epochs for number in (1, 2, 3, 0)] == [2, 2, 8, 8]
