"""Decoded JSON of unknown shape, narrowed without trust: what is not there, or is something else, reads as empty."""

from functools import cache
from typing import Any, TypeGuard

_KINDS: dict[type[object], str] = {
    str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object",
}  # fmt: skip


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it was a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it was a JSON array."""
    return isinstance(value, list)


def as_object(value: object) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if is_object(value) else {}


def as_list(value: object) -> list[Any]:
    """The list, or an empty one."""
    return value if is_list(value) else []


def kind_of(value: object) -> str:
    """Name the JSON type of a value, with its article."""
    return _KINDS.get(type(value), "null")


def items(value: object) -> list[Any]:
    """The array; a lone value that stands for an array of one counts as that, and nothing as none."""
    return value if is_list(value) else [] if value is None or value == "" else [value]


def field(value: dict[str, Any], name: str) -> Any:
    """A field by its snake_case name, in either spelling that Gemini reads."""
    found = value.get(name)
    return value.get(_camel(name)) if found is None else found


def number_in(value: Any) -> float | None:
    """A number, also where protobuf JSON writes it as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


@cache
def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.title, rest))
