"""All results of a job as one file or folder: a row per request, in their order, joined with the fields beside it."""

from collections.abc import Callable, Iterator
from contextlib import closing
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from genai_batch.resources.answers import brief
from genai_batch.resources.errors import BatchError
from genai_batch.resources.exports import parquet, tables, workbook
from genai_batch.resources.exports.columns import Column, lay_out, names_notice, names_taken, user_types
from genai_batch.resources.exports.details import Details
from genai_batch.resources.exports.earlier import ENDINGS, EarlierExport, Use
from genai_batch.resources.exports.folder import Existing, Folder
from genai_batch.resources.exports.folder_tables import NAME, WrittenFiles, find_tables, read_tables
from genai_batch.resources.exports.members import declare, is_structured
from genai_batch.resources.exports.merging import MERGES, has_bom
from genai_batch.resources.exports.rows import (
    Choice,
    InTheJob,
    Place,
    export_names,
    exported_rows,
    extras,
    is_exported,
    types,
)
from genai_batch.resources.exports.spool import Spool
from genai_batch.resources.results import Results
from genai_batch.resources.whole import beside, need_free, new_file

Format = Literal["jsonl", "csv", "csv-excel", "parquet", "sqlite", "xlsx"]
_ENDINGS: dict[str, Format] = {
    ".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet", ".sqlite": "sqlite", ".xlsx": "xlsx", ".ndjson": "jsonl",
    ".pq": "parquet", ".db": "sqlite", ".sqlite3": "sqlite",
}  # fmt: skip
_EXCEL_CSV = "csv-excel"
"""CSV that begins with the mark by which Excel knows UTF-8."""

_NEAR = 0.7
_SPREADSHEETS = (".xls", ".xlsm", ".ods")
_FORMS = ".jsonl, .csv, .parquet, .sqlite, .xlsx"


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
    hint = " Excel opens .xlsx." if ending in _SPREADSHEETS else hint
    raise BatchError(f"{brief(ending, 20)} is no form of results; there are {_FORMS}.{hint} Or state format.")


def export(
    results: Results, target: Path, form: Format, choice: Choice, written_files: WrittenFiles, *, may_replace: bool
) -> Exported:
    """Write the results to the file `target`, whole or not at all.

    Raises:
        BatchError: the format needs what is not installed.
        OSError: the file cannot be written, or exists and may not be replaced.
    """

    def write(part: Path) -> _Written:
        done = _write(results, form, choice, InTheJob(results), part)
        written_files.note_written(target, part)
        return done

    written = _whole(target, write, may_replace=may_replace)
    return Exported(target, written.rows, notice=written.notice)


