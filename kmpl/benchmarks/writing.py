"""The files of a benchmark's table, and the environment that it was measured in."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmpl.errors import UserError
from kmpl.runtime.typed_command import typed_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from kmpl.method.results import Evaluation
    from kmpl.method.step_inputs import EvaluateInput
    from kmpl.method.step_interface import Steps


RESULTS = Path("docs/results")


def run_environment() -> dict[str, str]:
    """Return versions, machine, command and date."""
    from kmpl.tracking.environment import environment, now

    return environment() | {"command": typed_command(), "date": now()}


def stored_steps(mlruns: Path, evaluate: "Callable[[EvaluateInput], Evaluation] | None" = None) -> "Steps":
    """Return steps with a store; ``evaluate`` opens the test set unless another function is given."""
    from kmpl.jobs.workspace import Workspace
    from kmpl.method import evaluation
    from kmpl.method.step_interface import Steps
    from kmpl.store.cached_steps import cached

    return cached(Steps(evaluate=evaluate or evaluation.evaluate), Workspace(mlruns).store)


def check_out_folder(out: Path) -> None:
    """Refuse an --out that is a file.

    Raises:
        UserError: it is a file.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; name a folder")


def write_table(path: Path, markdown: str, figure: "Figure | None", numbers: dict[str, Any]) -> None:
    """Write a table (.md), its figure (.png), if any, and its numbers (.json): each file is whole or absent."""
    from kmpl.reports.experiment_report import write_json
    from kmpl.reports.figures import png
    from kmpl.runtime.files import whole_file

    write_json(numbers, path.with_suffix(".json"))
    contents = {".md": markdown.encode()}
    if figure is not None:
        contents[".png"] = png(figure)
    for suffix, content in contents.items():
        with whole_file(path.with_suffix(suffix)) as draft:
            draft.write_bytes(content)
    print(f"{path}{', '.join(contents)} and .json are written")
