"""The command line: what ``kmpl`` understands, and how it fails. Each command is imported only when it runs."""

import gc
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

from cyclopts import App, CycloptsError, Group, MissingArgumentError

from kmpl import __version__
from kmpl.errors import IncompleteError, SettingError, UserError

HELP = ("--help", "-h", "--help-all")
IMAGES = Group("Your images", sort_key=1)
EXPERIMENTS = Group("Experiments", sort_key=2)
PAGES = Group("Pages", sort_key=3)
MODELS = Group("Models", sort_key=4)
MAINTENANCE = Group("Maintenance", sort_key=5)
OPTIONS = Group("Options", sort_key=6)

app = App(
    name="kmpl",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help="Semi-supervised image classification by K-means pseudo-labelling, tracked and repeatable.",
    help_flags=HELP,
    help_format="plaintext",  # markdown takes about 30 ms to import
    help_epilogue="""Examples:
  kmpl label photos --labels labels.csv --out pseudo_labels.csv
  kmpl sweep --preset quick

kmpl COMMAND --help shows what a command needs, --help-all every setting.""",
    group_commands=OPTIONS,
)
benchmark = App(
    name="benchmark",
    help="Make the tables of docs/results, one each.",
    help_flags=HELP,
    help_epilogue="",
    group=MAINTENANCE,
    group_commands=Group("Tables", sort_key=0),
    sort_key=99,
)
label_studio = App(
    name="label-studio",
    help="Push a folder to Label Studio, pull annotations, label by them.",
    help_flags=HELP,
    help_epilogue="",
    group=IMAGES,
    group_commands=Group("Directions", sort_key=0),
    sort_key=98,  # behind the commands of the group, which are counted
)


def _command(path: str, help: str, group: Group | None = None, of: App = app) -> None:
    """Make a function a command of its name; it is imported when it runs, or shows its help."""
    of.command(f"kmpl.commands.{path}", help=help, help_epilogue="", group=group, sort_key=len([*of]))


_command("label:label", "Label a folder of images by a few that are labelled.", IMAGES)
_command("suggest:suggest", "Say which images of a folder to label next.", IMAGES)
_command("review:review", "Name the images of a folder in the browser, a cluster at a time.", IMAGES)
app.command(label_studio)
_command("label_studio:push", "Make tasks of images, with labels.", of=label_studio)
_command("label_studio:pull", "Write annotations as a CSV of given labels.", of=label_studio)
_command("label_studio:loop", "Pull, label, push, whenever there are more annotations.", of=label_studio)
_command("sweep:sweep", "Compare labels only with pseudo-labels at several labelled ratios.", EXPERIMENTS)
_command("run:run", "Compare labels only with pseudo-labels once, at one labelled ratio.", EXPERIMENTS)
_command("sweep:tune", "Let Optuna find the settings for each labelled ratio.", EXPERIMENTS)
_command("data:data", "Say what is in a data set: sizes, classes, duplicates.", EXPERIMENTS)
_command("report:report", "Write a finished sweep's report as one HTML page.", PAGES)
_command("compare:compare", "Show two sweeps or runs side by side.", PAGES)
_command("ui:ui", "Start MLflow's pages on the runs so far.", PAGES)
_command("up:up", "Start Prefect, a worker, MLflow's and Optuna's pages.", PAGES)
_command("predict:predict", "Say the class of image files, as CSV or JSON lines.", MODELS)
_command("export:export", "Write a model as a file: ONNX, or one that kmpl reads.", MODELS)
_command("doctor:doctor", "Say which servers and folders are used, and whether they answer.", MAINTENANCE)
_command("cache:cache", "Show or clear the store of finished steps.", MAINTENANCE)
_command("audit:audit", "Measure the faults of the reference notebook.", MAINTENANCE)
app.command(benchmark)
_command("benchmark:literature", "Few labels, beside the papers' numbers.", of=benchmark)
_command("benchmark:notebook", "Ratios 0.8, 0.4, 0.1, beside the notebook's.", of=benchmark)
_command("benchmark:fewest", "One and two labels a class, at random or suggested.", of=benchmark)
_command("benchmark:ingredients", "The method with each part out, and others in.", of=benchmark)
_command("benchmark:speed", "Beside the notebook's way, and the machine's limits.", of=benchmark)
_command("benchmark:cost", "Time and memory of each step, as the pool grows.", of=benchmark)
_command("benchmark_shards:shards", "Large folders in shards: K-means, time, memory.", of=benchmark)
_command("benchmark_pictures:pictures", "Folders of pictures, beside logistic regression.", of=benchmark)
_command("benchmark_keystrokes:keystrokes", "What a person's keys are worth.", of=benchmark)
_command("benchmark:folder", "A folder of digits, labelled by a few.", of=benchmark)


