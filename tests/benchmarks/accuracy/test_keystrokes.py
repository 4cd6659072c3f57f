"""A simulated person's keys, on real photographs: whole clusters name more than single images."""

import json
from pathlib import Path

import numpy as np
import pytest
from photographs import write_photographs

from kmpl.benchmarks.accuracy.keystrokes import Outcome, keys_until
from kmpl.benchmarks.options import KEYSTROKE_WAYS
from kmpl.cli import main

KEYS = (6, 12, 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("keys")
    truth = write_photographs(root / "flat", per_class=8)
    for file, name in truth.items():
        (root / "windows" / name).mkdir(parents=True, exist_ok=True)
        (root / "flat" / file).rename(root / "windows" / name / file)
    return root / "windows"


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> list[Outcome]:
    words = ["benchmark", "keystrokes", str(folder), "--keys=24,6,12", "--seeds=1000", "--threads=1"]
    assert main([*words, "--out", str(folder.parent), "--mlruns", str(folder.parent / "mlruns")]) == 0
    return [Outcome(**row) for row in json.loads((folder.parent / "keystrokes.json").read_text("utf-8"))["rows"]]


def test_each_way_has_rising_numbers_of_keys(outcomes: list[Outcome]) -> None:
    for way in KEYSTROKE_WAYS:
        keys = [outcome.keys for outcome in outcomes if outcome.way == way]
        assert keys == list(KEYS[: len(keys)])
        assert len(keys) >= 2


def test_a_key_names_one_image_or_a_cluster_and_names_are_right(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.way in ("random", "suggest"):
            assert outcome.named == pytest.approx(outcome.keys / 48)
        assert outcome.right >= outcome.named * 0.8
    first = {outcome.way: outcome for outcome in outcomes if outcome.keys == KEYS[0]}
    assert first["clusters"].named > 2 * first["random"].named
    assert first["clusters"].right >= first["random"].right


def test_the_page_says_how_many_keys_each_share_takes(folder: Path, outcomes: list[Outcome]) -> None:
    page = (folder.parent / "keystrokes.md").read_text("utf-8")
    ours = [outcome for outcome in outcomes if outcome.way == "clusters"]
    keys = keys_until(ours, 0.8)
    row = next(line for line in page.splitlines() if line.startswith("| clusters |"))
    assert row.split("|")[2].strip() == ("–" if keys is None else f"{keys:.0f}")
    assert f"{100 * np.mean([outcome.right for outcome in ours if outcome.keys == 6]):.1f}" in page


def test_an_unknown_way_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["benchmark", "keystrokes", str(folder), "--ways=guess", "--out", str(folder.parent)]
    assert main([*words, "--mlruns", str(folder.parent / "mlruns")]) == 2
    assert "guess: there is no such way" in " ".join(capsys.readouterr().err.split())
