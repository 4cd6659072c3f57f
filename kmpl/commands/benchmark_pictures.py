"""``kmpl benchmark pictures``: folders of pictures, labelled beside what anybody would do with the same features."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from kmpl.benchmarks.options import PictureOptions
from kmpl.benchmarks.writing import RESULTS, check_out_folder, run_environment, stored_steps, write_table
from kmpl.commands.flags import MLRUNS, Folder
from kmpl.commands.options import overrides_of
from kmpl.config.backbones import DEFAULT_BACKBONE
from kmpl.config.labelling import LabelOptions
from kmpl.errors import UserError

if TYPE_CHECKING:
    from kmpl.benchmarks.accuracy.pictures import Outcome


def pictures(
    *folders: Path,
    out: Path = RESULTS,
    options: Annotated[PictureOptions | None, Parameter(name="*", negative_iterable="")] = None,
    mlruns: Folder = MLRUNS,
    settings: Annotated[LabelOptions | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Label folders of pictures by a few labels a class, beside what anybody would do with the same features.

    Args:
        folders: Folders with a sub-folder of pictures for each class.
        out: Folder that the table (markdown, JSON) and its figure are written to.
        options: With how many labels, which seeds and which arms.
        mlruns: Folder of the store, which keeps the features.
        settings: Single settings of labelling; --backbone is efficientnet-lite0 unless it is given.
    """
    overrides = picture_overrides(folders, out, settings)
    options = options or PictureOptions()
    from kmpl.benchmarks import merge_seeds
    from kmpl.benchmarks.accuracy import pictures_page

    outcomes = _measure(folders, options, overrides, mlruns)
    sessions = merge_seeds.one_session(LabelOptions.model_validate(overrides), outcomes, run_environment())
    page = pictures_page.markdown(outcomes, sessions.parts)
    write_table(out / "pictures", page, pictures_page.figure(outcomes), asdict(sessions))


def picture_overrides(folders: Sequence[Path], out: Path, settings: LabelOptions | None) -> dict[str, Any]:
    """Return the given settings, with a backbone where none is given; refuse what cannot be, before any work.

    Raises:
        UserError: no folder is named, or ``out`` is a file.
    """
    if not folders:
        raise UserError("name folders that have a sub-folder of pictures for each class")
    check_out_folder(out)
    return {"backbone": DEFAULT_BACKBONE} | overrides_of(settings)


def _measure(
    folders: Sequence[Path], options: PictureOptions, overrides: Mapping[str, Any], mlruns: Path
) -> "list[Outcome]":
    """Return the outcome of each arm and draw, and print each as it comes."""
    from kmpl.benchmarks.accuracy import pictures
    from kmpl.jobs.workspace import Workspace
    from kmpl.method.step_interface import no_test_set

    outcomes = []
    draws = pictures.measure(
        folders,
        per_class=options.per_class,
        seeds=options.seeds,
        arms=options.arms,
        overrides=overrides,
        steps=stored_steps(mlruns, no_test_set("a folder of one's own has no test set")),
        store=Workspace(mlruns).store,
    )
    for outcome in draws:
        print(
            f"{outcome.folder}, {outcome.per_class} labels a class, seed {outcome.seed}, {outcome.arm}: "
            f"{outcome.accuracy:.1%} in {outcome.seconds:.1f} s",
            flush=True,
        )
        outcomes.append(outcome)
    return outcomes
