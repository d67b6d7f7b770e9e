"""Parquet files as rows: times with a zone as ISO 8601 in UTC, bytes as they are, and what has no type here as text."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.sources.cells import with_blobs
from genai_batch.resources.sources.spreadsheets import not_installed
from genai_batch.resources.untyped import is_list, is_object

_PAGE = 100
"""Rows at a time, each of which may hold pictures."""
_GLOB = frozenset("*?[]")
_ZONED = re.compile(r"TIME(?:STAMP)? WITH TIME ZONE|TIMESTAMPTZ|TIMETZ")
_AS_TEXT = re.compile(r"INTERVAL|BIT\b|UNION|GEOMETRY|VARIANT|TIMESTAMP_NS|TIME_NS|BIGNUM|VARINT")
"""Types that DuckDB gives Python only with another package, or not as they are."""
_TIME = re.compile(r"(?:(\d{4,}-\d\d-\d\d) )?(\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d)?(:\d\d)?")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a Parquet file by the names of its columns.

    Raises:
        InvalidRequests: it is no Parquet file.
        BatchError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise not_installed("Parquet") from error
    if _GLOB & set(path.name):
        raise InvalidRequests(path.name, [Problem(problem="its name holds * ? [ or ]", fix="rename it")])
    with duckdb.connect() as db:
        try:
            db.execute("SET TimeZone = 'UTC'")
            described = db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
            columns = [(str(name), str(kind)) for name, kind, *_ in described]
            selected = ", ".join(_selected(name, kind) for name, kind in columns)
            result = db.execute(f"SELECT {selected} FROM read_parquet(?)", [str(path)])  # noqa: S608 - names are quoted
            zoned = ["TIME" in kind and _selected(name, kind).startswith("CAST") for name, kind in columns]
            while page := result.fetchmany(_PAGE):
                for cells in page:
                    yield {
                        name: _iso(cell) if is_zoned else with_blobs(cell, name)
                        for (name, _), cell, is_zoned in zip(columns, cells, zoned, strict=True)
                    }
        except duckdb.Error as error:
            said = brief(" ".join(str(error).split()), 160)
            raise InvalidRequests(path.name, [Problem(problem=f"is no Parquet file: {said}")]) from error


def _selected(name: str, kind: str) -> str:
    """How a column is read, so that no type of it stops the file."""
    quoted = '"' + name.replace('"', '""') + '"'
    if _ZONED.search(kind) and not _AS_TEXT.search(kind):
        return f"CAST({quoted} AS {_ZONED.sub('VARCHAR', kind)})"
    return f"CAST({quoted} AS VARCHAR)" if _AS_TEXT.search(kind) else quoted


def _iso(value: Any) -> Any:
    """The texts of times in a cell as ISO 8601 with their offset."""
    if isinstance(value, str):
        match = _TIME.fullmatch(value)
        if match is None:
            return value
        day, offset = f"{match[1]}T" if match[1] else "", f"{match[3]}{match[4] or ':00'}" if match[3] else ""
        return f"{day}{match[2]}{offset}"
    if is_list(value):
        return [_iso(element) for element in value]
    if is_object(value):
        return {name: _iso(member) for name, member in value.items()}
    return with_blobs(value, "")
