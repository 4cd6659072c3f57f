"""Where the time of training goes: operations of the training loop by their own time, as torch's profiler sees them."""

from collections.abc import Mapping

import torch
from torch.profiler import ProfilerActivity, profile

from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.types import Images
from kmpl.models import registry as networks
from kmpl.runtime.devices import to_device
from kmpl.training import examples, loop

STEPS = 40


def by_operation(config: ExperimentConfig, data: Images, steps: int = STEPS, most: int = 12) -> Mapping[str, float]:
    """Return the share of a retraining's time of each operation, the greatest first; what is smaller is ``the rest``.

    Args:
        config: network, batch size, augmentation.
        data: what is trained on; its first images are enough.
        steps: so many are looked at, after as many that are not.
        most: operations that are named.
    """
    network = to_device(
        networks.build(config.network, channels=1, n_classes=len(data.classes), seed=0), config.device, config.precision
    )
    n = steps * config.retrain.batch_size
    settings = config.retrain.model_copy(update={"epochs": 1, "images_per_epoch": n})
    some = examples.examples(data.images[:10_000], data.labels[:10_000].numpy())
    nobody = data.images[:0], data.labels[:0].numpy()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    loop.fit(network, some, settings, augmentation=config.augmentation, seed=0, validation=nobody)
    with profile(activities=kinds) as seen:
        loop.fit(network, some, settings, augmentation=config.augmentation, seed=0, validation=nobody)
    times = {
        event.key: float(event.self_cpu_time_total + event.self_device_time_total) for event in seen.key_averages()
    }
    total = sum(times.values())
    named = sorted(times, key=times.__getitem__, reverse=True)[:most]
    rest = total - sum(times[name] for name in named)
    return {name: times[name] / total for name in named} | {"the rest": rest / total}
