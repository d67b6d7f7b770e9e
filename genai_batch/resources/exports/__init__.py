"""All results of a job as one file or folder: a row per request, in their order, joined with the fields beside it."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from genai_batch.resources.answers import brief
from genai_batch.resources.errors import BatchError
from genai_batch.resources.exports import parquet, tables
from genai_batch.resources.exports.columns import lay_out
from genai_batch.resources.exports.earlier import FORMS, EarlierExport
from genai_batch.resources.exports.folder import Existing, Folder
from genai_batch.resources.exports.merging import MERGES
from genai_batch.resources.exports.rows import Choice, InTheJob, Place, exported_rows, extras
from genai_batch.resources.results import Results
from genai_batch.resources.whole import beside, need_free, new_file

Format = Literal["jsonl", "csv", "parquet", "sqlite"]
_ENDINGS: dict[str, Format] = {
    **{f".{form}": form for form in get_args(Format)}, ".ndjson": "jsonl", ".pq": "parquet", ".db": "sqlite",
    ".sqlite3": "sqlite",
}  # fmt: skip

_TABLE = "results"
"""The name of the table in a folder, without its ending."""
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


def export_folder(
    results: Results, target: Path, form: Format, choice: Choice, existing: Existing, is_ours: Callable[[Path], bool]
) -> Exported:
    """Fill the folder `target` with a table and a file for each picture, sound or text; the table is written last.

    Asked for again it leaves what is there already, and adds what is missing. Rows of other keys stay in the table, and
    files that were edited stay as they are (see `Folder`), the table too: `is_ours` tells whether it is as it was left.

    Raises:
        BatchError: the format needs what is not installed, a table that is there cannot be read, or a file with another
            content may not be replaced.
        OSError: a file cannot be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    table, *tables = _tables(target, form, existing, is_ours)
    if existing == "refuse":
        need_free(table)
    earlier = EarlierExport()
    others = _read_earlier(earlier, tables, results) if existing == "keep" else 0
    names = [table.name, *(path.name for path in tables)]
    folder = Folder(target, names, results.job.id, earlier, existing)

    def write(part: Path) -> int:
        rows = _write(results, form, choice._replace(with_files=True), folder, part)
        if others:
            with beside(part) as merged:
                MERGES[form](part, tables[-1], merged)
        return rows

    rows = _whole(table, write, may_replace=existing != "refuse")
    notices = [*_notices(folder, others)]
    if existing == "keep" and table.stem != _TABLE:
        notices.append(f"{_TABLE}.{form} was edited since it was written, and is kept.")
    return Exported(table, rows, folder.files, " ".join(notices) or None)


def _tables(folder: Path, form: Format, existing: Existing, is_ours: Callable[[Path], bool]) -> list[Path]:
    """Where the table goes; and the tables that are there, the latest of this form last."""
    table = folder / f"{_TABLE}.{form}"
    if existing != "keep":
        return [table]
    others = [path for each in FORMS if each != form and (path := folder / f"{_TABLE}.{each}").is_file()]
    there = list[Path]()
    for mark in chain(("", ".new"), (f".new{n}" for n in count(2))):
        table = folder / f"{_TABLE}{mark}.{form}"
        if table.is_file():
            there.append(table)
        if not table.is_file() or is_ours(table):
            break
    return [table, *others, *there]


def _read_earlier(earlier: EarlierExport, tables: list[Path], results: Results) -> int:
    """Read the tables of earlier exports; return how many rows of other jobs are in the last."""
    others = 0
    for table in tables:
        others = earlier.read(table, table.suffix[1:], lambda key: results.find(key) is not None)
    return others


def _notices(folder: Folder, others: int) -> Iterator[str]:
    if folder.refused:
        refused = "; ".join(folder.refused_outputs)
        yield f"{folder.refused} outputs were not used, their files are named by key. {refused}."
    if folder.unfinished:
        yield f"Answers that were cut off or blocked, as the names of their files say: {folder.unfinished:,}."
    if folder.kept:
        names = ", ".join([*(brief(name, 60) for name in folder.kept_files), *("…" for _ in range(folder.kept > 3))])
        yield (
            f"Files kept, since they are not as they were written: {folder.kept:,} ({names}). An answer that is new "
            "lies beside such a file as *.new.*; --overwrite replaces them."
        )
    if others:
        yield f"Rows of other keys that stay in the table: {others:,}."


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
