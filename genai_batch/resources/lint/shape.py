"""One walk over a decoded value."""

from typing import Any, NamedTuple

from genai_batch.resources.lint.fields import OPEN, snake
from genai_batch.resources.untyped import is_object

MAX_DEPTH = 100
"""Levels of nesting that Google's JSON parser accepts."""


class Shape(NamedTuple):
    """What one walk over a decoded value finds."""

    members: int
    depth: int
    clash: tuple[str, str] | None


def shape(value: Any) -> Shape:
    """Walk a decoded line once: count members, find the depth, and a field of its request given in both spellings."""
    members, deepest, found = 0, 0, None
    stack: list[tuple[Any, int, bool]] = [(value, 1, False)]  # beside request any name may stand
    while stack:
        node, depth, ours = stack.pop()
        deepest = max(deepest, depth)
        if is_object(node):
            members += len(node)
            found = found or (ours and clash(node)) or None
            stack += [
                (v, depth + 1, (ours and snake(k) not in OPEN) or (depth == 1 and k == "request"))
                for k, v in node.items()
                if isinstance(v, dict | list)
            ]
        else:
            stack += [(v, depth + 1, ours) for v in node if isinstance(v, dict | list)]
    return Shape(members, deepest, found)


def clash(node: dict[str, Any]) -> tuple[str, str] | None:
    """Two spellings of one field in one object."""
    spelled: dict[str, str] = {}
    for name in node:
        if (other := spelled.setdefault(snake(name), name)) != name:
            return other, name
    return None
