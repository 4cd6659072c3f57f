"""The table of speed: measured in turn, counted right, told honestly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sweeping import kmpl
from torch.utils.flop_counter import FlopCounterMode

from kmpl.benchmarks.speed import notebook_way, rounds, table
from kmpl.benchmarks.speed.ceilings import CEILINGS
from kmpl.benchmarks.speed.profile import by_operation
from kmpl.benchmarks.speed.table import Speed
from kmpl.benchmarks.speed.table_page import figure, markdown
from kmpl.benchmarks.speed.timing import Bench, Row, alternate
from kmpl.config.presets import load, merge
from kmpl.datasets.registry import read
from kmpl.datasets.types import Images
from kmpl.method.kmeans import kmeans
from kmpl.models import registry as networks
from kmpl.reports.figures import png


@pytest.fixture(scope="module")
def bench() -> Bench:
    data = read("MNIST", train=True)
    return Bench(
        load("default", None, {"threads": 1}),
        Images(images=data.images[:512], labels=data.labels[:512], classes=data.classes),
        1,
    )


def test_compared_functions_run_in_turn_after_one_run_that_does_not_count() -> None:
    done: list[str] = []

    def work(name: str) -> float:
        done.append(name)
        return float(len(done))

    assert alternate(2, lambda: work("a"), lambda: work("b")) == ((3.0, 5.0), (4.0, 6.0))
    assert done == ["a", "b"] * 3


@pytest.mark.parametrize(("median", "more", "reached"), [(30, True, True), (20, True, False), (20, False, True)])
def test_a_goal_is_reached_from_the_right_side(median: float, more: bool, reached: bool) -> None:
    assert Row("one", (1.0, median, 1_000.0), must=25, aim=60, more=more).reaches(25) is reached


def test_the_page_says_what_was_not_reached_and_what_it_is_made_of() -> None:
    rows = [
        Row("fast", (70.0, 80.0), 25, 60, parts={"kmpl (s)": (2.0,)}),
        Row("middling", (30.0,), 25, 60),
        Row("slow", (1.2, 1.3, 1.4), 1.10, 1.05, more=False),
    ]
    ceilings = {"memory": Row("memory", (20.0,), 0, 0, "GB/s")}
    text = markdown(Speed(rows, ceilings, {"aten::mm": 0.75}), {"command": "kmpl benchmark speed"})
    lines = {line.split(" | ")[0].strip("| "): line for line in text.splitlines()}
    assert "75 (70 to 80) | ≥ 25 × | ≥ 60 × | reached, and what is aimed at" in text
    assert lines["middling"].endswith("| reached |")
    assert lines["slow"].endswith("| **not reached** |")
    assert "1.3 (1.2 to 1.4) | ≤ 1.1 ×" in lines["slow"]
    assert "| fast | kmpl (s) | 2 |" in text
    assert "| memory | 20 GB/s |" in text
    assert "| `aten::mm` | 75.0 % |" in text
    assert "- command: `kmpl benchmark speed`" in text
    assert png(figure(rows)).startswith(b"\x89PNG")


def test_the_ceilings_are_measured() -> None:
    found = [work(torch.device("cpu")) for work, _ in CEILINGS.values()]
    assert all(0.1 < value < 100_000 for value in found)


def test_the_operations_of_a_step_are_those_that_its_layers_have() -> None:
    network = networks.build("cnn", channels=1, n_classes=10, seed=0)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 1, 28, 28))
    convolutions = 28**2 * 25 * 32 + 14**2 * 9 * 32 * 64 + 7**2 * 9 * 64 * 128
    assert counter.get_total_flops() == 2 * 2 * (convolutions + 128 * 16 * 128 + 128 * 10)


def test_a_step_and_the_loop_around_it_are_measured(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_TIMED_STEPS", 2)
    share, loop = table.step_against_ceiling(bench), table.loop_against_step(bench)
    assert 1 < share.median < 200
    assert 0.5 < loop.median < 20
    assert len(share.values) == 3


def test_the_profile_names_the_operations_that_cost_most_and_leaves_nothing_out(bench: Bench) -> None:
    shares = by_operation(bench.config, bench.data, steps=2, n_named=10)
    assert len(shares) == 11
    assert sum(shares.values()) == pytest.approx(1)
    assert any("conv" in name for name in shares)
    assert list(shares.values())[:10] == sorted(list(shares.values())[:10], reverse=True)


def test_the_rounds_are_run_once_and_kmeans_starts_from_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    brief = {"epochs": 1, "images_per_epoch": 640}
    change = {"pool": {"size": 2_000}, "pretrain": brief, "retrain": brief, "pseudo_labels": {"threshold": 0}}
    small = Bench(merge(bench.config, change), bench.data, 1)
    monkeypatch.setattr(rounds, "_N_CLUSTERS", 60)
    share, warm = rounds.voting_share(small), rounds.kmeans_between_rounds(small)
    assert len(share.values) == 3
    assert all(0 < value < 100 for value in share.values)
    assert "1,990 × 512" in warm.name  # ten of the labels are for validation
    [inertia] = warm.parts["inertia, kmpl / scikit-learn"]
    assert inertia == pytest.approx(1, abs=0.05)
    assert rounds.all_rounds(small) is rounds.all_rounds(small)


def test_the_notebooks_way_trains_predicts_and_names(bench: Bench) -> None:
    network = networks.build("cnn", channels=1, n_classes=10, seed=0)
    [before, *_] = [p.detach().clone() for p in network.parameters()]
    assert notebook_way.train(network, bench.data, 2) == 128
    assert (next(network.parameters()) != before).any()
    assert notebook_way.predict(network, bench.data, 3) == 192
    [(images, labels)] = notebook_way.batches(bench.data, 1)
    assert images.shape == (64, 1, 32, 32)
    assert images.is_floating_point()
    assert len(labels.unique()) > 3


def test_the_notebooks_pseudo_labels_are_those_of_its_description() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 10, size=(10, 8))
    labels, hidden = rng.integers(0, 10, 300), rng.integers(0, 10, 200)
    points, others = (centres[c] + rng.normal(0, 0.1, size=(len(c), 8)) for c in (labels, hidden))
    assert len(kmeans(points, 10, seed=0).centroids) == 10
    # With several prototypes to each class, five neighbours are of its own.
    found = notebook_way.pseudo_label(points, labels, others, n_clusters=100)
    assert (found == hidden).mean() > 0.97


def test_the_whole_job_is_counted_as_the_notebook_does_it() -> None:
    assert notebook_way.images_of_the_job(pool=30_000, labelled=3_000, test=20_000) == (4 * 33_000, 8 * 20_000 + 30_000)


@pytest.mark.slow
def test_the_command_writes_its_page_figure_and_numbers(tmp_path: Path) -> None:
    brief = [f"--{step}.{name}" for step in ("pretrain", "retrain") for name in ("epochs=1", "images-per-epoch=640")]
    done = kmpl("benchmark", "speed", "--turns", "1", "--out", "results", *brief, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "whole job" in (tmp_path / "results" / "speed.md").read_text(encoding="utf-8")
    assert (tmp_path / "results" / "speed.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "results" / "speed.json").is_file()
