"""Write the pages of docs/reference that the code itself says: `python docs/write_reference.py`."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from cyclopts import App
from docstring_parser import parse
from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def cell(text: str) -> str:
    """Return a text that stands in one cell of a table."""
    return " ".join(text.replace("``", "`").replace("|", "&#124;").split())


def table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a table, and an empty line behind it."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


# --- package.md ---


def package_page(root: Path = ROOT) -> str:
    """Return the page that lists every folder and file of the two packages, each with its first line."""
    lines = [
        "# The package, file by file",
        "",
        "Each line is the first line of the file. A folder imports only folders further down the page, and those",
        "beside it that pyproject.toml's contracts name.",
        "",
    ]
    for folder in _folders(root):
        name = folder.relative_to(root).as_posix()
        lines += [f"## {name}/", "", first_line(folder / "__init__.py"), ""]
        files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
        lines += table(
            ("file", "what it is"), ((f"`{path.name}`", first_line(path).replace("|", "&#124;")) for path in files)
        )
    return "\n".join(lines)


def _folders(root: Path) -> list[Path]:
    """Return the packages from the entry down to the ground, in the order of the contract on layers."""
    import tomllib

    with (root / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == ["kmpl"])
    names = [name for layer in layers for name in layer.split(" | ") if (root / "kmpl" / name).is_dir()]
    folders = [root / "kmpl"]
    for name in names:
        folders += [root / "kmpl" / name, *sorted(p.parent for p in (root / "kmpl" / name).glob("*/__init__.py"))]
    folders.insert(folders.index(root / "kmpl" / "commands") + 1, root / "flows")
    return folders


# --- command-line.md ---

_LINE_HEAD = """# The command line

`kmpl COMMAND --help` says the same in the terminal. A flag is written `--name value` or `--name=value`; one whose value
is *alone* stands by itself. Several values are separated by commas. Settings of a section have a dot:
`--retrain.epochs 7`; each of them stands in [settings](settings.md). What a command ends with: [exit
statuses](exit-status-and-errors.md).
"""
_LINE_END = """## Variables of the environment

| variable | what it does |
|---|---|
| `MLFLOW_TRACKING_URI` | runs go to this server or database instead of `mlruns/mlflow.db` |
| `OPTUNA_STORAGE` | where studies are kept, as `--storage` says it; otherwise `mlruns/optuna.journal` |
| `PREFECT_API_URL` | Prefect's server; here by default that of `kmpl up`; empty: one is started for the moment |
| `LABEL_STUDIO_API_KEY` | token for `kmpl label-studio`; it is never a flag, and kept nowhere |
| `KMPL_STORE` | where finished steps are kept: `s3://…`, `gs://…`, `az://…`, `file:///…`; otherwise `mlruns/cache` |
| `KMPL_LOCKS` | PostgreSQL by whose locks machines agree; otherwise that of studies or runs, else files |
| `KMPL_DASK` | address of a Dask scheduler: experiments run on its workers (extra `dask`) |
| `KMPL_SCRATCH` | folder of each machine for copies of what is kept elsewhere; otherwise one in `KMPL_CACHE` |
| `KMPL_SCRATCH_GB` | what they may take there, gigabytes; otherwise 10; those that were not used for longest go first |
| `KMPL_MLRUNS` | where a flow that Prefect starts keeps its runs; otherwise `mlruns` in the worker's folder |
| `KMPL_ROOT` | the folder that a worker finds `prefect.yaml` and the flows in; `kmpl up` sets it |
| `KMPL_OPTUNA_PAGES` | address of Optuna's pages, for the links of trials in MLflow; otherwise that of `kmpl up` |
| `KMPL_CACHE` | folder that data sets are unpacked and downloaded into; otherwise your system's cache folder |
| `GOMP_SPINCOUNT`, `KMP_BLOCKTIME`, `OMP_WAIT_POLICY` | how threads [wait](../explanations/speed.md); yours wins |
| `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` | honoured; this machine is always reached without a proxy |

