"""The columns of a table: key, the user's fields, ours, the answers'; each with a type that holds all its values."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from genai_batch.resources.answers import brief
from genai_batch.resources.exports.details import type_of
from genai_batch.resources.exports.rows import OURS, Choice, Fields

MOST = 500
"""Fields of the user's that become columns of their own; where there are more, all go into one."""
_MOST_DECLARED = 1_900
"""SQLite takes 2,000 columns, ours among them."""
REST = "\0source"
"""The field that they go into, which no user can name; its column is called source."""
_TYPES: dict[str, type] = {
    "input_tokens": int, "output_tokens": int, "thinking_tokens": int, "cached_tokens": int, "attempt": int,
    "cost_usd": float,
}  # fmt: skip
_SHOWN = 5
_BEFORE_ANSWERS = OURS.index("text") + 1
Types = Mapping[str, set[type]]


class Column(NamedTuple):
    """A column. `field` is what a row calls it; `type` is str, int, float or bool; text holds JSON where need be.

    `sql` is the type that the column had in the user's table, in DuckDB's words, where that is known.
    """

    name: str
    field: str
    type: type
    sql: str | None = None


def user_types(extras: Iterable[Fields], declared: int = 0) -> dict[str, set[type]]:
    """Find the user's fields and the types of their values; of too many fields one is made.

    Of fields that their table `declared` there may be more than of those that come up row by row.
    """
    limit = max(MOST, min(declared, _MOST_DECLARED))
    types: dict[str, set[type]] = {}
    for extra in extras:
        for name, value in extra.items():
            types.setdefault(name, set()).add(type_of(value))
        if len(types) > limit:
            return {REST: {str}}
    return types


def names_taken(users: Types) -> set[str]:
    """Return every name that the user's fields and ours have in a table."""
    ours = {"key", "usage", *OURS}
    return {*ours, *(column.name for column in _named(users, ours, {})), *users}


def lay_out(users: Types, answers: Types, choice: Choice, sql: Mapping[str, str]) -> list[Column]:
    """Lay the columns out; `sql` tells the types of those that came from a table with types."""
    absent = {"request": not choice.with_requests, "sha256": not choice.with_files}
    wanted = [name for name in OURS if not absent.get(name)]
    ours = [Column(name, name, _TYPES.get(name, str)) for name in wanted]
    key = Column("key", "key", str, sql.get("key"))
    foreign = [Column(name, name, _common(kinds)) for name, kinds in answers.items()]
    before, behind = ours[:_BEFORE_ANSWERS], ours[_BEFORE_ANSWERS:]
    return [key, *_named(users, {"key", *wanted}, sql), *before, *foreign, *behind]


def names_notice(apart: Mapping[str, str], users: Types) -> str | None:
    """Say which of the user's fields have another name here; None where all keep theirs."""
    if REST in users:
        return f"The source has more than {MOST} columns: they stand as JSON in one, {REST[1:]}."
    columns = _named(users, {"key", *OURS}, {})
    renamed = {**apart, **{column.field: column.name for column in columns if column.name != column.field}}
    if not renamed:
        return None
    pairs = [f"{brief(name, 60)} is {brief(new, 60)}" for name, new in list(renamed.items())[:_SHOWN]]
    more = f" and {len(renamed) - _SHOWN} more" if len(renamed) > _SHOWN else ""
    return f"Columns of the source whose name is taken: {', '.join(pairs)}{more}."


def cell(value: Any, kind: type) -> Any:
    """Return a value that is not of the type of its column as that holds it."""
    if kind is float and type(value) is int:
        return value
    return msgspec.json.encode(value).decode()


def _named(types: Types, taken: set[str], sql: Mapping[str, str]) -> Iterator[Column]:
    """Give each field a name that no other column has, in no case: databases take upper and lower for one."""
    taken = set(taken)
    for field, found in types.items():
        plain = field.replace("\0", "") or "_"
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.lower())
        yield Column(name, field, _common(found), sql.get(field))


def _common(found: set[type]) -> type:
    kinds = found - {type(None)}
    if len(kinds) == 1:
        return kinds.pop()
    return float if kinds == {int, float} else str
