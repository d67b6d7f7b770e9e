"""Two tables of results as one: the rows of the new one, and those of the earlier one that have other keys.

Rows stand in the order of the earlier table, and behind them those whose keys are new.
"""

import csv
import sqlite3
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from genai_batch.resources.column_types import quoted
from genai_batch.resources.exports.columns import Column
from genai_batch.resources.exports.parquet import GROUPS, literal
from genai_batch.resources.exports.tables import INDEXES
from genai_batch.resources.exports.workbook import Sheet, names_of, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NEW = "CREATE TABLE new (key TEXT PRIMARY KEY, place INTEGER NOT NULL, row BLOB NOT NULL, is_used INTEGER DEFAULT 0)"


class _Keyed(msgspec.Struct):
    key: str


class _NewRows:
    """The rows of the new table by their keys, in a database that SQLite keeps on disk when it grows."""

    def __init__(self, rows: Iterator[tuple[str, bytes]]) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(f"PRAGMA journal_mode = OFF; {_NEW}; BEGIN")
        numbered = ((key, place, row) for place, (key, row) in enumerate(rows))
        self._db.executemany("INSERT INTO new (key, place, row) VALUES (?, ?, ?)", numbered)

    def in_place_of(self, rows: Iterator[tuple[str, bytes]]) -> Iterator[tuple[bytes, bool]]:
        """Yield each earlier row, or the new one of its key, and then the other new ones; and whether a row is new."""
        for key, row in rows:
            new = self._db.execute("UPDATE new SET is_used = 1 WHERE key = ? RETURNING row", (key,)).fetchone()
            yield (new[0], True) if new else (row, False)
        for (row,) in self._db.execute("SELECT row FROM new WHERE NOT is_used ORDER BY place"):
            yield row, True


def merge_lines(new: Path, earlier: Path, target: Path) -> None:
    """Merge JSON lines."""

    def keyed(path: Path) -> Iterator[tuple[str, bytes]]:
        decode = msgspec.json.Decoder(_Keyed).decode
        with path.open("rb") as file:
            for line in file:
                yield decode(line).key, line.removesuffix(b"\n") + b"\n"

    with target.open("xb", buffering=2**20) as file:
        file.writelines(row for row, _ in _NewRows(keyed(new)).in_place_of(keyed(earlier)))


def merge_csv(new: Path, earlier: Path, target: Path) -> None:
    """Merge CSV; a column that only one of the tables has is empty in the rows of the other."""
    encoding = "utf-8-sig" if has_bom(new) else "utf-8"
    names = {path: _header(path) for path in (new, earlier)}
    columns = _joined(names[new], names[earlier])
    lower = {path: [name.lower() for name in header] for path, header in names.items()}

    def keyed(path: Path) -> Iterator[tuple[str, bytes]]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            place = next(rows).index("key")
            for row in rows:
                yield row[place], msgspec.json.encode(row)

    with target.open("x", newline="", encoding=encoding, buffering=2**20) as file:
        table = csv.writer(file)
        table.writerow(columns)
        for row, is_new in _NewRows(keyed(new)).in_place_of(keyed(earlier)):
            cells = dict(zip(lower[new if is_new else earlier], msgspec.json.decode(row), strict=False))
            table.writerow([cells.get(name.lower(), "") for name in columns])


def has_bom(path: Path) -> bool:
    """Whether a file begins with the mark by which Excel knows UTF-8."""
    with path.open("rb") as file:
        return file.read(len(BOM_UTF8)) == BOM_UTF8


def _header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file))


def _joined(new: list[str], earlier: list[str]) -> list[str]:
    """All columns: those that only the earlier table has stand behind the others."""
    names = {name.lower() for name in new}
    return [*new, *(name for name in earlier if name.lower() not in names)]


def merge_databases(new: Path, earlier: Path, target: Path) -> None:
    """Merge SQLite databases.

    Raises:
        OSError: one of them cannot be read, or the merged one not be written.
    """
    try:
        with closing(sqlite3.connect(target, isolation_level=None)) as db:
            db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            db.execute("ATTACH ? AS new", (str(new),))
            db.execute("ATTACH ? AS earlier", (str(earlier),))
            types = {schema: _types_of(db, schema) for schema in ("new", "earlier")}
            columns = _joined([*types["new"]], [*types["earlier"]])
            declared = (f"{quoted(name)} {(types['earlier'] | types['new'])[name]}" for name in columns)
            db.execute(f"CREATE TABLE results ({', '.join(declared)})")
            wanted = ", ".join(f"c{n}" for n in range(len(columns)))
            db.execute(_MERGED.format(wanted, *(_selected(types[schema], columns) for schema in ("new", "earlier"))))
            db.executescript(INDEXES)
    except sqlite3.Error as error:
        raise OSError(0, str(error)) from error


