"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from kmpl.commands.flags import MLRUNS, Flag, Folder
from kmpl.config.base import Settings
from kmpl.config.experiment import ExperimentConfig, Method
from kmpl.config.presets import layered, overrides_from, preset_pool_size
from kmpl.config.sweep import SweepConfig
from kmpl.runtime.output_paths import check_target

ExperimentSettings = Annotated[ExperimentConfig | None, Parameter(name="*", negative_iterable="")]


class How(Settings):
    """How a sweep is run, and where its results go."""

    preset: str = "default"
    """default (the protocol as written), quick (a smaller pool, fewer epochs) or notebook (VGG16, its constants)."""
    config: Path | None = None
    """TOML file of settings; it wins over the preset."""
    engine: Literal["prefect", "direct"] = "prefect"
    """prefect (runs show on Prefect's pages; a server of its own if PREFECT_API_URL names none) or direct."""
    json_: Annotated[Path | None, Parameter(name="--json")] = None
    """Write the report to this file."""
    storage: str = ""
    """Address of Optuna's storage (postgresql://…, or a file); empty: OPTUNA_STORAGE, or a journal beside the runs."""
    mlruns: Folder = MLRUNS
    """Folder of the tracked runs, of the studies and of the store."""
    quiet: Flag = False
    """Print nothing but errors."""


def overrides_of(settings: Settings | None) -> dict[str, Any]:
    """Return the settings that the command line gives, as a tree; defaults are left out."""
    return settings.model_dump(exclude_unset=True) if settings else {}


def sweep_settings(options: dict[str, Any], how: How, settings: dict[str, Any]) -> SweepConfig:
    """Return the settings of a sweep.

    Args:
        options: fields of ``SweepConfig`` but the experiment.
        how: which file and preset it takes.
        settings: single settings; they win over the file and the preset.
    """
    method = layered(Method(), how.preset, how.config, settings)
    return SweepConfig.model_validate(options | {"experiment": method})


def fit_to_pool(config: SweepConfig, how: How, settings: dict[str, Any]) -> SweepConfig:
    """Return the settings of a sweep; a number of clusters that nobody gave is chosen by the pool's size."""
    overrides = overrides_from(how.config, settings)
    if how.json_ is not None:
        check_target(how.json_, "--json")
    from kmpl.method.pool_size import fitted

    method = fitted(config.experiment, overrides, preset_pool_size(how.preset))
    print_new_clusters(config.experiment, method, Console(quiet=how.quiet))
    return config.model_copy(update={"experiment": method})


def print_new_clusters(old: Method, new: Method, console: Console) -> None:
    """Print the number of clusters, if it was changed to fit the pool's size."""
    n_old = old.clustering.n_clusters
    n_new = new.clustering.n_clusters
    if n_old != n_new:
        console.print(
            f"{n_new} clusters, for the pool's size ({n_old} are for a larger one; --clustering.n-clusters says "
            "another number)",
            highlight=False,
            soft_wrap=True,
        )
