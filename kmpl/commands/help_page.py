"""The help of a command with many settings: an example, the flags that a person needs, on request all others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import docstring_parser
from cyclopts.help import HelpEntry, HelpPanel
from cyclopts.help.formatters import DefaultFormatter
from rich.text import Text

from kmpl.commands import help_defaults
from kmpl.commands.flags import flag
from kmpl.config.base import Settings
from kmpl.config.experiment import ExperimentConfig

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

SECTIONS: Mapping[str, type[Settings]] = {
    flag(name): type(field.default)
    for name, field in ExperimentConfig.model_fields.items()
    if isinstance(field.default, Settings)
}
"""Sections of the settings of pool, training, clustering and voting, by what their flags begin with."""
_RARE = ("--network", "--precision", "--shards")


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the help of a command begins with."""

    example: str
    first: tuple[str, ...]
    """Flags that a person needs, in this order."""
    defaults: Callable[[], Mapping[str, str]] = dict
    """Returns the default of a flag, in words, if it is not the default of its field."""


_SWEEP = ("--preset", "--dataset", "--protocol", "--ratios", "--seeds", "--arms", "--name", "--jobs", "--config")
_TABLE = ("--out", "--join", "--seeds")
_SERVER = "--url http://localhost:8080 --project photos"
PAGES: Mapping[str, Page] = {
    "label": Page(
        example="kmpl label photos --labels labels.csv --out pseudo_labels.csv --gallery gallery.html",
        first=("--out", "--labels", "--gallery", "--size", "--threshold", "--expect-accuracy", "--seed"),
        defaults=help_defaults.of_folders,
    ),
    "suggest": Page(
        example="kmpl suggest photos --budget 20 --out to_label.csv --sheet to_label.png",
        first=("--budget", "--out", "--labels", "--sheet", "--size", "--seed"),
        defaults=help_defaults.of_folders,
    ),
    "label-studio push": Page(
        example=f"kmpl label-studio push photos {_SERVER} --labels pseudo_labels.csv",
        first=("--url", "--project", "--labels", "--classes", "--upload", "--server-path"),
    ),
    "label-studio pull": Page(
        example=f"kmpl label-studio pull photos {_SERVER} --out labels.csv",
        first=("--url", "--project", "--out", "--overwrite"),
    ),
    "label-studio loop": Page(
        example=f"kmpl label-studio loop photos {_SERVER} --out pseudo_labels.csv",
        first=("--url", "--project", "--out", "--gallery", "--new", "--every", "--rounds", "--classes", "--upload"),
        defaults=help_defaults.of_folders,
    ),
    "predict": Page(
        example="kmpl predict photos --out classes.csv", first=("--model", "--format", "--out", "--overwrite")
    ),
    "run": Page(
        example="kmpl run --preset quick --ratio 0.1",
        first=("--preset", "--dataset", "--protocol", "--ratio", "--labels", "--seed", "--arms", "--config", "--json"),
        defaults=help_defaults.of_presets,
    ),
    "sweep": Page(
        example="kmpl sweep --preset quick --seeds 0,1,2 --name three", first=_SWEEP, defaults=help_defaults.of_presets
    ),
    "tune": Page(
        example="kmpl tune --preset quick --name tuned --jobs 2",
        first=(*_SWEEP, "--trials", "--search", "--draws"),
        defaults=help_defaults.of_presets,
    ),
    "benchmark literature": Page(
        example="kmpl benchmark literature",
        first=(*_TABLE, "--ratios", "--arms"),
        defaults=partial(help_defaults.of_comparison, "literature"),
    ),
    "benchmark notebook": Page(
        example="kmpl benchmark notebook",
        first=(*_TABLE, "--ratios", "--arms"),
        defaults=partial(help_defaults.of_comparison, "notebook"),
    ),
    "benchmark fewest": Page(
        example="kmpl benchmark fewest", first=_TABLE, defaults=partial(help_defaults.of_table, "fewest")
    ),
    "benchmark ingredients": Page(
        example="kmpl benchmark ingredients",
        first=(*_TABLE, "--labels"),
        defaults=partial(help_defaults.of_table, "ingredients"),
    ),
    "benchmark pictures": Page(
        example="kmpl benchmark pictures photos --per-class 5 --seeds 0 --out tables",
        first=("--out", "--per-class", "--seeds", "--arms", "--backbone"),
        defaults=help_defaults.of_picture_benchmark,
    ),
    "benchmark folder": Page(
        example="kmpl benchmark folder digits --seeds 0",
        first=("--out", "--seeds", "--expect-accuracy"),
        defaults=help_defaults.of_folder_benchmark,
    ),
    "benchmark speed": Page(example="kmpl benchmark speed", first=("--out", "--turns")),
    "benchmark shards": Page(
        example="kmpl benchmark shards --sizes 60000 --pictures 0", first=("--out", "--points", "--sizes", "--pictures")
    ),
    "benchmark cost": Page(example="kmpl benchmark cost", first=("--out", "--sizes")),
    "audit": Page(
        example="kmpl audit --ratios 0.1 --seeds 0",
        first=("--out", "--ratios", "--seeds"),
        defaults=help_defaults.of_audit,
    ),
}


