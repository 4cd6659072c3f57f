"""What settings may name: every record's code is there, and help texts read the records."""

from collections.abc import Mapping

import pytest

from kmpl.config.choices import Choice
from kmpl.config.datasets import DATASETS
from kmpl.config.experiment import ExperimentConfig, PseudoLabelling
from kmpl.config.networks import NETWORKS
from kmpl.config.strategies import STRATEGIES

KINDS: Mapping[str, Mapping[str, Choice]] = {"strategy": STRATEGIES, "network": NETWORKS, "dataset": DATASETS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_of_every_choice_is_there(kind: str) -> None:
    for name, choice in KINDS[kind].items():
        assert choice.name == name
        assert callable(choice.load())


def test_code_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="cluster_grapf"):
        Choice("cluster-graph", "kmpl.method.pseudo_labels:cluster_grapf").load()


@pytest.mark.parametrize("kind", KINDS)
def test_help_texts_name_every_choice(kind: str) -> None:
    fields = ExperimentConfig.model_fields | PseudoLabelling.model_fields
    text = fields[kind].description or ""
    for choice in KINDS[kind].values():
        assert choice.name in text
        assert choice.help in text
