"""The columns of a table: key, the user's fields, ours; each with one type that holds all its values."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from genai_batch.resources.exports.rows import OURS, Choice, Fields

MOST = 500
"""Fields of the user's that become columns of their own; where there are more, all go into one."""
REST = "source"
_INT64 = 2**63
_OURS = frozenset({"key", "usage", *OURS})
_TYPES: dict[str, type] = {
    "input_tokens": int, "output_tokens": int, "thinking_tokens": int, "cached_tokens": int, "attempt": int,
    "cost_usd": float,
}  # fmt: skip


class Column(NamedTuple):
    """A column. `field` is what a row calls it; `type` is str, int, float or bool; text holds JSON where need be."""

    name: str
    field: str
    type: type


def lay_out(extras: Iterable[Fields], choice: Choice) -> list[Column]:
    """Lay the columns out, in a pass over the user's fields."""
    absent = {"request": not choice.with_requests, "sha256": not choice.with_files}
    ours = [name for name in OURS if not absent.get(name)]
    types: dict[str, set[type]] = {}
    for extra in extras:
        for name, value in extra.items():
            types.setdefault(name, set()).add(_type_of(value))
        if len(types) > MOST:
            types = {REST: {str}}
            break
    return [*_named(types, {"key", *ours}), *(Column(name, name, _TYPES.get(name, str)) for name in ours)]


def cells(row: Fields, laid: list[Column]) -> list[Any]:
    """List the values of a row in the order of the columns."""
    flat = row | row["usage"] if "usage" in row else row
    if REST not in flat and laid[1].field == REST:
        flat = flat | {REST: {name: value for name, value in row.items() if name not in _OURS}}
    return [_cell(flat.get(field), kind) for _, field, kind in laid]


def quoted(name: str) -> str:
    """Write a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _named(types: dict[str, set[type]], taken: set[str]) -> Iterator[Column]:
    """Give each field a name that no other column has, in no case: databases take upper and lower for one."""
    yield Column("key", "key", str)
    for field, found in types.items():
        plain = field.replace("\0", "") or "_"
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.lower())
        yield Column(name, field, _common(found))


def _common(found: set[type]) -> type:
    kinds = found - {type(None)}
    if len(kinds) == 1:
        return kinds.pop()
    return float if kinds == {int, float} else str


def _type_of(value: Any) -> type:
    if isinstance(value, bool) or value is None:
        return type(value)
    if isinstance(value, int):
        return int if -_INT64 <= value < _INT64 else str
    return float if isinstance(value, float) else str


def _cell(value: Any, kind: type) -> Any:
    if value is None or type(value) is kind or (kind is float and type(value) is int):
        return value
    return msgspec.json.encode(value).decode()
