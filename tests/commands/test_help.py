"""The help: commands in groups, what a person needs first, every setting on request, and defaults that hold."""

import contextlib
import io
import re
from functools import cache
from typing import Any

import docstring_parser
import pytest
from rich.console import Console

from kmpl.cli import app, main
from kmpl.commands.flags import flag
from kmpl.commands.help_page import PAGES, SECTIONS
from kmpl.config.base import flatten
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.labelling import LabelOptions


@cache
def shown(*words: str, width: int = 600) -> str:
    """Return what a command prints on a terminal of so many columns."""
    app.console, text = Console(width=width), io.StringIO()
    try:
        with contextlib.redirect_stdout(text):
            assert main([*words]) == 0
    finally:
        app.console = None
    return text.getvalue()


def flags(text: str) -> list[str]:
    """Return the flags that a help page lists, in its order."""
    return re.findall(r"^│ (?:\*)?\s*(--[\w.-]+)", text, re.MULTILINE)


def default(text: str, name: str) -> str | None:
    """Return the default that a help page shows for a flag."""
    line = next(line for line in text.splitlines() if re.match(rf"│[ *]+{name} ", line))
    found = re.search(r"\[default: (.*)\]", line)
    return found[1] if found else None


def test_commands_are_shown_in_groups_with_two_examples() -> None:
    text = shown("--help")
    assert re.findall(r"^╭─ (.*?) ─", text, re.MULTILINE) == [
        "Your images", "Experiments", "Pages", "Models", "Maintenance", "Options",
    ]  # fmt: skip
    commands = re.findall(r"^│ ([a-z]+) ", text, re.MULTILINE)
    assert commands[:4] == ["label", "suggest", "review", "sweep"]
    assert commands[-3:] == ["cache", "audit", "benchmark"]
    assert len(re.findall(r"^  kmpl ", text, re.MULTILINE)) == 2


@pytest.mark.parametrize("command", PAGES)
def test_help_begins_with_an_example_and_what_a_person_needs(command: str) -> None:
    page = PAGES[command]
    text = shown(*command.split(), "--help-all")
    assert text.index(page.example) < text.index("╭─ What you need")
    assert page.example.startswith(f"kmpl {command}")
    assert {*re.findall(r"--[\w.-]+", page.example)} <= {*flags(text)}
    assert flags(text)[: len(page.first)] == [*page.first]
    assert {*page.defaults()} <= {*flags(text)}, "a default of a flag that there is not"


@pytest.mark.parametrize("command", ["label", "suggest", "run", "sweep", "tune", "benchmark literature", "audit"])
def test_settings_of_training_are_shown_on_request(command: str) -> None:
    text = shown(*command.split(), "--help")
    assert not [name for name in flags(text) if name.split(".")[0] in SECTIONS]
    hidden = int(re.findall(rf"^(\d+) more settings .*: kmpl {command} --help-all$", text, re.MULTILINE)[0])
    everything = shown(*command.split(), "--help-all")
    assert len(flags(everything)) == len(flags(text)) + hidden
    assert "more settings" not in everything


@pytest.mark.parametrize(("command", "settings"), [("label", LabelOptions()), ("run", ExperimentConfig())])
def test_every_setting_is_in_the_whole_help(command: str, settings: LabelOptions | ExperimentConfig) -> None:
    assert {flag(name) for name in flatten(settings.model_dump())} <= {*flags(shown(command, "--help-all"))}


def test_the_help_of_label_fits_two_screens() -> None:
    lines = shown("label", "--help", width=80).splitlines()
    assert len(lines) < 80
    assert max(map(len, lines)) <= 90  # the example alone may be longer than the terminal: it can be copied


def test_a_default_that_is_shown_is_the_one_that_holds() -> None:
    label = shown("label", "--help-all")
    assert default(label, "--clustering.n-clusters") == "chosen from the folder's size"
    assert default(label, "--expect-accuracy") == "0.8"
    assert default(label, "--overwrite") is None
    run = shown("run", "--help-all")
    assert default(run, "--pretrain.epochs") == "depends on --preset: 12, quick: 9, notebook: 4"
    assert default(run, "--pseudo-labels.rounds") == "depends on --preset: 3, quick: 1, notebook: 1"
    assert default(run, "--arms") == "labelled-only,pseudo-label"
    assert default(run, "--pretrain.weight-decay") == "depends on --preset: 0.01, notebook: 0.0"
    literature = shown("benchmark", "literature", "--help-all")
    assert default(literature, "--protocol") == "literature"
    assert default(literature, "--ratios") == "0.05,0.01667,0.01,0.00167"
    assert default(literature, "--name") == "literature"
    audit = shown("audit", "--help-all")
    assert default(audit, "--network") == "cnn"
    assert default(audit, "--pretrain.epochs") == "4"
    assert default(audit, "--pseudo-labels.strategy") == "prototype-knn"


def test_help_texts_are_not_broken_where_their_source_is() -> None:
    text = shown("label", "--help")
    assert "given as --labels: assigned (all), given (what a person gave or changed)" in text


def test_the_source_of_a_class_is_read_once() -> None:
    shown("run", "--help")
    read: Any = docstring_parser.parse_from_object
    assert read.cache_info().hits > read.cache_info().misses


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["label"], "kmpl: FOLDER is missing; see kmpl label --help"),
        (["label", "photos"], "kmpl: --out is missing; see kmpl label --help"),
        (["label", "photos", "--labels", "x.csv"], "kmpl: --out is missing; see kmpl label --help"),
        (["suggest", "photos", "--out", "x.csv"], "kmpl: --budget is missing; see kmpl suggest --help"),
        (["report", "three"], "kmpl: --out is missing; see kmpl report --help"),
    ],
)
def test_a_missing_argument_is_named(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err == line + "\n"
