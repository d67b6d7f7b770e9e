"""Batches as records: found, listed, cancelled, deleted; each belongs to one API key."""

import secrets
import sqlite3
import string
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from .plan import Plan
from .progress import CANCELLED, Progress, Timeline, progress_at
from .settings import read_settings
from .store import Store
from .wire import ApiError, Object

ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Batch:
    """One batch job."""

    seq: int
    id: str
    owner: str
    kind: str
    model: str
    display_name: str
    source: Object
    priority: str | None
    plan: Plan
    requests: int
    failures: bytes
    timeline: Timeline
    deleted: bool
    polls: int
    lists: int
    used: Object | None

    @property
    def name(self) -> str:
        """`batches/ID`."""
        return f"batches/{self.id}"

    @property
    def inline(self) -> bool:
        """Whether the requests came in the create call."""
        return "requests" in self.source

    def at(self, moment: float) -> Progress:
        """Where it stands."""
        return progress_at(self.timeline, self.requests, moment)

    @cached_property
    def failed_rows(self) -> "array[int]":
        """Positions of the rows that fail."""
        return array("I", self.failures)

    def failed_among(self, rows_done: int) -> int:
        """How many of the first rows failed."""
        return bisect_left(self.failed_rows, rows_done)


def batch_of(row: sqlite3.Row) -> Batch:
    """A batch from its record."""
    error = msgspec.json.decode(row["error"]) if row["error"] else None
    return Batch(
        row["seq"], row["id"], row["owner"], row["kind"], row["model"], row["display_name"],
        msgspec.json.decode(row["source"]), row["priority"], msgspec.json.decode(row["plan"], type=Plan),
        row["requests"], row["failures"],
        Timeline(row["created"], row["runs_at"], row["ends_at"], row["end_state"], error),
        bool(row["deleted"]), row["polls"], row["lists"], msgspec.json.decode(row["used"]) if row["used"] else None,
    )  # fmt: skip


def insert_batch(store: Store, columns: Object) -> None:
    """Record a new batch; names and values of its columns."""
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    store.rows(f"INSERT INTO batches ({names}) VALUES ({marks})", *columns.values())  # noqa: S608 - our own column names


def timeline_columns(line: Timeline) -> Object:
    """A timeline as columns."""
    error = msgspec.json.encode(line.error).decode() if line.error else None
    return {"created": line.created, "runs_at": line.runs_at, "ends_at": line.ends_at, "end_state": line.end_state,
            "error": error}  # fmt: skip


def find_batch(store: Store, owner: str, batch_id: str) -> Batch:
    """The owner's batch; to anybody else it does not exist."""
    row = store.row("SELECT * FROM batches WHERE id = ? AND owner = ? AND NOT deleted", batch_id, owner)
    if row is None:
        raise ApiError(404, "Requested entity was not found.")
    return batch_of(row)


def list_batches(store: Store, owner: str, before: int | None, size: int, *, vertex: bool) -> list[Batch]:
    """A page of the owner's batches, newest first, without those a list does not show yet; one more than asked."""
    with store.transaction():
        rows = store.rows(
            "SELECT * FROM batches WHERE owner = ? AND (kind = 'vertex') = ? AND NOT deleted AND lists = 0 "
            "AND (? IS NULL OR seq < ?) ORDER BY seq DESC LIMIT ?",
            owner, int(vertex), before, before, size + 1,
        )  # fmt: skip
        store.rows("UPDATE batches SET lists = lists - 1 WHERE owner = ? AND lists > 0 AND ? IS NULL", owner, before)
    return [batch_of(row) for row in rows]


def cancel_batch(store: Store, batch: Batch, at: float) -> None:
    """End a batch as cancelled, unless it has ended."""
    ends_at = at + read_settings(store).cancel_s
    if ends_at < batch.timeline.ends_at:
        error: Object = {"code": 1, "message": "The operation was cancelled."}
        line = Timeline(batch.timeline.created, min(batch.timeline.runs_at, ends_at), ends_at, CANCELLED, error)
        retime(store, batch.id, line)


def retime(store: Store, batch_id: str, line: Timeline) -> None:
    """Give a batch another timeline."""
    columns = timeline_columns(line)
    sql = "UPDATE batches SET created = ?, runs_at = ?, ends_at = ?, end_state = ?, error = ? WHERE id = ?"
    store.rows(sql, *columns.values(), batch_id)


def delete_batch(store: Store, batch: Batch, at: float) -> None:
    """Take a batch out of sight and stop it; what it has cost stays on the bill."""
    with store.transaction():
        cancel_batch(store, batch, at)
        store.rows("UPDATE batches SET deleted = 1 WHERE id = ?", batch.id)


def count_poll(store: Store, batch: Batch) -> int:
    """Count a look at a batch, if its plan depends on the number of looks."""
    if not batch.plan.has("no_output"):
        return 0
    with store.transaction():
        rows: list[Any] = store.rows("UPDATE batches SET polls = polls + 1 WHERE id = ? RETURNING polls", batch.id)
    return int(rows[0]["polls"])


def input_path(store: Store, batch_id: str) -> Path:
    """Where a batch's own copy of its requests lies: a link, so that deleting the file does not starve the batch."""
    return store.folder / "inputs" / f"{batch_id}.jsonl"


def new_id(length: int) -> str:
    """A random id in the alphabet of Google's."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