def export_folder(
    results: Results, target: Path, form: Format, choice: Choice, existing: Existing, written_files: WrittenFiles
) -> Exported:
    """Fill the folder `target` with a table and a file for each picture, sound or text; the table is written last.

    Asked for again it leaves what is there already, and adds what is missing. Rows that are not written now, of this
    job or of others, stay in the table, and files that were edited stay as they are (see `Folder`), the table too:
    `written_files` tells whether it is as it was left.

    Raises:
        BatchError: the format needs what is not installed, a table that is there cannot be read, or a file with another
            content may not be replaced.
        OSError: a file cannot be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    tables_there = find_tables(target, table_name(form), existing, written_files)
    table, base, others = tables_there
    if existing == "refuse":
        need_free(table)
    earlier = EarlierExport()
    read_tables(earlier, tables_there, existing, partial(_use_of, results, choice))
    names = [path.name for path in (table, base, *others) if path]

    def write(folder: Folder, part: Path) -> _Written:
        done = _write(results, form, choice._replace(with_files=True), folder, part)
        if base and any(earlier.stay.values()):
            with beside(part) as merged:
                MERGES[table.suffix[1:]](part, base, merged)
        written_files.note_written(table, part)
        return done

    with closing(Folder(target, names, results.job.id, earlier, existing)) as folder:
        written = _whole(table, partial(write, folder), may_replace=existing != "refuse")
        folder.finish()
    notices = [written.notice, *_notices(folder, earlier)]
    if existing == "keep" and table.stem != NAME:
        notices.append(f"{NAME}{table.suffix} was edited since it was written, and is kept.")
    return Exported(table, written.rows, folder.files, _joined(*notices))


def check_folder(folder: Path, form: Format, existing: Existing, written_files: WrittenFiles) -> None:
    """Check before anything is paid that the results of some rows can be merged into what lies in a folder.

    Raises:
        BatchError: with what is in the way.
    """
    tables_there = find_tables(folder, table_name(form), existing, written_files)
    read_tables(EarlierExport(), tables_there, existing, lambda _: "other")


def form_there(folder: Path) -> Format | None:
    """Return the form of the table that lies in a folder."""
    for ending in ENDINGS:
        if (table := folder / f"{NAME}.{ending}").is_file():
            return _EXCEL_CSV if ending == "csv" and has_bom(table) else _ENDINGS[f".{ending}"]
    return None


def table_name(form: Format) -> str:
    """The name of the table in a folder."""
    return f"{NAME}.{'csv' if form == _EXCEL_CSV else form}"


def _use_of(results: Results, choice: Choice, key: str) -> Use:
    """What becomes of a row of an earlier table."""
    entry = results.find(key)
    if entry is None:
        return "other"
    return "written" if is_exported(results, choice, entry) else "left_out"


def _notices(folder: Folder, earlier: EarlierExport) -> Iterator[str]:
    if folder.refused:
        refused = "; ".join(folder.refused_outputs)
        yield f"{folder.refused} outputs were not used, their files are named by key. {refused}."
    if folder.held_by_others:
        yield (
            f"Of these {folder.held_by_others:,} are files of other keys in the table. If they are the same rows and "
            "only the key has changed, write to another folder."
        )
    if folder.not_ok:
        rows = ", ".join(f"{count:,} {outcome}" for outcome, count in folder.not_ok.items())
        yield f"Rows that are not ok: {rows}."
    if folder.unfinished:
        yield f"Files of such rows, as the names of their files say: {folder.unfinished:,}."
    if folder.kept:
        names = ", ".join([*(brief(name, 60) for name in folder.kept_files), *("…" for _ in range(folder.kept > 3))])
        yield (
            f"Files kept, since they are not as they were written: {folder.kept:,} ({names}). An answer that is new "
            "lies beside such a file as *.new.*; --overwrite replaces them."
        )
    if earlier.stay["other"]:
        yield f"Rows of other keys that stay in the table: {earlier.stay['other']:,}."
    if earlier.stay["left_out"]:
        yield f"Rows of this job that are not written now and stay in the table: {earlier.stay['left_out']:,}."


class _Written(NamedTuple):
    rows: int
    notice: str | None


def _write(results: Results, form: Format, choice: Choice, place: Place, part: Path) -> _Written:
    apart = export_names(results)
    if form == "jsonl":
        details = Details(lambda: names_taken(user_types(extras(results))), members=False)
        count = tables.jsonl(part, exported_rows(results, choice, place, details))
        return _Written(count, _joined(names_notice(apart, {}), details.notice))
    kinds = types(results)
    users = user_types(extras(results), len(kinds))
    details = Details(lambda: names_taken(users), members=is_structured(results))
    rows = exported_rows(results, choice, place, details)
    declare(results, details)
    spool = Spool(part.with_name(f"{part.name}.lines"), users, details.types, tagged=form == "parquet")
    try:
        spool.fill(rows)
        note = _table(form, part, spool, lay_out(users, details.types, choice, kinds))
    finally:
        spool.path.unlink(missing_ok=True)
    return _Written(spool.rows, _joined(names_notice(apart, users), details.notice, note))


def _joined(*notices: str | None) -> str | None:
    return " ".join(filter(None, notices)) or None


def _table(form: Format, part: Path, spool: Spool, columns: list[Column]) -> str | None:
    """Write the spooled rows in a form, and return what a reader has to know."""
    if form == "parquet":
        return parquet.write(part, spool, columns)
    if form == "xlsx":
        return workbook.write(part, spool, columns)
    if form == "sqlite":
        tables.database(part, spool, columns)
    else:
        tables.comma_separated(part, spool, columns, "utf-8-sig" if form == _EXCEL_CSV else "utf-8")
    return None


def _whole(target: Path, write: Callable[[Path], _Written], *, may_replace: bool) -> _Written:
    with new_file(target, may_replace=may_replace) as part:
        return write(part)
