"""The check of a flow run's parameters before anything else: all that is wrong, in one line."""

from collections.abc import Iterator, Mapping
from inspect import signature
from typing import Any, TypeVar, get_type_hints

from prefect import Flow
from pydantic import TypeAdapter, ValidationError

from kmpl.errors import UserError, unknown

F = TypeVar("F", bound=Flow[Any, Any])
_NULL = "is null, as which NaN arrives too; leave it out, or give a value"


def checked(flow: F) -> F:
    """Have a flow name all wrong parameters in one line when it starts.

    A deployment's schema does not keep them out (Prefect 3.8.8): parameters that it does not know pass, and a NaN is
    sent as null, which a setting that may be left out takes for "not given". Where Prefect's own check fails, it says
    so in several lines, without the right names.
    """
    hints = get_type_hints(flow.fn, include_extras=True)
    validate = flow.validate_parameters

    def validate_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
        if wrong := list(_wrong(parameters, hints, list(signature(flow.fn).parameters))):
            raise UserError(f"parameters of {flow.name}: {'; '.join(wrong)}")
        return validate(parameters)

    flow.validate_parameters = validate_parameters  # type: ignore[method-assign]
    return flow


def _wrong(parameters: Mapping[str, Any], hints: Mapping[str, Any], known: list[str]) -> Iterator[str]:
    """Yield what is wrong with each parameter, by its dotted name."""
    for name, value in parameters.items():
        if name not in known:
            yield unknown("parameter", name, known)
            continue
        nulls = set(_nulls(value, name))
        yield from (f"{place} {_NULL}" for place in sorted(nulls))
        try:
            TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as error:
            for each in error.errors():
                place = ".".join(map(str, (name, *each["loc"])))
                if place in nulls:
                    continue
                if each["input"] is None:
                    yield f"{place} {_NULL}"
                elif each["type"] == "extra_forbidden":
                    yield f"unknown parameter '{place}'"
                else:
                    yield f"{place}: {each['msg'].removeprefix('Value error, ')}"


def _nulls(value: Any, place: str) -> Iterator[str]:
    """Yield the dotted names of nulls inside a value; the value itself may be one."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        if part is None:
            yield f"{place}.{key}"
        yield from _nulls(part, f"{place}.{key}")
