"""Tables as rows: CSV, TSV, JSON, JSONL, Parquet, Excel. Rows stream; a cell is data, whatever it holds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.preflight.sources import need_file
from genai_batch.resources.sources import parquet, separated, spreadsheets
from genai_batch.resources.sources.arrays import elements
from genai_batch.resources.sources.cells import Bad, not_a_number
from genai_batch.resources.untyped import is_object, kind_of


class Row(NamedTuple):
    """A row: where it stands, and its cells by column; or what is wrong with it."""

    place: str
    columns: dict[str, Any]
    fault: Bad | None = None


def rows(path: Path, sheet: str | None = None, found: Findings | None = None) -> Iterator[Row]:
    """Read a table row by row, told by its ending; what is lost on the way is told in `found`.

    Raises:
        InvalidRequests: it cannot be read as that.
        BatchError: what reads such a file is not installed.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        fix = f"use {', '.join(sorted(_READERS))}"
        ending = path.suffix or "its name has no ending"
        raise InvalidRequests(path.name, [Problem(problem=f"is no table that can be read ({ending})", fix=fix)])
    need_file(path)
    try:
        for number, cells in enumerate(read(path, sheet, found or Findings()), 1):
            place = f"row {number}"
            yield Row(place, {}, cells) if isinstance(cells, Bad) else Row(place, cells)
    except OSError as error:
        raise InvalidRequests(path.name, [Problem(problem=f"cannot be read: {error.strerror or error}")]) from error


Cells = dict[str, Any] | Bad


def _separated(path: Path, _: str | None, found: Findings) -> Iterator[Cells]:
    return separated.rows(path, found)


def _spreadsheet(path: Path, sheet: str | None, found: Findings) -> Iterator[Cells]:
    return spreadsheets.rows(path, sheet, found)


def _array(path: Path, _: str | None, __: Findings) -> Iterator[Cells]:
    return map(_object, elements(path))


def _lines(path: Path, _: str | None, __: Findings) -> Iterator[Cells]:
    with path.open("rb") as file:
        for number, line in enumerate(file):
            text = (line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line).strip()
            if not text:
                continue
            try:
                yield _object(msgspec.json.decode(text))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                number_fault = not_a_number(text)
                yield number_fault or Bad(f"is not JSON: {brief(str(error), 100)}", "write one object a line")


def _object(value: Any) -> Cells:
    return value if is_object(value) else Bad(f"is {kind_of(value)}, not an object", "write {column: value, …}")


def _parquet(path: Path, _: str | None, __: Findings) -> Iterator[Cells]:
    return parquet.rows(path)


_READERS: dict[str, Callable[[Path, str | None, Findings], Iterator[Cells]]] = {
    ".csv": _separated, ".tsv": _separated, ".tab": _separated, ".txt": _separated, ".json": _array, ".jsonl": _lines,
    ".ndjson": _lines, ".parquet": _parquet, ".pq": _parquet, ".xlsx": _spreadsheet, ".xlsm": _spreadsheet,
}  # fmt: skip
