"""Excel files, read row by row: cached values of formulas, dates as ISO text."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import BatchError, InvalidRequests
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.sources.cells import Bad, plain

_MOST_UNPACKED = 4_000_000_000


def not_installed(what: str) -> BatchError:
    """What to do where the reader of a format is missing."""
    return BatchError(f"{what} needs what is not installed: pip install 'genai-batch-mcp[data]', or save it as CSV.")


def rows(path: Path, sheet: str | None, told: Findings) -> Iterator[dict[str, Any] | Bad]:
    """Read the rows of a sheet, by default the first, by the names in its first row.

    Formulas that were never computed are empty; how many is told.

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
        found = book[sheet] if sheet else book.worksheets[0]
        if _has_formulas(path):
            yield from _rows(_computed(path, found, told), path)
        else:
            yield from _rows(found.iter_rows(values_only=True), path)
    finally:
        book.close()


def _rows(found: Iterator[tuple[Any, ...]], path: Path) -> Iterator[dict[str, Any] | Bad]:
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


def _has_formulas(path: Path) -> bool:
    """Whether a sheet may hold some; only then it is worth reading them, beside what they came to."""
    with ZipFile(path) as packed:
        for each in packed.namelist():
            if each.startswith("xl/worksheets/"):
                with packed.open(each) as sheet:
                    last = b""
                    while piece := sheet.read(1_000_000):
                        if b"<f>" in last + piece or b"<f " in last + piece:
                            return True
                        last = piece[-2:]
    return False


def _computed(path: Path, sheet: Any, told: Findings) -> Iterator[tuple[Any, ...]]:
    """The values of a sheet; formulas without one are counted by column, and told at the end."""
    import openpyxl

    book, names, lost = openpyxl.load_workbook(path, read_only=True), (), Counter[str]()
    try:
        for cells, formulas in zip(sheet.iter_rows(), book[sheet.title].iter_rows(), strict=False):
            values = tuple(cell.value for cell in cells)
            names = names or values
            lost.update(str(name) for name, *each in zip(names, cells, formulas, strict=False) if _is_lost(*each))
            yield values
    finally:
        book.close()
        if lost:
            said = f"{lost.total():,} formulas have no value, the first in column {brief(next(iter(lost)), 60)!r}"
            told.warn(f"{path.name}: {said}; they are empty here", "open it in a spreadsheet program and save it")


def _is_lost(cell: Any, formula: Any) -> bool:
    """Whether a formula was never computed; one that came to an empty text was."""
    return cell.value is None and formula.data_type == "f" and cell.data_type != "str"


def _refuse_bomb(path: Path) -> None:
    with ZipFile(path) as packed:
        if sum(each.file_size for each in packed.infolist()) > _MOST_UNPACKED:
            raise _refusal(path, f"unpacks to more than {_MOST_UNPACKED / 1e9:.0f} GB", "save it as CSV")


def _refusal(path: Path, problem: str, fix: str) -> InvalidRequests:
    return InvalidRequests(path.name, [Problem(problem=problem, fix=fix)])
