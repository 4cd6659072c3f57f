"""Cost against size: every step timed, memory as the system counts it, growth named."""

import math
import os
import signal
import time
from pathlib import Path

import pytest
from processes import alive, children, wait_until
from sweeping import kmpl, start

from kmpl.benchmarks.options import CostOptions
from kmpl.benchmarks.speed.cost import STEPS, Cost, growth, measure, settings_for
from kmpl.benchmarks.speed.cost_page import figure, markdown
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import load
from kmpl.reports.figures import png

SIZES = CostOptions().sizes


def invented(power: float) -> list[Cost]:
    return [Cost(n, step, 1e-6 * n**power, 600.0 + n / 1e3) for n in SIZES for step in STEPS]


@pytest.mark.parametrize(("images", "size", "views"), [(7_500, 7_500, 1), (60_000, 60_000, 1), (240_000, 60_000, 4)])
def test_a_pool_larger_than_the_data_set_has_more_views_of_each_image(images: int, size: int, views: int) -> None:
    config = settings_for(ExperimentConfig(), images)
    assert (config.pool.size, config.pool.views_per_image) == (size, views)
    assert config.labels == 100


def test_the_same_power_is_found_that_went_in_and_only_what_is_more_than_linear_is_named() -> None:
    for power in (0.9, 1.0, 1.5, 2.0):
        costs = invented(power)
        assert growth(costs, "embed") == pytest.approx(power, abs=0.01)
        assert ("faster than the pool" in markdown(costs, {})) is (power > 1.1)
    assert math.isnan(growth(invented(1.0)[: len(STEPS)], "embed"))


def test_the_page_has_every_step_and_size_and_the_figure_is_drawn() -> None:
    text = markdown(invented(1.0), {"command": "kmpl benchmark cost"})
    assert all(f"| {step} |" in text for step in STEPS)
    assert "| 7,500 | 15,000 | 30,000 | 60,000 | 120,000 | 240,000 |" in text
    assert "- command: `kmpl benchmark cost`" in text
    assert png(figure(invented(1.0))).startswith(b"\x89PNG")


@pytest.mark.parametrize("sizes", [(400,), pytest.param((400, 800), marks=pytest.mark.slow)])
def test_steps_are_timed_at_each_size_in_processes_of_their_own(sizes: tuple[int, ...]) -> None:
    brief = {"epochs": 1, "images_per_epoch": 200, "batch_size": 64}
    config = load("default", None, {"threads": 1, "pretrain": brief, "clustering": {"n_clusters": 40}})
    told: list[Cost] = []
    costs = measure(config, sizes, told.append)
    assert [(c.images, c.step) for c in costs] == [(n, step) for n in sizes for step in STEPS]
    assert all(c.seconds > 0 and 100 < c.peak < 4_000 for c in costs)
    assert [c.step for c in told] == ["all"] * len(sizes)
    parts = [c.seconds for c in costs if c.images == 400 and c.step != "all"]
    assert told[0].seconds == pytest.approx(sum(parts))


@pytest.mark.slow
def test_a_killed_measurement_leaves_no_process_at_work(tmp_path: Path) -> None:
    with start("benchmark", "cost", "--sizes", "60000", "--threads", "1", cwd=tmp_path) as process:
        assert wait_until(lambda: len(children(process.pid)) == 2)  # the one that measures, and Python's own tracker
        time.sleep(3)
        left = children(process.pid)
        process.kill()
    try:
        assert len(left) == 2
        assert wait_until(lambda: not any(map(alive, left)))
    finally:
        for pid in filter(alive, left):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_the_command_writes_its_page_figure_and_numbers(tmp_path: Path) -> None:
    done = kmpl("benchmark", "cost", "--sizes", "1000,2000", "--pretrain.epochs", "1", "--out", "results", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2,000 images: " in done.stdout
    assert "Cost against size" in (tmp_path / "results" / "cost.md").read_text(encoding="utf-8")
    assert (tmp_path / "results" / "cost.png").is_file()
    assert (tmp_path / "results" / "cost.json").is_file()
