"""Excel files, read row by row: cached values of formulas, dates as ISO text."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import WITH_DATA, BatchError, InvalidRequests
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.sources.cell_errors import errors_in
from genai_batch.resources.sources.cells import Bad, plain

_MOST_UNPACKED = 4_000_000_000
_FORMULA = re.compile(rb"<(?:\w+:)?f[> ]")
_ERROR = re.compile(rb"\bt=[\"']e[\"']")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell [^>]*?ref=[\"']\$?([A-Z]+)\$?(\d+):\$?([A-Z]+)\$?(\d+)[\"']")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
"""How the format writes a sign that XML cannot hold, a carriage return most of all, and an underscore before such."""
_SHOWN = 5
_EDGE = 200
"""Bytes at the end of a piece of XML in which a mark may begin that the next piece ends."""


def not_installed(what: str) -> BatchError:
    """What to do where the reader of a format is missing."""
    return BatchError(f"{what} needs a package that {WITH_DATA}. Or save it as CSV.")


def rows(path: Path, sheet: str | None, report: Findings) -> Iterator[dict[str, Any] | Bad]:
    """Read the rows of a sheet, by default the first, by the names in its first row.

    Formulas that were never computed and error values are empty, and the value of a merged range holds for all of its
    cells; `report` is warned how many there are of each, and of sheets that are not read.

    Raises:
        InvalidRequests: it is no Excel file, or has no such sheet or names.
        BatchError: openpyxl is not installed.
    """
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        raise not_installed("Excel") from error
    try:
        _refuse_bomb(path)
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, ValueError) as error:
        raise _refusal(path, f"is no Excel file: {brief(str(error), 120)}", "save it as .xlsx or CSV") from error
    try:
        if sheet is not None and sheet not in book.sheetnames:
            raise _refusal(path, f"has no sheet {brief(sheet, 60)!r}", f"it has {', '.join(book.sheetnames)[:200]}")
        page: Any = book[sheet] if sheet else book.worksheets[0]
        if sheet is None:
            _report_others(path, page.title, book.sheetnames, report)
        page.reset_dimensions()  # programs write wrong ones, and rows and columns beyond them would be lost
        marks = _marks(path, page._worksheet_path)  # noqa: SLF001 - openpyxl reads merged ranges only with all cells
        lost = _Lost()
        try:
            yield from _named(_filled(_texts(_values(path, page, marks, lost), lost), marks.merged, lost), path)
        finally:
            lost.report(path.name, report)
    finally:
        book.close()


class _Marks(NamedTuple):
    """What the XML of a sheet holds beside plain values."""

    has_formulas: bool
    has_errors: bool
    merged: "list[_Merged]"


class _Merged(NamedTuple):
    """A merged range; rows are counted from 1, columns from 0."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int


class _Lost:
    """Counts, by column, the cells whose value is not what the file holds there."""

    def __init__(self) -> None:
        self.names: tuple[Any, ...] = ()
        self.formulas, self.errors, self.merged = Counter[str](), Counter[str](), Counter[str]()

    def count(self, kind: Counter[str], column: int) -> None:
        """Count a cell in a column, whose names begin at 0."""
        kind[str(self.names[column]) if column < len(self.names) else f"number {column + 1}"] += 1

    def report(self, file: str, report: Findings) -> None:
        """Warn once of each kind that occurred."""
        save = "open it in a spreadsheet program and save it"
        for kind, what, fix in (
            (self.formulas, "{} formulas have no value, the first in column {}; they are empty here", save),
            (
                self.errors,
                "cells with an error like #N/A: {}, the first in column {}; they are empty here",
                "mend them",
            ),
            (self.merged, "cells filled with the value of their merged range: {}, the first in column {}", None),
        ):
            if kind:
                said = what.format(f"{kind.total():,}", repr(brief(next(iter(kind)), 60)))
                report.warn(f"{file}: {said}", fix)


def _values(path: Path, page: Any, marks: _Marks, lost: _Lost) -> Iterator[tuple[Any, ...]]:
    """The values of a sheet, row by row; errors are empty."""
    if not marks.has_errors and not marks.has_formulas:
        yield from page.iter_rows(values_only=True)
        return
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True) if marks.has_formulas else None
    try:
        formulas: Iterator[tuple[Any, ...]] = repeat(())
        if book is not None:
            other: Any = book[page.title]
            other.reset_dimensions()
            formulas = other.iter_rows()
        for cells, as_written in zip(page.iter_rows(), formulas, strict=False):
            values = [cell.value for cell in cells]
            for column, cell in enumerate(cells):
                if cell.data_type == "e":
                    lost.count(lost.errors, column)
                    values[column] = None
                elif column < len(as_written) and _is_lost(cell, as_written[column]):
                    lost.count(lost.formulas, column)
            lost.names = lost.names or tuple(values)
            yield tuple(values)
    finally:
        if book is not None:
            book.close()


