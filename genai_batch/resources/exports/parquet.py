"""Tables as Parquet, by DuckDB: the cells go into lines of JSON beside it, which it reads and writes group by group."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from genai_batch.resources.errors import BatchError
from genai_batch.resources.exports.columns import Column, cells, quoted
from genai_batch.resources.exports.rows import Fields

_TYPES = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}
GROUPS = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES '8MB'"
"""Row groups are held in memory, some times over, and counted by bytes: rows may be long."""
_IN_ORDER = {"threads": 1, "preserve_insertion_order": "false", "autoinstall_known_extensions": "false"}
"""One thread reads and writes in order by itself; DuckDB counts groups by bytes only where it need not promise that."""


class _Lines(NamedTuple):
    path: Path
    rows: int
    longest: int


def write(path: Path, rows: Iterable[Fields], laid: list[Column]) -> int:
    """Write a Parquet file and return how many rows it holds.

    Raises:
        BatchError: DuckDB is not installed.
        OSError: the file cannot be written.
    """
    try:
        import duckdb
    except ImportError as error:
        said = "Parquet is written by DuckDB, which is not installed: pip install 'genai-batch-mcp[data]'"
        raise BatchError(f"{said}. jsonl, csv and sqlite need nothing more.") from error
    beside = path.with_name(f"{path.name}.lines")
    try:
        lines = _write_lines(beside, rows, laid)
        with closing(duckdb.connect(config={**_IN_ORDER, "temp_directory": f"{path}.spill"})) as db:
            db.execute(_copy(lines, path, laid))
    except duckdb.Error as error:
        raise OSError(0, str(error).partition("\n")[0]) from error
    finally:
        beside.unlink(missing_ok=True)
    return lines.rows


def _write_lines(path: Path, rows: Iterable[Fields], laid: list[Column]) -> _Lines:
    encoder, line = msgspec.json.Encoder(), bytearray()
    count = longest = 0
    with path.open("xb", buffering=2**20) as file:
        for count, row in enumerate(rows, 1):  # noqa: B007 - the last count is the number of rows
            filled = {f"c{n}": cell for n, cell in enumerate(cells(row, laid)) if cell is not None}
            encoder.encode_into(filled, line)
            line += b"\n"
            longest = max(longest, len(line))
            file.write(line)
    return _Lines(path, count, longest)


def _copy(lines: _Lines, path: Path, laid: list[Column]) -> str:
    types = ", ".join(f"c{n}: '{_TYPES[column.type]}'" for n, column in enumerate(laid))
    names = ", ".join(f"c{n} AS {quoted(column.name)}" for n, column in enumerate(laid))
    room = max(2**20, lines.longest + 2)
    source = f"{text(lines.path)}, columns = {{{types}}}, format = 'newline_delimited', maximum_object_size = {room}"
    return f"COPY (SELECT {names} FROM read_json({source})) TO {text(path)} ({GROUPS})"  # noqa: S608 - all is quoted


def text(path: Path) -> str:
    """Write a path as SQL has it."""
    return "'" + str(path).replace("'", "''") + "'"
