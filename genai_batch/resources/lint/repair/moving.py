"""Take and put members of objects whatever way they are spelled."""

from typing import Any

from genai_batch.resources.lint.fields import snake
from genai_batch.resources.untyped import is_object


def spelled(node: dict[str, Any], plain: str) -> str | None:
    """The name under which an object holds a field, in either spelling."""
    return next((name for name in node if snake(name) == plain), None)


def get(node: dict[str, Any], plain: str) -> Any:
    """The value of a field in either spelling, or None."""
    name = spelled(node, plain)
    return None if name is None else node[name]


def fits(node: dict[str, Any], plain: str, value: Any) -> bool:
    """Whether a field can be given a value without losing another."""
    name = spelled(node, plain)
    return name is None or node[name] == value


def put(node: dict[str, Any], plain: str, value: Any) -> None:
    """Set a field under the spelling it has, else in snake_case."""
    node[spelled(node, plain) or plain] = value


def inner(node: dict[str, Any], plain: str) -> dict[str, Any] | None:
    """The object that a field holds, made where it is missing; None where something else stands there."""
    if (name := spelled(node, plain)) is None:
        node[plain] = made = dict[str, Any]()
        return made
    return node[name] if is_object(node[name]) else None


def rename(node: dict[str, Any], old: str, new: str) -> None:
    """Give a member another name and leave it where it stands."""
    members = [(new if name == old else name, value) for name, value in node.items()]
    node.clear()
    node.update(members)
