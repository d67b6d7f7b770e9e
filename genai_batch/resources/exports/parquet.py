"""Tables as Parquet, by DuckDB: it reads the spooled rows and writes them group by group, with the types they had."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from genai_batch.resources.column_types import escaped_blob, parsed, quoted, spelled_as_text, with_leaves
from genai_batch.resources.errors import WITH_DATA, BatchError
from genai_batch.resources.exports.columns import Column
from genai_batch.resources.exports.spool import Spool

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

_TYPES = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}
GROUPS = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES '8MB'"
"""Row groups are held in memory, some times over, and counted by bytes: rows may be long."""
_IN_ORDER = {"threads": 1, "preserve_insertion_order": "false", "autoinstall_known_extensions": "false"}
"""One thread reads and writes in order by itself; DuckDB counts groups by bytes only where it need not promise that."""
_UNTYPED = "Columns of the source have plain types here, since a value does not fit the type that its column had: {}."


def write(path: Path, spool: Spool, columns: list[Column]) -> str | None:
    """Write a Parquet file, and return what a reader has to know of its types.

    Raises:
        BatchError: DuckDB is not installed.
        OSError: the file cannot be written.
    """
    try:
        import duckdb
    except ImportError as error:
        raise BatchError(
            f"Parquet is written by DuckDB, which {WITH_DATA}. jsonl, csv and sqlite need nothing more."
        ) from error
    try:
        with closing(duckdb.connect(config={**_IN_ORDER, "temp_directory": f"{path}.spill"})) as db:
            db.execute("SET TimeZone = 'UTC'")
            try:
                _copy(db, path, spool, columns)
            except duckdb.Error as error:
                if isinstance(error, duckdb.IOException) or not any(column.sql for column in columns):
                    raise
                _copy(db, path, spool, [column._replace(sql=None) for column in columns])
                return _UNTYPED.format(str(error).partition("\n")[0][:160])
    except duckdb.Error as error:
        raise OSError(0, str(error).partition("\n")[0]) from error
    return None


def _copy(db: "DuckDBPyConnection", path: Path, spool: Spool, columns: list[Column]) -> None:
    kinds = {spool.tag(column.field): parsed(db, column.sql) for column in columns if column.sql}
    lines = _with_blobs(spool, {tag: kind for tag, kind in kinds.items() if "BLOB" in str(kind)})
    try:
        read, selected = list[str](), list[str]()
        for tag, column in ((spool.tag(column.field), column) for column in columns):
            kind = kinds.get(tag)
            read.append(f"{tag}: {literal(spelled_as_text(kind) if kind else _TYPES[column.type])}")
            selected.append(f"{f'CAST({tag} AS {column.sql})' if kind else tag} AS {quoted(column.name)}")
        room = max(2**20, 6 * spool.longest + 2)
        source = f"{literal(str(lines))}, columns = {{{', '.join(read)}}}, format = 'newline_delimited'"
        select = f"SELECT {', '.join(selected)} FROM read_json({source}, maximum_object_size = {room})"  # noqa: S608 - all is quoted
        db.execute(f"COPY ({select}) TO {literal(str(path))} ({GROUPS})")
    finally:
        if lines != spool.path:
            lines.unlink(missing_ok=True)


def _with_blobs(spool: Spool, kinds: "dict[str, DuckDBPyType]") -> Path:
    """Return a file of the rows with bytes written as DuckDB reads them; the spool itself where there are none."""
    if not kinds:
        return spool.path
    path = spool.path.with_name(f"{spool.path.name}.bytes")
    with spool.path.open("rb") as lines, path.open("xb", buffering=2**20) as file:
        for line in map(msgspec.json.decode, lines):
            changed = {tag: with_leaves(line[tag], kind, escaped_blob) for tag, kind in kinds.items() if tag in line}
            file.write(msgspec.json.encode({**line, **changed}) + b"\n")
    return path


def literal(text: str) -> str:
    """Write a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"
