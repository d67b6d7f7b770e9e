"""Rows that have a number for a key: row-000001 of one table is not the row of that number of another."""

import re
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from genai_batch.resources import extras, jobs
from genai_batch.resources.answers import brief
from genai_batch.resources.errors import BatchError
from genai_batch.resources.exports.earlier import ENDINGS
from genai_batch.resources.exports.folder_tables import NAME
from genai_batch.tools.workspace import Workspace

_NUMBERED = re.compile(r"row-\d{6,}")
_COMPARED = 10_000
"""Rows of each job that are compared, the first."""


def need_same_source(workspace: Workspace, folder: Path | None, job_folder: Path) -> None:
    """Refuse to merge numbered rows into a table of numbered rows that came from another source.

    `job_folder` is that of the job whose results are to be written to `folder`, if to any. Two sources are one if any
    row of the one has the values of a row of the other, in the columns that both have: rows are edited, inserted and
    moved.

    Raises:
        BatchError: with what can be done.
    """
    if folder is None or workspace.existing != "keep" or len(rows := _numbered(job_folder)) < 2:
        return
    for table in (path for path in folder.glob(f"{NAME}*") if path.suffix[1:] in ENDINGS):
        job_id = workspace.ledger.job_written(table)
        if job_id is None or (other := jobs.folder(workspace.home, job_id)) == job_folder:
            continue
        earlier = _numbered(other)
        if len(rows.keys() & earlier.keys()) > 1 and not _have_a_row_in_common(rows, earlier):
            raise BatchError(
                f"{brief(str(table), 200)} has rows of another source under the same numbers (row-000001 and so on), "
                "and they would be replaced. Name a column for the key in the manifest, as key: name, or write to "
                "another folder."
            )


def _numbered(job_folder: Path) -> dict[str, dict[str, Any]]:
    """The fields of the source by key, of rows that are numbered."""
    rows = islice(extras.rows(job_folder / extras.NAME), _COMPARED)
    return {row["key"]: row for row in rows if _NUMBERED.fullmatch(row["key"])}


def _have_a_row_in_common(rows: dict[str, dict[str, Any]], others: dict[str, dict[str, Any]]) -> bool:
    first, other = next(iter(rows.values())), next(iter(others.values()))
    columns = sorted((first.keys() & other.keys()) - {"key", "output"})

    def values(row: dict[str, Any]) -> bytes:
        return msgspec.json.encode([row.get(column) for column in columns])

    return bool(columns) and not {*map(values, rows.values())}.isdisjoint(map(values, others.values()))
