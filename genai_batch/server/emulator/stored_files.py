"""Records of blobs that belong to one key and expire."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from . import clock
from .batches import Batch, batch_of
from .progress import SUCCEEDED
from .results import finished
from .store import Store
from .wire import ApiError, Object, timestamp

RESULT_MIME_TYPE = "application/jsonl"
RESULT_LIFE_S = 42 * 86400.0


@dataclass(frozen=True)
class StoredFile:
    """A file: uploaded, or the result of a batch."""

    id: str
    path: Path
    display_name: str
    mime_type: str
    size: int
    sha256: str
    created: float
    expires: float
    generated: bool = False
    state: str = "ACTIVE"

    def resource(self, origin: str) -> Object:
        """The file as the API shows it."""
        uri = f"{origin}/v1beta/files/{self.id}"
        shown: Object = {
            "name": f"files/{self.id}",
            "displayName": self.display_name,
            "mimeType": self.mime_type,
            "sizeBytes": str(self.size),
            "createTime": timestamp(self.created),
            "updateTime": timestamp(self.created),
            "expirationTime": timestamp(self.expires),
            "sha256Hash": self.sha256,
            "uri": uri,
            "downloadUri": f"{uri}:download?alt=media" if self.generated else "",
            "state": self.state,
            "error": {"code": 13, "message": "The file could not be processed."} if self.state == "FAILED" else "",
            "source": "GENERATED" if self.generated else "UPLOADED",
        }
        return {name: value for name, value in shown.items() if value not in ("", "0")}


def file_of(store: Store, row: sqlite3.Row) -> StoredFile:
    """An uploaded file from its record."""
    path = store.folder / "blobs" / row["blob"]
    return StoredFile(
        row["id"],
        path,
        row["display_name"],
        row["mime_type"],
        row["size"],
        row["sha256"],
        row["created"],
        row["expires"],
        state=_state(store, row["id"]),
    )


def _state(store: Store, file_id: str) -> str:
    row = store.row("SELECT * FROM processing WHERE id = ?", file_id)
    if row is None:
        return "ACTIVE"
    if row["ready"] > clock.now(store):
        return "PROCESSING"
    return "FAILED" if row["fails"] else "ACTIVE"


def find_file(store: Store, owner: str, file_id: str) -> StoredFile:
    """The owner's file, unless it has expired; to anybody else it does not exist."""
    at = clock.now(store)
    row = store.row("SELECT * FROM files WHERE id = ? AND owner = ? AND expires > ?", file_id, owner, at)
    if row is not None:
        return file_of(store, row)
    batch = _batch_behind(store, owner, file_id, at)
    if batch is not None:
        return generated_file(store, batch)
    raise ApiError(403, f"You do not have permission to access the File {file_id} or it may not exist.")


def file_is_readable(store: Store, owner: str, file_id: str) -> bool:
    """Whether a request of the owner may point at this file now."""
    sql = "SELECT 1 FROM files WHERE id = ? AND owner = ? AND expires > ?"
    return store.row(sql, file_id, owner, clock.now(store)) is not None and _state(store, file_id) == "ACTIVE"


def generated_file(store: Store, batch: Batch) -> StoredFile:
    """The result file of a batch, written when first asked for."""
    path, used = finished(store, batch)
    ended = batch.timeline.ends_at
    name, size = f"batch-{batch.id}", path.stat().st_size
    return StoredFile(
        name,
        path,
        batch.display_name,
        RESULT_MIME_TYPE,
        size,
        used["sha256"],
        ended,
        ended + RESULT_LIFE_S,
        generated=True,
    )


def _batch_behind(store: Store, owner: str, file_id: str, at: float) -> Batch | None:
    if not file_id.startswith("batch-"):
        return None
    sql = "SELECT * FROM batches WHERE id = ? AND owner = ? AND NOT deleted AND end_state = ? AND ends_at <= ?"
    row = store.row(sql, file_id.removeprefix("batch-"), owner, SUCCEEDED, at)
    batch = batch_of(row) if row else None
    return batch if batch and batch.kind != "vertex" and not batch.inline else None


def list_files(store: Store, owner: str, before: int | None, size: int) -> list[sqlite3.Row]:
    """A page of the owner's uploads, newest first; one more than asked."""
    return store.rows(
        "SELECT * FROM files WHERE owner = ? AND expires > ? AND (? IS NULL OR seq < ?) ORDER BY seq DESC LIMIT ?",
        owner, clock.now(store), before, before, size + 1,
    )  # fmt: skip


def finished_file_batches(store: Store, owner: str) -> list[Batch]:
    """The owner's batches that have a result file."""
    rows = store.rows(
        "SELECT * FROM batches WHERE owner = ? AND NOT deleted AND end_state = ? AND ends_at <= ? "
        "AND kind <> 'vertex' ORDER BY seq DESC",
        owner, SUCCEEDED, clock.now(store),
    )  # fmt: skip
    batches = [batch_of(row) for row in rows]
    return [batch for batch in batches if not batch.inline]
