"""Resumable uploads: a start that names an address, then chunks appended to a blob until one finalizes it."""

import re
import sqlite3
from pathlib import Path

from anyio import to_thread
from starlette.responses import Response

from . import clock
from .batches import new_id
from .call import Call
from .faults import strike_file
from .results import file_digest
from .settings import read_settings
from .store import Store
from .stored_files import file_of
from .wire import ApiError, Object, as_object, either, reply

FILE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


async def start_upload(call: Call) -> Response:
    """The first request: what will come, answered with where to send it."""
    headers = call.request.headers
    if headers.get("x-goog-upload-protocol", "resumable") != "resumable":
        raise ApiError(400, "Only the resumable upload protocol is emulated.")
    file = as_object((await call.json()).get("file"))
    _check_size(
        call, int(headers.get("x-goog-upload-header-content-length") or either(file, "sizeBytes", "size_bytes", 0))
    )
    upload = new_id(24)
    mime_type = either(file, "mimeType", "mime_type") or headers.get("x-goog-upload-header-content-type", "")
    shown = str(either(file, "displayName", "display_name", ""))
    (call.store.folder / "blobs" / upload).touch()
    sql = "INSERT INTO uploads (id, owner, file, display_name, mime_type) VALUES (?, ?, ?, ?, ?)"
    name = _file_name(call.store, str(file.get("name", "")))
    call.store.rows(sql, upload, call.owner, name, shown, mime_type or "application/octet-stream")
    address = f"{call.origin}/upload/{call.version}/sessions/{upload}"
    return reply({}, headers={"X-Goog-Upload-URL": address, "X-Goog-Upload-Status": "active"})


async def upload_chunk(call: Call) -> Response:
    """A chunk; it counts once all of it has arrived, so that a broken one can be sent again."""
    upload = call.path("id")
    session = call.store.row("SELECT * FROM uploads WHERE id = ?", upload)
    if session is None:
        raise ApiError(404, "The upload session does not exist or is finished.")
    commands = {word.strip() for word in call.request.headers.get("x-goog-upload-command", "").lower().split(",")}
    received = int(session["received"])
    if "cancel" in commands:
        call.store.rows("DELETE FROM uploads WHERE id = ?", upload)
        return _status({}, "cancelled", received)
    if "upload" in commands:
        received = await _append(call, upload, received)
    if "finalize" in commands:
        file = await to_thread.run_sync(_finalize, call.store, session, call.origin)
        return _status({"file": file}, "final", received)
    return _status({}, "active", received)


async def _append(call: Call, upload: str, received: int) -> int:
    offset = int(call.request.headers.get("x-goog-upload-offset") or 0)
    if offset != received:
        raise ApiError(400, f"The upload offset is {offset} where {received} bytes were received.")
    path = call.store.folder / "blobs" / upload
    end = offset
    async for piece in call.request.stream():
        end = _write(path, end, piece)
    call.store.rows("UPDATE uploads SET received = ? WHERE id = ?", end, upload)
    return end


def _write(path: Path, offset: int, piece: bytes) -> int:
    with path.open("r+b") as blob:
        blob.truncate(offset)
        blob.seek(offset)
        blob.write(piece)
    return offset + len(piece)


def _finalize(store: Store, session: sqlite3.Row, origin: str) -> Object:
    path = store.folder / "blobs" / session["id"]
    fault = strike_file(store)
    at, digest, size = clock.now(store), file_digest(path), path.stat().st_size
    settings, fails = read_settings(store), bool(fault and fault.name == "process_fails")
    life = float(fault.params["after_s"]) if fault and not fails else settings.file_life_s
    ready = at + (settings.process_s if session["mime_type"].startswith("video/") else 0.0)
    with store.transaction():
        store.rows(
            "INSERT INTO files (id, owner, blob, display_name, mime_type, size, sha256, created, expires) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            session["file"], session["owner"], session["id"], session["display_name"], session["mime_type"], size,
            digest, at, at + life,
        )  # fmt: skip
        if ready > at or fails:
            store.rows("INSERT INTO processing VALUES (?, ?, ?)", session["file"], ready, int(fails))
        store.rows("DELETE FROM uploads WHERE id = ?", session["id"])
    return file_of(store, store.rows("SELECT * FROM files WHERE id = ?", session["file"])[0]).resource(origin)


def _check_size(call: Call, size: int) -> None:
    settings = read_settings(call.store)
    if size > settings.max_file_bytes:
        raise ApiError(400, f"The file is {size} bytes; the limit is {settings.max_file_bytes}.")
    sql = "SELECT COALESCE(SUM(size), 0) AS stored FROM files WHERE owner = ? AND expires > ?"
    stored = int(call.store.rows(sql, call.owner, clock.now(call.store))[0]["stored"])
    if stored + size > settings.storage_bytes:
        raise ApiError(429, f"The project stores {stored} bytes of files; the limit is {settings.storage_bytes}.")


def _file_name(store: Store, asked: str) -> str:
    if not asked:
        return new_id(12)
    name = asked.removeprefix("files/")
    if not FILE_NAME.fullmatch(name):
        raise ApiError(400, f"The file name {asked!r} must be up to 40 lower-case letters, digits and inner dashes.")
    if store.row("SELECT 1 FROM files WHERE id = ?", name) or store.row("SELECT 1 FROM uploads WHERE file = ?", name):
        raise ApiError(409, f"The file files/{name} already exists.")
    return name


def _status(body: Object, status: str, received: int) -> Response:
    return reply(body, headers={"X-Goog-Upload-Status": status, "X-Goog-Upload-Size-Received": str(received)})
