"""Profile of training: the operations of the training loop by their own time, from torch's profiler."""

from collections.abc import Mapping

import torch
from torch.profiler import ProfilerActivity, profile

from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.types import Images
from kmpl.models import registry as networks
from kmpl.runtime.devices import to_device
from kmpl.training import examples, loop

STEPS = 40
"""Number of training steps that are profiled."""


def by_operation(config: ExperimentConfig, data: Images, steps: int = STEPS, n_named: int = 12) -> Mapping[str, float]:
    """Return each operation's share of the time of a retraining, the largest first; the others are ``the rest``.

    Args:
        config: network, batch size, augmentation.
        data: training images; only the first are used.
        steps: number of steps to profile, after as many that are not profiled.
        n_named: number of operations to name.
    """
    network = to_device(
        networks.build(config.network, channels=1, n_classes=len(data.classes), seed=0), config.device, config.precision
    )
    n_images = steps * config.retrain.batch_size
    settings = config.retrain.model_copy(update={"epochs": 1, "images_per_epoch": n_images})
    some = examples.examples(data.images[:10_000], data.labels[:10_000].numpy())
    no_validation = data.images[:0], data.labels[:0].numpy()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    loop.fit(network, some, settings, augmentation=config.augmentation, seed=0, validation=no_validation)
    with profile(activities=kinds) as seen:
        loop.fit(network, some, settings, augmentation=config.augmentation, seed=0, validation=no_validation)
    times = {
        event.key: float(event.self_cpu_time_total + event.self_device_time_total) for event in seen.key_averages()
    }
    total = sum(times.values())
    named = sorted(times, key=times.__getitem__, reverse=True)[:n_named]
    rest = total - sum(times[name] for name in named)
    return {name: times[name] / total for name in named} | {"the rest": rest / total}