_MERGED = """
INSERT INTO results SELECT {} FROM (
    SELECT {}, ifnull(earlier_row.rowid, 4611686018427387904 + row.rowid) AS place
    FROM new.results AS row LEFT JOIN earlier.results AS earlier_row USING (key)
    UNION ALL
    SELECT {}, row.rowid FROM earlier.results AS row WHERE key NOT IN (SELECT key FROM new.results)
) ORDER BY place
"""


def _types_of(db: sqlite3.Connection, schema: str) -> dict[str, str]:
    return {column[1]: column[2] for column in db.execute(f"PRAGMA {schema}.table_info(results)")}


def _selected(present: Iterable[str], columns: list[str]) -> str:
    """The columns as they stand in a table, empty where it has none of the name."""
    names = {name.lower() for name in present}
    cells = (f"row.{quoted(name)}" if name.lower() in names else "NULL" for name in columns)
    return ", ".join(f"{cell} AS c{n}" for n, cell in enumerate(cells))


def merge_parquet(new: Path, earlier: Path, target: Path) -> None:
    """Merge Parquet files; a column that has two types gets one that holds both, if need be text.

    Raises:
        OSError: one of them cannot be read, or the merged one not be written.
    """
    import duckdb

    try:
        with closing(duckdb.connect(config={"temp_directory": f"{target}.spill"})) as db:
            try:
                _merge_parquet(db, new, earlier, target, {})
            except duckdb.IOException:
                raise
            except duckdb.Error:
                _merge_parquet(db, new, earlier, target, _as_text(db, new, earlier))
    except duckdb.Error as error:
        raise OSError(0, str(error).partition("\n")[0]) from error


def _merge_parquet(db: "DuckDBPyConnection", new: Path, earlier: Path, target: Path, texts: dict[str, str]) -> None:
    target.unlink(missing_ok=True)
    for name, path in (("new", new), ("earlier", earlier)):
        present = {column.lower() for column in _kinds_of(db, path)}
        replaced = ", ".join(f"{text} AS {quoted(column)}" for column, text in texts.items() if column in present)
        db.execute(_NUMBERED.format(name, f"REPLACE ({replaced})" if replaced else "", literal(str(path))))
    db.execute(f"COPY ({_MERGED_PARQUET}) TO {literal(str(target))} ({GROUPS})")


def _as_text(db: "DuckDBPyConnection", new: Path, earlier: Path) -> dict[str, str]:
    """The columns that have two types, as text: what is nested as JSON."""
    kinds = [{name.lower(): kind for name, kind in _kinds_of(db, path).items()} for path in (new, earlier)]
    differing = [name for name in kinds[0].keys() & kinds[1].keys() if kinds[0][name] != kinds[1][name]]
    return {name: f"CASE WHEN {quoted(name)} IS NOT NULL THEN {_TEXT.format(quoted(name))} END" for name in differing}


def _kinds_of(db: "DuckDBPyConnection", path: Path) -> dict[str, str]:
    return {
        column[0]: column[1] for column in db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    }


_TEXT = "trim(CAST(to_json({}) AS VARCHAR), '\"')"
_NUMBERED = (
    'CREATE OR REPLACE VIEW {} AS SELECT * {}, row_number() OVER () AS "genai-batch place" FROM read_parquet({})'
)
_MERGED_PARQUET = """
SELECT * EXCLUDE ("genai-batch place") FROM (
    SELECT new.* REPLACE (ifnull(
        earlier."genai-batch place", 4611686018427387904 + new."genai-batch place"
    ) AS "genai-batch place")
    FROM new LEFT JOIN earlier USING (key)
    UNION ALL BY NAME
    SELECT earlier.* FROM earlier ANTI JOIN new USING (key)
) ORDER BY "genai-batch place"
"""


def merge_workbooks(new: Path, earlier: Path, target: Path) -> None:
    """Merge Excel workbooks; rows of the earlier one stand behind the new ones."""
    from openpyxl import Workbook

    names = _joined(names_of(new), names_of(earlier))
    columns = [Column(name, name, str) for name in names]
    book = Workbook(write_only=True)
    sheet = Sheet(book.create_sheet("results"))
    sheet.header(names)
    keys = set[int]()
    for path in (new, earlier):
        for row in rows_of(path):
            cells = {name.lower(): value for name, value in row.items()}
            if path == new:
                keys.add(hash(row["key"]))
            elif hash(row["key"]) in keys:
                continue
            sheet.row([cells.get(name.lower()) for name in names], columns)
    with target.open("xb") as file:
        book.save(file)


MERGES: dict[str, Callable[[Path, Path, Path], None]] = {
    "jsonl": merge_lines,
    "csv": merge_csv,
    "sqlite": merge_databases,
    "parquet": merge_parquet,
    "xlsx": merge_workbooks,
}
"""How tables of an ending are merged: the new one, the earlier one, and where the merged one goes."""
