"""All results of a job as one file or folder: a row per request, in their order, joined with the fields beside it."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from genai_batch.resources.exports import parquet, tables
from genai_batch.resources.exports.columns import lay_out
from genai_batch.resources.exports.folder import Folder
from genai_batch.resources.exports.rows import Choice, InTheJob, Place, exported_rows, extras
from genai_batch.resources.results import Results
from genai_batch.resources.whole import beside, sync_folder

Format = Literal["jsonl", "csv", "parquet", "sqlite"]
_ENDINGS: dict[str, Format] = {
    **{f".{form}": form for form in get_args(Format)}, ".ndjson": "jsonl", ".pq": "parquet", ".db": "sqlite",
    ".sqlite3": "sqlite",
}  # fmt: skip


class Exported(NamedTuple):
    """What was written: the table, its rows, the files beside it, and what a reader has to know."""

    table: Path
    rows: int
    files: int = 0
    notice: str | None = None


def form_of(path: Path) -> Format:
    """Choose the format by the ending of a path; JSON lines where it says nothing."""
    return _ENDINGS.get(path.suffix.lower(), "jsonl")


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
        _need_free(table)
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
    """Write a file beside its place and move it there once it is on the disk."""
    with beside(target) as part:
        count = write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        if not may_replace:
            _link(part, target)
    with suppress(OSError):
        sync_folder(target.parent)
    return count


def _link(part: Path, target: Path) -> None:
    """Give the file its second name, if that is free; where the file system has no links, look whether it is."""
    try:
        target.hardlink_to(part)
    except OSError:
        _need_free(target)


def _need_free(path: Path) -> None:
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
