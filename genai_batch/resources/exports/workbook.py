"""Tables as Excel workbooks, by openpyxl: one sheet, written row by row."""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import date, datetime
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from genai_batch.resources.errors import WITH_DATA, BatchError
from genai_batch.resources.exports.columns import Column
from genai_batch.resources.exports.spool import Spool

MAX_ROWS, MAX_COLUMNS, MAX_TEXT = 1_048_576, 16_384, 32_767
"""What a sheet holds, and the characters of a cell."""
_EXACT = 10**15
"""Whole numbers from here on lose digits in Excel, so they are written as text."""
_FIRST_YEAR = 1900
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]|_(?=x[0-9A-Fa-f]{4}_)")
"""Characters that XML has not or changes, and the beginning of what Excel would read as one of them."""
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_READ_BACK: dict[str, Callable[[str], date]] = {
    "DATE": date.fromisoformat, "TIMESTAMP": datetime.fromisoformat, "TIMESTAMP_S": datetime.fromisoformat,
    "TIMESTAMP_MS": datetime.fromisoformat,
}  # fmt: skip


def write(path: Path, spool: Spool, columns: list[Column]) -> str | None:
    """Write a workbook, and return what a reader has to know of it.

    Raises:
        BatchError: openpyxl is not installed, or no sheet holds so many rows.
        OSError: the file cannot be written.
    """
    try:
        from openpyxl import Workbook
    except ImportError as error:
        raise BatchError(
            f"Excel files are written by openpyxl, which {WITH_DATA}. csv-excel needs nothing more."
        ) from error
    if spool.rows >= MAX_ROWS or len(columns) > MAX_COLUMNS:
        size = f"{spool.rows:,} rows and {len(columns):,} columns"
        raise BatchError(
            f"A sheet of Excel holds {MAX_ROWS - 1:,} rows and {MAX_COLUMNS:,} columns, and there are {size}. "
            "Write csv-excel or parquet, or one outcome at a time."
        )
    book = Workbook(write_only=True)
    sheet = Sheet(book.create_sheet("results"))
    sheet.header([column.name for column in columns])
    for cells in spool.cells(columns):
        sheet.row(cells, columns)
    with path.open("xb") as file:
        book.save(file)
    if not sheet.cut:
        return None
    return (
        f"{sheet.cut:,} texts are longer than the {MAX_TEXT:,} characters of a cell and end in …; csv has them whole."
    )


class Sheet:
    """A sheet that is being written. `cut` counts the texts that no cell can hold."""

    def __init__(self, sheet: Any) -> None:
        """Write to `sheet`, which openpyxl does not type."""
        self._sheet, self.cut = sheet, 0
        sheet.freeze_panes = "A2"

    def header(self, names: list[str]) -> None:
        """Write the names of the columns."""
        self._sheet.append([self._text(name) for name in names])

    def row(self, cells: list[Any], columns: list[Column]) -> None:
        """Write the values of a row."""
        self._sheet.append([self._cell(value, column) for value, column in zip(cells, columns, strict=True)])

    def _cell(self, value: Any, column: Column) -> Any:
        if isinstance(value, str):
            moment = _moment(value, column.sql)
            return self._text(value) if moment is None else moment
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _EXACT:
            return self._text(str(value))
        return None if isinstance(value, float) and not isfinite(value) else value

    def _text(self, text: str) -> Any:
        """Make a cell that is text whatever it looks like: a formula, an error, a number."""
        from openpyxl.cell import WriteOnlyCell

        plain = _HIDDEN.sub(lambda match: f"_x{ord(match[0]):04X}_", text)
        if len(plain) > MAX_TEXT:
            self.cut += 1
            plain = plain[: MAX_TEXT - 1] + "…"
        cell = WriteOnlyCell(self._sheet, plain)
        cell.data_type = "s"
        return cell


def names_of(path: Path) -> list[str]:
    """The names of the columns of a table of results."""
    with closing(_values(path)) as rows:
        return [*map(str, next(rows, ()))]


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table of results by the names of its columns.

    Raises:
        ValueError: it is no workbook.
    """
    names = names_of(path)
    for cells in islice(_values(path), 1, None):
        yield dict(zip(names, cells, strict=False))


def _values(path: Path) -> Generator[tuple[Any, ...]]:
    import openpyxl

    with path.open("rb") as file:
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        except (BadZipFile, KeyError, OSError) as error:
            raise ValueError(str(error)) from error
        sheet: Any = book.worksheets[0]
        sheet.reset_dimensions()  # some programs state wrong ones
        for cells in sheet.iter_rows(values_only=True):
            yield tuple(_unescaped(cell) if isinstance(cell, str) else cell for cell in cells)


def _unescaped(text: str) -> str:
    """A text as it was before characters that XML has not were escaped."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


def _moment(text: str, sql: str | None) -> date | None:
    """Read a day or a time without zone; None for what Excel has no number for."""
    if sql not in _READ_BACK:
        return None
    try:
        moment = _READ_BACK[sql](text)
    except ValueError:
        return None
    return moment if moment.year >= _FIRST_YEAR else None
