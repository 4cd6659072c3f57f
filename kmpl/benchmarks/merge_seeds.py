"""One table out of several turns: the same settings, other seeds, on other days or machines.

What is compared is compared within a seed, and each seed comes from one turn: so the turns need not agree in any bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from kmpl.config.base import flatten
from kmpl.config.experiment import ExperimentConfig
from kmpl.errors import UserError

_OWN = ("seed", "threads")
"""Settings that may differ from turn to turn."""


class Seeded(Protocol):
    """What was measured with one seed."""

    @property
    def seed(self) -> int: ...


Row = TypeVar("Row", bound=Seeded)


@dataclass(frozen=True)
class Turns(Generic[Row]):
    """What was measured, seed by seed, and how it came about."""

    settings: dict[str, Any]
    """But for the seed."""
    rows: list[Row]
    parts: list[dict[str, str]]
    """Seeds, command, versions and machine of each turn."""


def turn(config: ExperimentConfig, rows: Sequence[Row], about: Mapping[str, str]) -> Turns[Row]:
    """Return what one turn has measured."""
    seeds = ", ".join(map(str, dict.fromkeys(row.seed for row in rows)))
    return Turns(settings=_settings(config), rows=list(rows), parts=[{"seeds": seeds, **about}])


def read(path: Path, kind: type[Turns[Row]], config: ExperimentConfig, seeds: Sequence[int]) -> Turns[Row]:
    """Return earlier turns, or say before hours of work that they cannot be joined to this one.

    Raises:
        UserError: no such file, or not such numbers; other settings than these; a seed that is in both.
    """
    try:
        earlier = TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"--join {path}: {error.strerror}") from error
    except ValidationError as error:
        raise UserError(f"--join {path}: not the numbers of such a table; name the JSON file beside one") from error
    here, there = flatten(_settings(config)), flatten(earlier.settings)
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name):
            raise UserError(
                f"--join {path}: {name} is {there.get(name)} there and {here.get(name)} here; only the seeds may differ"
            )
    for seed in sorted({*seeds} & {row.seed for row in earlier.rows}):
        raise UserError(f"--join {path}: seed {seed} is in there already; leave it out of --seeds")
    return earlier


def before(
    out: Path, join: Path | None, kind: type[Turns[Row]], config: ExperimentConfig, seeds: Sequence[int]
) -> Turns[Row] | None:
    """Return the earlier turns that are asked for, if any; refuse to write over a table whose seeds would be lost.

    Raises:
        UserError: as ``read``; the table at ``out`` has seeds that the new one would not have.
    """
    earlier = read(join, kind, config, seeds) if join else None
    try:
        standing = TypeAdapter(kind).validate_json(out.read_bytes())
    except (OSError, ValidationError):  # nothing there, or nothing that could be joined
        return earlier
    kept = {*seeds, *(row.seed for row in earlier.rows)} if earlier else {*seeds}
    check_kept(out, "seeds", sorted({row.seed for row in standing.rows} - kept))
    return earlier


def check_kept(path: Path, what: str, lost: Sequence[object]) -> None:
    """Refuse to lose what the table in ``path`` has.

    Raises:
        UserError: something would be lost.
    """
    if lost:
        named = ", ".join(map(str, lost))
        raise UserError(f"{path}: {what} {named} would be lost; add --join {path}, or another folder with --out")


def joined(here: Turns[Row], earlier: Turns[Row] | None) -> Turns[Row]:
    """Return both in one, by rising seed."""
    if earlier is None:
        return here
    rows = sorted([*earlier.rows, *here.rows], key=lambda row: row.seed)  # stable: the order within a seed stays
    return replace(here, rows=rows, parts=[*earlier.parts, *here.parts])


def _settings(config: ExperimentConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude={*_OWN})
