"""Types of a table's columns, as DuckDB names them: each value goes into JSON and comes back without loss.

JSON has text, numbers and little else. So a date is ISO 8601, bytes are base64, and a decimal that no number of JSON
holds exactly is text; with the type beside it each is what it was.
"""

import base64
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

_TYPED = (".parquet", ".pq")
_PAGE = 1_000
_NATIVE = frozenset({
    "boolean", "tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint", "varchar",
})  # fmt: skip
"""Types whose values JSON holds as they are."""
_READ = _NATIVE | {"float", "double", "blob"}
_TIMESTAMP = re.compile(r"(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d(?::\d\d)?)?")


class Typed(NamedTuple):
    """The type of each column of a table, and for each row the values that JSON alone would change."""

    types: dict[str, str]
    rows: Iterator[dict[str, Any]]


def of_table(path: Path) -> Typed:
    """Read the types of a Parquet file, and its values as JSON can give them back; other tables have no types.

    Raises:
        duckdb.Error: it is no Parquet file.
    """
    if path.suffix.lower() not in _TYPED:
        return Typed({}, iter(()))
    import duckdb

    with duckdb.connect() as db:
        table = db.sql("SELECT * FROM read_parquet($1)", params=[str(path)])
        kinds = dict(zip(table.columns, table.types, strict=True))
    types = {name: str(kind) for name, kind in kinds.items()}
    changed = {name: kind for name, kind in kinds.items() if not _is_native(kind)}
    return Typed(types, _rows(path, changed) if changed else iter(()))


def _rows(path: Path, kinds: "dict[str, DuckDBPyType]") -> Iterator[dict[str, Any]]:
    import duckdb

    selected = ", ".join(f"CAST({quoted(name)} AS {_spelled(kind, _READ)})" for name, kind in kinds.items())
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        result = db.execute(f"SELECT {selected} FROM read_parquet(?)", [str(path)])  # noqa: S608 - names are quoted
        while page := result.fetchmany(_PAGE):
            for cells in page:
                pairs = zip(kinds.items(), cells, strict=True)
                yield {name: with_leaves(cell, kind, _plain) for (name, kind), cell in pairs}


def parsed(db: "DuckDBPyConnection", name: str) -> "DuckDBPyType":
    """Read the name of a type.

    Raises:
        duckdb.Error: it names none.
    """
    return (db.sql(f"SELECT CAST(NULL AS {name}) AS value")).types[0]


def spelled_as_text(kind: "DuckDBPyType") -> str:
    """Name the type of the same shape whose every leaf is text."""
    return _spelled(kind, frozenset())


def with_leaves(value: Any, kind: "DuckDBPyType", change: Callable[[Any, str], Any]) -> Any:
    """Copy a value with each of its leaves changed, given the leaf and the id of its type."""
    if value is None:
        return None
    if kind.id in ("list", "array"):
        inner = _children(kind)[0][1]
        return [with_leaves(element, inner, change) for element in value]
    if kind.id == "struct":
        return {name: with_leaves(value.get(name), inner, change) for name, inner in _children(kind)}
    if kind.id == "map":
        inner = _children(kind)[1][1]
        return {str(name): with_leaves(member, inner, change) for name, member in value.items()}
    return change(value, kind.id)


def escaped_blob(value: Any, kind: str) -> Any:
    """Write base64 of bytes as DuckDB reads bytes from text; other leaves stay."""
    if kind != "blob":
        return value
    return "".join(f"\\x{byte:02X}" for byte in base64.b64decode(value))


def quoted(name: str) -> str:
    """Write a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _is_native(kind: "DuckDBPyType") -> bool:
    is_nested = kind.id in ("list", "struct")
    return kind.id in _NATIVE or (is_nested and all(_is_native(inner) for _, inner in _children(kind)))


def _children(kind: "DuckDBPyType") -> "list[tuple[str, DuckDBPyType]]":
    """List the types within a type, without the length of an array."""
    return [(name, inner) for name, inner in kind.children if not isinstance(inner, int | list)]


def _spelled(kind: "DuckDBPyType", kept: frozenset[str]) -> str:
    """Name the type of the same shape, with text for each leaf that is not to be kept."""
    if kind.id in ("list", "array"):
        return f"{_spelled(_children(kind)[0][1], kept)}[]"
    if kind.id == "struct":
        return f"STRUCT({', '.join(f'{quoted(name)} {_spelled(inner, kept)}' for name, inner in _children(kind))})"
    if kind.id == "map":
        return f"MAP(VARCHAR, {_spelled(_children(kind)[1][1], kept)})"
    return str(kind) if kind.id in kept else "VARCHAR"


def _plain(value: Any, kind: str) -> Any:
    """Write a leaf as JSON has it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if kind == "decimal":
        number = Decimal(value)
        if number == int(number):
            return int(number) if abs(number) < 2**53 else value
        return float(value) if Decimal(repr(float(value))) == number else value
    if kind.startswith("timestamp") and (match := _TIMESTAMP.fullmatch(value)):
        offset = match[3] or ""
        return f"{match[1]}T{match[2]}{offset}{':00' * (len(offset) == 3)}"
    return value