def help_page(words: Sequence[str]) -> DefaultFormatter:
    """Return the formatter of the help that a command line asks for."""
    _read_sources_once()
    command = next((name for name in PAGES if list(words[: len(name.split())]) == name.split()), None)
    return _Lines() if command is None else _Parts(command, everything="--help-all" in words)


def _read_sources_once() -> None:
    """Spare cyclopts (5.4.0) most of what a page takes: it reads the source of a class again wherever one is a base.

    That is pydantic's own for each of a dozen classes of settings, three times a page.
    """
    if not hasattr(docstring_parser.parse_from_object, "cache_info"):
        docstring_parser.parse_from_object = cache(docstring_parser.parse_from_object)


class _Lines(DefaultFormatter):
    """Writes help texts without the line breaks of their source, and without defaults that say nothing."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: HelpPanel) -> None:
        super().__call__(console, options, panel.copy(entries=[_as_read(entry) for entry in panel.entries]))


class _Parts(_Lines):
    """Writes the help of one command: first what a person needs, last what training is made of."""

    def __init__(self, command: str, *, everything: bool) -> None:
        super().__init__()
        self.command = command
        self.everything = everything
        self.page = PAGES[command]

    def render_description(self, console: "Console", options: "ConsoleOptions", description: Any) -> None:
        super().render_description(console, options, description)
        console.print(Text(f"Example:\n  {self.page.example}\n"), soft_wrap=True)

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: HelpPanel) -> None:
        if panel.title != "Parameters":
            super().__call__(console, options, panel)
            return
        defaults = self.page.defaults()
        entries = {entry.positive_names[0]: entry for entry in panel.entries}
        entries |= {name: entry.copy(default=defaults[name]) for name, entry in entries.items() if name in defaults}
        parts: dict[str, list[HelpEntry]] = {"What you need": [entries.pop(name) for name in self.page.first]}
        for name, entry in entries.items():
            parts.setdefault(_part(name), []).append(entry)
        hidden = [] if self.everything else [title for title in parts if title.startswith("--")]
        for title, members in parts.items():
            if title not in hidden:
                part = panel.copy(title=title.lstrip("-").capitalize(), description=_about(title), entries=members)
                super().__call__(console, options, part)
        if count := sum(len(parts[title]) for title in hidden):
            line = f"\n{count} more settings of training, clustering and voting: kmpl {self.command} --help-all"
            console.print(Text(line), soft_wrap=True)


def _part(name: str) -> str:
    """Return the title of the part that a flag stands in; those that begin with a dash are shown on request."""
    section = name.split(".")[0]
    return section if section in SECTIONS else "--network" if name in _RARE else "Also"


def _about(title: str) -> Text:
    """Return what a section of settings is about: the first sentence of its class."""
    section = SECTIONS.get(title)
    return Text((section.__doc__ or "").split(". ")[0].rstrip(".") + "." if section else "")


def _as_read(entry: HelpEntry) -> HelpEntry:
    default = None if entry.default in (None, "False", "()", '""') else entry.default
    if default and default.startswith("("):  # as it would be typed
        default = default.strip("(),").replace("'", "").replace(", ", ",")
    plain = getattr(entry.description, "primary_renderable", None)
    text = Text(" ".join(plain.plain.split())) if isinstance(plain, Text) else entry.description
    return entry.copy(default=default, description=text)
