"""The Files API's calls on files that exist: get, list, delete, download."""

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

from anyio import to_thread
from starlette.responses import Response, StreamingResponse

from .call import Call
from .settings import read_settings
from .stored_files import StoredFile, file_of, find_file, finished_file_batches, generated_file, list_files
from .wire import ApiError, Object, page_token, read_page_token, reply

PIECE = 1 << 20


async def get_file(call: Call) -> Response:
    """`files.get`: the bare file."""
    return reply((await _find(call)).resource(call.origin))


async def list_all(call: Call) -> Response:
    """`files.list`: uploads, and results too where the settings say so."""
    size = call.page_size(10, 100)
    rows = list_files(call.store, call.owner, read_page_token(call.query("pageToken", "page_token")), size)
    files = [file_of(call.store, row) for row in rows[:size]]
    body: Object = {}
    if len(rows) > size:
        body["nextPageToken"] = page_token(rows[size - 1]["seq"])
    elif read_settings(call.store).list_generated_files:
        batches = finished_file_batches(call.store, call.owner)
        files += [await to_thread.run_sync(generated_file, call.store, batch) for batch in batches]
    return reply(({"files": [file.resource(call.origin) for file in files]} if files else {}) | body)


async def delete_file(call: Call) -> Response:
    """`files.delete`; batches that read the file keep their own link to it."""
    file = await _find(call)
    if not file.generated:
        call.store.rows("DELETE FROM files WHERE id = ?", file.id)
        file.path.unlink(missing_ok=True)
    return reply({})


async def download(call: Call) -> Response:
    """The bytes of a file, whole or one range, in pieces; a range of another version of it is answered with all."""
    file = await _find(call)
    mark = f'"{hashlib.sha256(file.sha256.encode()).hexdigest()[:32]}"'
    partial = "range" in call.request.headers and call.request.headers.get("if-range", mark) == mark
    first, last = _range(call.request.headers.get("range", "") if partial else "", file.size)
    headers = {"Content-Length": str(last - first + 1), "Accept-Ranges": "bytes", "ETag": mark}
    if partial:
        headers["Content-Range"] = f"bytes {first}-{last}/{file.size}"
    pieces = _pieces(file.path, first, last + 1)
    return StreamingResponse(pieces, 206 if partial else 200, headers, "application/octet-stream")


async def _find(call: Call) -> StoredFile:
    return await to_thread.run_sync(find_file, call.store, call.owner, call.path("id"))


async def _pieces(path: Path, first: int, end: int) -> AsyncIterator[bytes]:
    while first < end and (piece := await to_thread.run_sync(_read, path, first, min(PIECE, end - first))):
        first += len(piece)
        yield piece


def _read(path: Path, offset: int, size: int) -> bytes:
    """One piece; the file is not kept open, for a reader who leaves would keep it so."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _range(header: str, size: int) -> tuple[int, int]:
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if not match or not (match[1] or match[2]):
        return 0, size - 1
    if not match[1]:
        return max(0, size - int(match[2])), size - 1
    first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    if first > last:
        raise ApiError(416, "The requested range is not satisfiable.")
    return first, last
