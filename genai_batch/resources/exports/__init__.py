"""All results of a job as one file or folder: a row per request, in their order, joined with the fields beside it."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from genai_batch.resources.answers import brief
from genai_batch.resources.errors import BatchError
from genai_batch.resources.exports import parquet, tables
from genai_batch.resources.exports.columns import lay_out
from genai_batch.resources.exports.folder import Folder
from genai_batch.resources.exports.rows import Choice, InTheJob, Place, exported_rows, extras
from genai_batch.resources.results import Results
from genai_batch.resources.whole import need_free, new_file

Format = Literal["jsonl", "csv", "parquet", "sqlite"]
_ENDINGS: dict[str, Format] = {
    **{f".{form}": form for form in get_args(Format)}, ".ndjson": "jsonl", ".pq": "parquet", ".db": "sqlite",
    ".sqlite3": "sqlite",
}  # fmt: skip

_NEAR = 0.7
_EXCEL = (".xlsx", ".xls", ".xlsm", ".ods")


class Exported(NamedTuple):
    """What was written: the table, its rows, the files beside it, and what a reader has to know."""

    table: Path
    rows: int
    files: int = 0
    notice: str | None = None


def form_of(path: Path) -> Format:
    """Choose the format by the ending of a path; JSON lines where there is none.

    Raises:
        BatchError: it is that of no format.
    """
    ending = path.suffix.lower()
    if not ending or ending in _ENDINGS:
        return _ENDINGS.get(ending, "jsonl")
    near = get_close_matches(ending, _ENDINGS, 1, _NEAR)
    hint = f" did you mean {near[0]}?" if near else ""
    hint = " CSV opens in Excel." if ending in _EXCEL else hint
    forms = ", ".join(f".{form}" for form in get_args(Format))
    raise BatchError(f"{brief(ending, 20)} is no form of results; there are {forms}.{hint} Or state format.")


def export(results: Results, target: Path, form: Format, choice: Choice, *, may_replace: bool) -> Exported:
    """Write the results to the file `target`, whole or not at all.

    Raises:
        BatchError: the format needs what is not installed.
        OSError: the file cannot be written, or exists and may not be replaced.
    """
    place = InTheJob(results)
    return Exported(target, _whole(target, partial(_write, results, form, choice, place), may_replace=may_replace))


def export_folder(results: Results, target: Path, form: Format, choice: Choice, *, may_replace: bool) -> Exported:
    """Fill the folder `target` with a table and a file for each picture, sound or text; the table is written last.

    Asked for again it leaves what is there already, and adds what is missing. What lies in a folder without such a
    table is somebody else's and is never replaced.

    Raises:
        BatchError: the format needs what is not installed, or a file with another content may not be replaced.
        OSError: a file cannot be written.
    """
    target.mkdir(exist_ok=True)
    table = target / f"results.{form}"
    may_replace = may_replace and table.exists()
    if not may_replace:
        need_free(table)
    place = Folder(target, table.name, results.job.id, may_replace=may_replace)
    count = _whole(table, partial(_write, results, form, choice, place), may_replace=may_replace)
    told = f"{place.refused} outputs were not used, their files are named by key. " if place.refused else ""
    return Exported(table, count, place.files, told + "; ".join(place.told) if told else None)


def _write(results: Results, form: Format, choice: Choice, place: Place, part: Path) -> int:
    found = exported_rows(results, choice, place)
    if form == "jsonl":
        return tables.jsonl(part, found)
    laid = lay_out(extras(results), choice)
    write = {"csv": tables.comma_separated, "sqlite": tables.database, "parquet": parquet.write}[form]
    return write(part, found, laid)


def _whole(target: Path, write: Callable[[Path], int], *, may_replace: bool) -> int:
    with new_file(target, may_replace=may_replace) as part:
        return write(part)
