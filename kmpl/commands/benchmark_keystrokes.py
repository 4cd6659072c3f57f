"""``kmpl benchmark keystrokes``: what a person's keys are worth, for single images and for clusters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from kmpl.benchmarks.options import KeystrokeOptions
from kmpl.benchmarks.writing import RESULTS, run_environment, stored_steps, write_table
from kmpl.commands.benchmark_pictures import picture_overrides
from kmpl.commands.flags import MLRUNS, Folder
from kmpl.config.labelling import LabelOptions

if TYPE_CHECKING:
    from kmpl.benchmarks.accuracy.keystrokes import Outcome


def keystrokes(
    *folders: Path,
    out: Path = RESULTS,
    options: Annotated[KeystrokeOptions | None, Parameter(name="*", negative_iterable="")] = None,
    mlruns: Folder = MLRUNS,
    settings: Annotated[LabelOptions | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Count a simulated person's keys until a folder is named rightly: single images, suggested ones, or clusters.

    Args:
        folders: Folders with a sub-folder of pictures for each class.
        out: Folder that the table (markdown, JSON) is written to.
        options: Which numbers of keys, seeds and ways.
        mlruns: Folder of the store, which keeps the features.
        settings: Single settings of labelling; --backbone is efficientnet-lite0 unless it is given.
    """
    overrides = picture_overrides(folders, out, settings)
    options = options or KeystrokeOptions()
    from kmpl.benchmarks import merge_seeds
    from kmpl.benchmarks.accuracy import keystrokes_page

    outcomes = _measure(folders, options, overrides, mlruns)
    sessions = merge_seeds.one_session(LabelOptions.model_validate(overrides), outcomes, run_environment())
    write_table(out / "keystrokes", keystrokes_page.markdown(outcomes, sessions.parts), None, asdict(sessions))


def _measure(
    folders: Sequence[Path], options: KeystrokeOptions, overrides: Mapping[str, Any], mlruns: Path
) -> "list[Outcome]":
    """Return what each way is worth in each folder, and print it as it comes."""
    from kmpl.benchmarks.accuracy import keystrokes, pictures
    from kmpl.jobs.workspace import Workspace
    from kmpl.method.step_interface import no_test_set

    outcomes = []
    store = Workspace(mlruns).store
    for root in folders:
        work = keystrokes.Work(
            images=pictures.with_true_labels(root, overrides, store),
            overrides=overrides,
            steps=stored_steps(mlruns, no_test_set("a folder of one's own has no test set")),
            store=store,
        )
        for outcome in keystrokes.measure(work, options.ways, options.seeds, sorted(options.keys)):
            share = f"{outcome.right:.1%} right, {outcome.named:.0%} named by keys"
            line = f"{outcome.folder}, {outcome.way}, seed {outcome.seed}, {outcome.keys} keys: {share}"
            print(line, flush=True)
            outcomes.append(outcome)
    return outcomes
