"""The key of an experiment's result: the digest of all that determines it, data and backbone by their content."""

from kmpl.config.backbones import NO_BACKBONE
from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.registry import content
from kmpl.method.frozen_pool import backbone_of
from kmpl.runtime.devices import use_threads
from kmpl.store.fingerprints import key
from kmpl.store.kept_results import weights_digest


def result_key(config: ExperimentConfig, **marks: object) -> str:
    """Return the key of an experiment's result, as this process would compute it.

    Args:
        config: of the experiment; its threads are set.
        marks: what else tells it apart.

    Raises:
        UserError: the data set or the backbone cannot be read.
    """
    use_threads(config.threads)
    settings = config.model_dump(mode="json")
    backbone = {}
    if config.backbone != NO_BACKBONE:
        backbone["backbone"] = weights_digest(backbone_of(config.backbone, config.backbone_weights))
    return key("experiment", config, settings=settings, **marks, **backbone, content=content(config.dataset))