Nothing is sent anywhere but to the Label Studio that you name: the telemetry of Prefect, MLflow and Optuna is off.
"""


def command_page() -> str:
    """Return the page that lists every command with its own arguments."""
    from kmpl.cli import app

    commands = list(_commands(app))
    lines = [_LINE_HEAD, *table(("command", "what it does"), (_entry(words, command) for words, command in commands))]
    for words, command in commands:
        lines += [f"## {' '.join(words)}", "", cell(command.help or ""), ""]
        rows, settings = _arguments(command)
        if rows:
            lines += table(("argument", "values", "default", "what it is"), rows)
        if settings:
            lines += [f"And the [settings](settings.md): {', '.join(settings)}.", ""]
    return "\n".join([*lines, _LINE_END])


def _entry(words: tuple[str, ...], command: App) -> tuple[str, str]:
    name = " ".join(words)
    return f"[`{name}`](#{name.replace(' ', '-')})", cell(command.help or "")


def _commands(app: App, before: tuple[str, ...] = ("kmpl",)) -> Iterator[tuple[tuple[str, ...], App]]:
    """Yield the words and the app of every command, in the order in which they were registered."""
    for name in app:
        if not name.startswith("-"):
            words, command = (*before, name), app[name]
            below = list(_commands(command, words))
            yield from below or [(words, command)]


def _arguments(command: App) -> tuple[list[tuple[str, ...]], list[str]]:
    """Return a row for each argument of a command's own, and the names of the settings that it takes too."""
    from kmpl.config.experiment import ExperimentConfig

    shared = {name: field.description for name, field in ExperimentConfig.model_fields.items()}
    rows: list[tuple[str, ...]] = []
    settings: dict[str, None] = {}
    # cyclopts would parse the source of every section for every setting in it: half a minute.
    said = {param.arg_name: param.description or "" for param in parse(command.default_command.__doc__ or "").params}
    for one in command.assemble_argument_collection():
        if one.name == "*" or not one.parse:
            continue
        name, help_text = one.name, one.parameter.help or said.get(one.field_info.name, "")
        section, dot, _ = name.removeprefix("--").partition(".")
        if dot or one.children or shared.get(section.replace("-", "_")) == help_text:
            settings[f"`--{section}.…`" if dot or one.children else f"`--{section}`"] = None
        else:
            flags = ", ".join(f"`{flag}`" for flag in one.names if not flag.startswith("--no-"))
            rows.append((flags, _values(one), _default(one), cell(help_text)))
    return rows, list(settings)


def _values(argument: Any) -> str:
    """Return what an argument may be: its choices, or the kind of value."""
    choices = argument.get_choices()
    kinds = [kind.__name__ for kind in _kinds(argument.hint)]
    words = {"bool": "alone", "str": "text", "int": "whole number", "float": "number", "Path": "path"}
    word = words[kinds[0]] if kinds else "text"
    return ", ".join(f"`{choice}`" for choice in choices) if choices else word + ("s" if _several(argument) else "")


def _several(argument: Any) -> bool:
    return get_origin(argument.hint) in (tuple, list)


def _kinds(hint: Any) -> Iterator[type]:
    """Yield the plain types in a hint, outermost first."""
    if isinstance(hint, type) and not get_args(hint):
        if hint is not type(None):
            yield hint
        return
    for inner in get_args(hint):
        yield from _kinds(inner)


def _default(argument: Any) -> str:
    value = argument.field_info.default
    unsaid = value is False or value in (None, (), "") or value is argument.field_info.empty
    return "**required**" if argument.required else "" if unsaid else shown(value)


# --- settings.md ---


def shown(value: Any) -> str:
    """Return a value as it is written in a cell."""
    if isinstance(value, tuple):
        return ", ".join(shown(part) for part in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) and value >= 10_000 else f"{value:g}"
    return f"`{value}`" if str(value) else ""


_SETTINGS_HEAD = """# Settings

Every setting is a flag (`--section.name value`, with `-` for `_`), a key of a TOML file (`--config`), and a field of
Prefect's form; names and ranges are the same everywhere. A flag wins over the file, the file over the preset
(`--preset`), the preset over the default. A column of a preset says what the preset changes.
"""


