"""Training beside other programs: measured for as long as is said, beside as many as are said."""

import os
import time
from pathlib import Path

import pytest

from kmpl.benchmarks.speed import busy
from kmpl.benchmarks.speed.timing import Bench
from kmpl.config.presets import load
from kmpl.datasets.registry import read
from kmpl.datasets.types import Images


@pytest.fixture
def bench() -> Bench:
    data = read("MNIST", train=True)
    return Bench(
        load("default", None, {"threads": 1}),
        Images(images=data.images[:512], labels=data.labels[:512], classes=data.classes),
        1,
    )


def test_a_training_is_measured_for_as_long_as_is_said(bench: Bench) -> None:
    begin = time.perf_counter()
    rate = busy.training_rate(bench, 0.3)
    took = time.perf_counter() - begin
    assert took > 0.3
    assert 1 < rate < 10**6 / took  # and not until a million images are seen


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system lists no children")
def test_the_others_compute_as_long_as_the_work_lasts_and_are_gone_then() -> None:
    def children() -> float:
        return len(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split())

    before = children()
    assert busy._beside(2, children) == before + 2
    assert children() == before
    with pytest.raises(ZeroDivisionError):
        busy._beside(1, lambda: 1 / 0)
    assert children() == before


@pytest.mark.slow
def test_the_three_rows_come_from_one_run_in_turn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "_TRAINING_SECONDS", 0.3)
    rows = [row(bench) for row in (busy.quiet, busy.beside_one, busy.beside_two)]
    assert busy.speeds(bench) is busy.speeds(bench)
    assert [(row.must, len(row.values)) for row in rows] == [(0.97, 1), (0.45, 1), (0.3, 1)]
    assert all({*row.parts} == {"kmpl (images/s)", "OpenMP by itself (images/s)"} for row in rows)
    assert rows[1].values == (rows[1].parts["kmpl (images/s)"][0] / rows[0].parts["kmpl (images/s)"][0],)