def _texts(rows: Iterator[tuple[Any, ...]], lost: _Lost) -> Iterator[tuple[Any, ...]]:
    """Read texts as they are meant: without the escapes of the format, and empty where they are an error value."""
    for number, cells in enumerate(rows):
        values = [unescaped(cell) if isinstance(cell, str) and "_x" in cell else cell for cell in cells]
        lost.names = lost.names or tuple(values)
        for column in errors_in(values) if number else ():
            lost.count(lost.errors, column)
            values[column] = None
        yield tuple(values)


def unescaped(text: str) -> str:
    """Read a text as .xlsx writes it, where `_x000D_` is a carriage return and `_x005F_` an underscore."""
    text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # signs of two halves


def _filled(rows: Iterator[tuple[Any, ...]], merged: list[_Merged], lost: _Lost) -> Iterator[tuple[Any, ...]]:
    """Put the value of a merged range into its empty cells, in columns with a name and rows that hold anything."""
    ranges = sorted(merged, reverse=True)
    held: dict[int, tuple[int, Any]] = {}
    width = 0
    for number, cells in enumerate(rows, 1):
        if number == 1:
            width = max((column for column, cell in enumerate(cells, 1) if cell is not None), default=0)
        while ranges and ranges[-1].first_row <= number:
            area = ranges.pop()
            if area.first_row == number and area.first_column < len(cells) and cells[area.first_column] is not None:
                entry = (area.last_row, cells[area.first_column])
                held.update(dict.fromkeys(range(area.first_column, min(area.last_column + 1, width)), entry))
        held = {column: entry for column, entry in held.items() if number <= entry[0]}
        if not held or number == 1 or all(cell is None for cell in cells):
            yield cells
            continue
        values = [*cells, *[None] * (width - len(cells))]
        for column, (_, value) in held.items():
            if values[column] is None:
                values[column] = value
                lost.count(lost.merged, column)
        yield tuple(values)


def _named(found: Iterator[tuple[Any, ...]], path: Path) -> Iterator[dict[str, Any] | Bad]:
    first = [str(plain(cell)).strip() if cell is not None else "" for cell in next(found, ())]
    while first and not first[-1]:
        first.pop()
    if not first or "" in first or len(set(first)) < len(first):
        raise _refusal(path, "its first row does not name every column once", "name them, each differently")
    for cells in found:
        if all(cell is None for cell in cells):
            continue
        if any(cell is not None for cell in cells[len(first) :]):
            yield Bad(f"has cells beyond the {len(first)} columns that are named", "name the column in the first row")
            continue
        values = [*map(plain, cells[: len(first)]), *[None] * (len(first) - len(cells))]
        yield dict(zip(first, values, strict=True))


def _marks(path: Path, member: str) -> _Marks:
    """Search the XML of a sheet for what takes more than reading plain values; most sheets hold none of it."""
    has_formulas = has_errors = False
    merged: list[_Merged] = []
    with ZipFile(path) as packed, packed.open(member.lstrip("/")) as sheet:
        last = b""
        while piece := sheet.read(1_000_000):
            text = last + piece
            has_formulas = has_formulas or _FORMULA.search(text) is not None
            has_errors = has_errors or _ERROR.search(text) is not None
            end = 0
            for match in _MERGED.finditer(text):
                end = match.end()
                merged.append(_Merged(int(match[2]), int(match[4]), _column(match[1]), _column(match[3])))
            last = text[max(end, len(text) - _EDGE) :]
    return _Marks(has_formulas, has_errors, merged)


def _column(letters: bytes) -> int:
    """The number of a column, from 0, by its letters."""
    column = 0
    for letter in letters:
        column = column * 26 + letter - 64
    return column - 1


def _is_lost(cell: Any, formula: Any) -> bool:
    """Whether a formula was never computed; one that came to an empty text was."""
    return cell.value is None and formula.data_type == "f" and cell.data_type != "str"


def _report_others(path: Path, title: str, titles: list[str], report: Findings) -> None:
    """Warn which sheet is read where nobody has chosen one of several."""
    others = [repr(brief(other, 40)) for other in titles if other != title]
    if others:
        named = ", ".join(others[:_SHOWN]) + ", …" * (len(others) > _SHOWN)
        report.warn(f"{path.name}: the sheet {brief(title, 40)!r} is read, and not {named}", "state sheet: NAME")


def _refuse_bomb(path: Path) -> None:
    with ZipFile(path) as packed:
        if sum(each.file_size for each in packed.infolist()) > _MOST_UNPACKED:
            raise _refusal(path, f"unpacks to more than {_MOST_UNPACKED / 1e9:.0f} GB", "save it as CSV")


def _refusal(path: Path, problem: str, fix: str) -> InvalidRequests:
    return InvalidRequests(path.name, [Problem(problem=problem, fix=fix)])