def settings_page() -> str:
    """Return the page of all settings: of experiments, of sweeps, of tuning, of labelling a folder."""
    from kmpl.config.experiment import ExperimentConfig
    from kmpl.config.labelling import LabelOptions
    from kmpl.config.sweep import SweepOptions, TuneOptions

    lines = [_SETTINGS_HEAD, "## The experiment (`kmpl run`; `sweep` and `tune` take all but ratio, labels, seed)", ""]
    lines += _section(ExperimentConfig, "")
    for name, model in _sections(ExperimentConfig):
        lines += [f"## `{name}`", "", cell((model.__doc__ or "").split("\n")[0].split(" (")[0]), ""]
        lines += _section(model, f"{name}.")
    own = [name for name in LabelOptions.model_fields if name in LabelOptions.__annotations__]
    lines += ["## Sweeps (`kmpl sweep`, `kmpl tune`)", "", *_rows_of(SweepOptions, SweepOptions.model_fields)]
    lines += ["`kmpl tune` has other defaults:", "", *_rows_of(TuneOptions, TuneOptions.__annotations__)]
    lines += ["## Labelling a folder (`kmpl label`, `kmpl suggest`)", "", *_rows_of(LabelOptions, own)]
    return "\n".join([*lines, *_fitted(), *_searched()])


def _sections(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the dotted name and the type of every section, outer before inner."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield prefix + name, kind
            yield from _sections(kind, f"{prefix}{name}.")


def _section(model: type[BaseModel], prefix: str) -> list[str]:
    """Return the table of one section, with what each preset changes of it."""
    from kmpl.config.base import flatten
    from kmpl.config.presets import PRESETS

    presets = {name: flatten(tree) for name, tree in PRESETS.items() if tree}
    changing = [name for name, flat in presets.items() if any(prefix + key in flat for key in model.model_fields)]
    rows = []
    for name, field in model.model_fields.items():
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            changes = [shown(presets[one][prefix + name]) if prefix + name in presets[one] else "" for one in changing]
            rows.append((f"`{prefix}{name}`", _value(field), *changes, cell(field.description or "")))
    return table(("setting", "default", *(f"preset `{name}`" for name in changing), "what it is"), rows)


def _value(field: FieldInfo) -> str:
    return shown("" if field.default is None else field.default)


def _rows_of(model: type[BaseModel], names: Iterable[str]) -> list[str]:
    fields: Mapping[str, FieldInfo] = model.model_fields
    rows = ((f"`{name}`", _value(fields[name]), cell(fields[name].description or "")) for name in names)
    return table(("setting", "default", "what it is"), rows)


def _fitted() -> list[str]:
    """Return what `kmpl label` chooses by the number of images, unless it is given."""
    from kmpl.config.base import flatten
    from kmpl.config.labelling import sized

    sizes = (100, 300, 1_000, 3_000, 10_000, 60_000)
    chosen = {size: flatten(sized(size, 10)) for size in sizes}
    rows = [(f"`{name}`", *(shown(chosen[size][name]) for size in sizes)) for name in chosen[sizes[0]]]
    head = ("setting", *(f"{size:,} images" for size in sizes))
    return ["Chosen by the number of images (here with ten classes), unless you give them:", "", *table(head, rows)]


def _searched() -> list[str]:
    """Return the ranges that tuning tries with the default settings and with the preset quick."""
    from kmpl.config.experiment import AFTER, BEFORE
    from kmpl.config.presets import load
    from kmpl.tuning.search_space import space

    rows = []
    for arm in (BEFORE, AFTER):
        default, quick = (space(load(preset), arm, size) for preset, size in (("default", 30_000), ("quick", 10_000)))
        rows += [
            (f"`{name}`", f"`{arm}`", str(one), str(quick[name]), "equal factors" if one.log else "equal steps")
            for name, one in default.items()
        ]
    head = ("setting", "study", "default", "preset `quick`", "what is equally likely")
    words = "What `kmpl tune` tries; `--search name=lowest:highest` replaces a range:"
    return ["## Ranges that tuning searches", "", words, "", *table(head, rows)]


PAGES = {"package.md": package_page, "command-line.md": command_page, "settings.md": settings_page}
"""What writes each page."""

if __name__ == "__main__":
    for page, text in PAGES.items():
        (REFERENCE / page).write_text(text(), encoding="utf-8")
