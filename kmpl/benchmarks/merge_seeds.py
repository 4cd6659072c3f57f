"""Merge sessions of a benchmark into one table: the same settings, other seeds, on other days or machines.

All comparisons are within a seed, and each seed comes from one session: so the sessions need not agree in any bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from kmpl.config.base import Settings, flatten
from kmpl.errors import UserError

_MAY_DIFFER = ("seed", "threads")
"""Settings that may differ between sessions."""


class Seeded(Protocol):
    """A result of one seed."""

    @property
    def seed(self) -> int: ...


Row = TypeVar("Row", bound=Seeded)


@dataclass(frozen=True)
class Sessions(Generic[Row]):
    """The results of one session or several, seed by seed, with their provenance."""

    settings: dict[str, Any]
    """All settings but the seed."""
    rows: list[Row]
    parts: list[dict[str, str]]
    """Seeds, command, versions and machine of each session."""


def one_session(config: Settings, rows: Sequence[Row], environment: Mapping[str, str]) -> Sessions[Row]:
    """Return the results of one session."""
    seeds = ", ".join(map(str, dict.fromkeys(row.seed for row in rows)))
    return Sessions(settings=_settings(config), rows=list(rows), parts=[{"seeds": seeds, **environment}])


def read(path: Path, kind: type[Sessions[Row]], config: Settings, seeds: Sequence[int]) -> Sessions[Row]:
    """Return earlier sessions; refuse, before hours of work, sessions that cannot be merged with this one.

    Raises:
        UserError: there is no such file, it holds other numbers, the settings differ, or a seed is in both.
    """
    try:
        earlier = TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"--join {path}: {error.strerror}") from error
    except ValidationError as error:
        raise UserError(f"--join {path}: not the numbers of such a table; name the JSON file beside one") from error
    here = flatten(_settings(config))
    there = flatten(earlier.settings)
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name):
            raise UserError(
                f"--join {path}: {name} is {there.get(name)} there and {here.get(name)} here; only the seeds may differ"
            )
    for seed in sorted({*seeds} & {row.seed for row in earlier.rows}):
        raise UserError(f"--join {path}: seed {seed} is in there already; leave it out of --seeds")
    return earlier


def read_earlier(
    join: Path | None, *, out: Path, kind: type[Sessions[Row]], config: Settings, seeds: Sequence[int]
) -> Sessions[Row] | None:
    """Return the sessions in the file ``join``, if any; refuse to overwrite a table whose seeds would be lost.

    Raises:
        UserError: an error of ``read``, or the table in ``out`` has seeds that the new table would not have.
    """
    earlier = read(join, kind, config, seeds) if join else None
    try:
        existing = TypeAdapter(kind).validate_json(out.read_bytes())
    except (OSError, ValidationError):  # there is no table, or none that could be merged
        return earlier
    new_seeds = {*seeds, *(row.seed for row in earlier.rows)} if earlier else {*seeds}
    refuse_loss(out, "seeds", sorted({row.seed for row in existing.rows} - new_seeds))
    return earlier


def refuse_loss(path: Path, kind: str, lost: Sequence[object]) -> None:
    """Refuse to overwrite a table that holds seeds or arms which the new one would lose.

    Raises:
        UserError: ``lost`` is not empty.
    """
    if lost:
        names = ", ".join(map(str, lost))
        raise UserError(f"{path}: {kind} {names} would be lost; add --join {path}, or another folder with --out")


def merge(here: Sessions[Row], earlier: Sessions[Row] | None) -> Sessions[Row]:
    """Return the results of both, by rising seed."""
    if earlier is None:
        return here
    rows = sorted([*earlier.rows, *here.rows], key=lambda row: row.seed)  # stable: the order within a seed stays
    return replace(here, rows=rows, parts=[*earlier.parts, *here.parts])


def _settings(config: Settings) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude={*_MAY_DIFFER})