def fail(message: str, status: int = 2) -> int:
    """Print one line and return the exit status."""
    print(f"kmpl: {' '.join(message.split())}", file=sys.stderr)
    return status


def _reason(error: CycloptsError, words: list[str]) -> str:
    """Return one line for what cyclopts refused: what is missing, and settings out of their range, in words of ours."""
    from pydantic import ValidationError  # slow to import, so only when it is needed

    from kmpl.config.presets import setting_error

    missing = None
    if isinstance(cause := error.__cause__, ValidationError):
        first = cause.errors()[0]
        if first["type"] != "missing":
            return setting_error(cause).called(_as_typed(words))
        missing = f"--{first['loc'][0]}".replace("_", "-")
    elif isinstance(error, MissingArgumentError) and error.argument and not (error.keyword or error.argument.tokens):
        missing = error.argument.name
    command = " ".join(["kmpl", *(error.command_chain or ())])
    return f"{missing} is missing; see {command} --help" if missing else str(error)


def _as_typed(words: list[str]) -> Callable[[str], str]:
    """Return what gives the flag of a setting, or of a part of one (``seeds.0``), where the typed command has it."""
    from kmpl.commands.flags import flag

    command = app.parse_commands(words)[1][-1]
    known = {name for argument in command.assemble_argument_collection() for name in argument.names}

    def typed(setting: str) -> str:
        name = flag(re.sub(r"(\.\d+)+$", "", setting))
        return name if name in known else setting

    return typed


_as_python_does = warnings.formatwarning


def _in_one_line(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> str:
    """Return a warning of ours as a line for people, any other as Python writes it, with place and source."""
    ours = category.__module__.startswith("kmpl.")
    return f"kmpl: {message}\n" if ours else _as_python_does(message, category, *where, **more)


_RESUMED = {"run", "sweep", "tune", "label", "suggest", "review", "label-studio", "benchmark", "audit"}
"""Commands whose finished steps are in the store."""

_COLLECT_AFTER = (50_000, 20, 100)  # Python's own are 700, 10, 10: while libraries are imported, a fifth of the time
"""New objects, and collections of younger ones, after which Python looks for unreachable objects."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status: 0 done, 1 done but for some files, 2 bad input, 130 interrupted."""
    warnings.formatwarning = _in_one_line
    if arguments is None:  # the process is ours
        gc.set_threshold(*_COLLECT_AFTER)
    words = sys.argv[1:] if arguments is None else arguments
    app.help_formatter = None
    if {*HELP} & {*words[1:]}:  # without a command there are no settings to show
        from kmpl.commands.help_page import help_page

        app.help_formatter = help_page(words)
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return fail(_reason(error, words))
    except IncompleteError as error:
        return fail(str(error), 1)
    except SettingError as error:  # in a file it stands under its own name, here it is typed as a flag
        return fail(str(error) if error.is_in_file else error.context + error.called(_as_typed(words)))
    except UserError as error:
        return fail(str(error))
    except BrokenPipeError:  # the reader of our output went away: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        return fail(f"the system refused{place}: {error.strerror or error}")
    except KeyboardInterrupt:
        goes_on = {*words[:1]} & _RESUMED
        return fail("interrupted" + ("; the same command goes on where it was" if goes_on else ""), 130)
    return 0


if __name__ == "__main__":
    sys.exit(main())
