"""What each command does: read the settings, hand the steps to the experiment, say where the results are."""

import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kmpl.config import ExperimentConfig
from kmpl.errors import UserError
from kmpl.presets import load

if TYPE_CHECKING:
    from kmpl.results import Epoch
    from kmpl.steps import Watch

Settings = Annotated[ExperimentConfig | None, Parameter(name="*", negative_iterable="")]
Folder = Annotated[Path, Parameter(name="--mlruns")]


def run(
    *,
    preset: str = "default",
    config: Path | None = None,
    json: Path | None = None,
    mlruns: Folder = Path("mlruns"),
    quiet: Annotated[bool, Parameter(negative="")] = False,
    settings: Settings = None,
) -> None:
    """Run the experiment: pretrain on the few labels, pseudo-label the rest, retrain, compare on the test.

    Args:
        preset: default (the protocol as written), quick (a smaller pool, fewer epochs) or notebook (VGG16, the
            notebook's constants).
        config: TOML file of settings; it wins over the preset.
        json: Write the report to this file.
        mlruns: Folder of the tracked runs.
        quiet: Print nothing but errors.
        settings: Single settings; they win over the file and the preset.
    """
    chosen = load(preset, config, settings.model_dump(exclude_unset=True) if settings else None)
    if json is not None:
        _check_target(json)
    # What is heavy is imported only now that the settings are known to be right.
    from kmpl import experiment, report, tracking
    from kmpl.evaluation import evaluate
    from kmpl.steps import load as load_pool

    console = Console(quiet=quiet)
    loaded = load_pool(chosen)
    client = tracking.open_store(mlruns)
    with tracking.experiment_run(client, chosen, shlex.join(["kmpl", *sys.argv[1:]])) as tracked:
        with _progress(console) as watch:
            steps = experiment.Steps(
                evaluate=evaluate, load=lambda _: loaded, watch=watch, begun=tracked.begun, finished=tracked.finished
            )
            outcome = experiment.run(chosen, steps)
        numbers = report.summary(chosen, outcome, tracked.id)
        tracked.closed(outcome, numbers)
        if json is not None:
            report.write_json(numbers, json)
    console.print(report.table(outcome))
    console.print(
        f"Curves, confusions, clusters, models: [bold]{_ui_command(mlruns)}[/bold], then run {tracked.id[:8]}"
    )


def ui(*, mlruns: Folder = Path("mlruns"), port: int = 5000) -> None:
    """Start MLflow's pages on the runs so far, for this machine only. Ctrl-C stops them.

    Args:
        mlruns: Folder of the tracked runs.
        port: Port on 127.0.0.1.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise UserError(f"port {port} on 127.0.0.1 cannot be used ({error}); choose another with --port") from error
    from kmpl import tracking

    tracking.open_store(mlruns)
    print(f"MLflow: http://127.0.0.1:{port}  (Ctrl-C stops it)", flush=True)
    server = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    lean = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # The server takes this process's place, so that whoever stops kmpl stops it too.
    os.execve(sys.executable, [*server, "--backend-store-uri", tracking.tracking_uri(mlruns)], lean)


def _ui_command(mlruns: Path) -> str:
    return "kmpl ui" if mlruns == Path("mlruns") else shlex.join(["kmpl", "ui", "--mlruns", str(mlruns)])


def _check_target(path: Path) -> None:
    """Refuse a file that could not be written at the end, before any work is done."""
    folder = path.resolve().parent
    if not folder.is_dir():
        raise UserError(f"--json {path}: there is no folder {folder}; make it first")
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"--json {path}: cannot be written; name a file in a folder that you may write to")


@contextmanager
def _progress(console: Console) -> Iterator["Watch"]:
    """Give what shows training: live bars on a terminal, a line per epoch elsewhere."""
    from kmpl.steps import Watch

    if not console.is_terminal:
        yield Watch(lambda step, epoch, n: console.print(f"{step}: epoch {epoch.number}/{n}, {_said(epoch)}"))
        return
    columns = [TextColumn("{task.description:18}"), BarColumn(20), TextColumn("{task.fields[said]}")]
    with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def batch(step: str, done: float, epochs: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=epochs, said=f"epoch 1/{epochs}")
            bars.update(tasks[step], completed=done)

        def epoch(step: str, epoch: "Epoch", epochs: int) -> None:
            bars.update(tasks[step], said=f"epoch {epoch.number}/{epochs}, {_said(epoch)}")
            if epoch.number == epochs:  # the next arm may have a step of the same name
                del tasks[step]

        yield Watch(epoch, batch)


def _said(epoch: "Epoch") -> str:
    held = (
        ""
        if epoch.validation_accuracy != epoch.validation_accuracy
        else f", validation {epoch.validation_accuracy:.2%}"
    )
    return f"loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.2%}{held}"
