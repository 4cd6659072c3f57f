"""The command line: what ``kmpl`` understands, and how it fails. Each command is imported only when it runs."""

import os
import sys
import warnings
from typing import Any

from cyclopts import App, CycloptsError

from kmpl import __version__
from kmpl.errors import IncompleteError, UserError

app = App(
    name="kmpl",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help="Semi-supervised image classification by K-means pseudo-labelling, tracked and repeatable.",
    help_epilogue="`kmpl run` on its own runs the method on MNIST. `kmpl run --help` lists every setting.",
)
app.command(
    "kmpl.commands.run:run",
    name="run",
    help="Run the experiment: labelled-only against pseudo-labels, before and after.",
)
app.command(
    "kmpl.commands.sweep:sweep", name="sweep", help="Run all labelled ratios × seeds × arms; resumes where it was."
)
app.command("kmpl.commands.sweep:tune", name="tune", help="Let Optuna find the settings for each labelled ratio.")
app.command("kmpl.commands.label:label", name="label", help="Label a folder of images by a few that are labelled.")
app.command("kmpl.commands.suggest:suggest", name="suggest", help="Say which images of a folder to label next.")
benchmark = App(name="benchmark", help="Make the tables beside what others printed, and the table of speed.")
benchmark.command(
    "kmpl.commands.benchmark:literature", name="literature", help="Few labels, beside the papers' numbers."
)
benchmark.command(
    "kmpl.commands.benchmark:notebook", name="notebook", help="Ratios 0.8, 0.4, 0.1, beside the notebook's."
)
benchmark.command(
    "kmpl.commands.benchmark:fewest", name="fewest", help="One and two labels a class, at random or suggested."
)
benchmark.command(
    "kmpl.commands.benchmark:ingredients", name="ingredients", help="The method with each part out, and others in."
)
benchmark.command(
    "kmpl.commands.benchmark:speed", name="speed", help="Beside the notebook's way, and the machine's limits."
)
benchmark.command("kmpl.commands.benchmark:cost", name="cost", help="Time and memory of each step, as the pool grows.")
benchmark.command("kmpl.commands.benchmark:folder", name="folder", help="A folder of digits, labelled by a few.")
app.command(benchmark)
app.command("kmpl.commands.audit:audit", name="audit", help="Measure the faults of the reference notebook.")
app.command("kmpl.commands.report:report", name="report", help="Write a finished sweep's report as one HTML page.")
app.command("kmpl.commands.predict:predict", name="predict", help="Say the class of image files, as CSV or JSON lines.")
app.command("kmpl.commands.export:export", name="export", help="Write a model as a file: ONNX, or one that kmpl reads.")
app.command("kmpl.commands.cache:cache", name="cache", help="Show or clear the store of finished steps.")
app.command("kmpl.commands.ui:ui", name="ui", help="Start MLflow's pages on the runs so far.")
app.command(
    "kmpl.commands.up:up", name="up", help="Start Prefect, a worker, MLflow's and Optuna's pages with one command."
)


def fail(message: str, status: int = 2) -> int:
    """Print one line and return the exit status."""
    print(f"kmpl: {' '.join(message.split())}", file=sys.stderr)
    return status


def _cause(error: CycloptsError) -> str | None:
    """Return one line for a setting out of its range, which cyclopts wraps in an error of several lines."""
    from pydantic import ValidationError  # slow to import, so only when it is needed

    from kmpl.config.presets import one_line

    return one_line(error.__cause__) if isinstance(error.__cause__, ValidationError) else None


_as_python_does = warnings.formatwarning


def _in_one_line(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> str:
    """Return a warning of ours as a line for people, any other as Python writes it, with place and source."""
    ours = category.__module__.startswith("kmpl.")
    return f"kmpl: {message}\n" if ours else _as_python_does(message, category, *where, **more)


_RESUMED = {"run", "sweep", "tune", "label", "suggest", "benchmark", "audit"}
"""Commands whose finished steps are in the store."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status: 0 done, 1 done but for some files, 2 bad input, 130 interrupted."""
    warnings.formatwarning = _in_one_line
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return fail(_cause(error) or str(error))
    except IncompleteError as error:
        return fail(str(error), 1)
    except UserError as error:
        return fail(str(error))
    except BrokenPipeError:  # the reader of our output went away: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        return fail(f"the system refused{place}: {error.strerror or error}")
    except KeyboardInterrupt:
        goes_on = {*(sys.argv[1:] if arguments is None else arguments)[:1]} & _RESUMED
        return fail("interrupted" + ("; the same command goes on where it was" if goes_on else ""), 130)
    return 0


if __name__ == "__main__":
    sys.exit(main())
