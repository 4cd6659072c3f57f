"""What all settings share: ranges in their help texts, lists separated by commas, unknown keys refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import get_annotations
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def split_commas(value: Any) -> Any:
    """Let ``a,b`` stand for ``("a", "b")``, on the command line and in files."""
    parts = [value] if isinstance(value, str) else value
    if isinstance(parts, list | tuple):
        return tuple(name.strip() for part in parts for name in str(part).split(",") if name.strip())
    return value


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse what comes twice."""
    doubled = [value for i, value in enumerate(values) if value in values[:i]]
    if doubled:
        raise ValueError(f"{doubled[0]} comes twice; give each once")
    return values


COMMA_SEPARATED = (BeforeValidator(split_commas), Field(min_length=1), AfterValidator(each_once))
Ratios = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], *COMMA_SEPARATED]
Sizes = Annotated[tuple[Annotated[int, Field(ge=1_000, le=400_000)], ...], *COMMA_SEPARATED]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], *COMMA_SEPARATED]


@dataclass(frozen=True)
class Search:
    """What values of a setting tuning tries: declared beside the setting, in its annotation."""

    around: tuple[float, float] | None = None
    """Factors on the value in the settings: lowest and highest."""
    between: tuple[float, float] | None = None
    """Or lowest and highest value, whatever the settings say."""
    log: bool = True
    """Whether equal factors are equally likely, or equal steps."""
    only: str = ""
    """Section that it is searched in, where several share the setting; empty: in all of them."""


_ENDS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))


class Settings(BaseModel):
    """What is frozen, documented field by field, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """End the help of each number with the range that it is held to: written once, where it is checked."""
        for name in get_annotations(cls):
            field = cls.model_fields[name]
            held = [(m, key, sign) for m in field.metadata for key, sign in _ENDS if hasattr(m, key)]
            ends = [f"{sign} {_shown(getattr(m, key))}" for m, key, sign in held]
            if ends and field.description:
                field.description = f"{field.description.removesuffix('.')} ({' and '.join(ends)})."


def _shown(end: float) -> str:
    return f"{end:,}" if isinstance(end, int) else f"{end:g}"


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a tree of settings with dotted names.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def tree(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted names as a tree.

    >>> tree({"a.b": 1, "a.c": 2})
    {'a': {'b': 1, 'c': 2}}
    """
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, last = name.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return nested
