"""A file or a URI as a part of a request: told by its bytes; text as text, media as base64."""

import mimetypes
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from genai_batch.resources import regular
from genai_batch.resources.answers import brief
from genai_batch.resources.media.decoding import decode
from genai_batch.resources.media.kinds import RAW, kind_of
from genai_batch.resources.sources.cells import Blob

MOST = 14_000_000
"""Bytes of files that one request may carry itself; as base64 they take a third more, and Gemini takes 20 MB."""
_HEAD = 64
_TRAILER = 8_192
_START, _ENCRYPT = re.compile(rb"startxref\s+(\d{1,15})"), re.compile(rb"/Encrypt[\s<]")
_UNREAD = {"image/avif": "an AVIF"}
"""Pictures that many cameras and sites make, and Gemini does not read."""
_TEXT = 4_000_000
_URIS = ("https://", "http://", "gs://", "files/")
_TEXTS = {
    "application/json": "json", "application/xml": "xml", "application/x-yaml": "yaml", "application/javascript": "js",
}  # fmt: skip
Reach = Callable[[Path | str], Path]
"""Finds a path, or refuses it with a `BatchError`."""
Part = dict[str, Any]


class Unusable(Exception):
    """A file that no request can carry; `fix` says what to do."""

    def __init__(self, problem: str, fix: str) -> None:
        """Say both."""
        super().__init__(problem)
        self.problem, self.fix = problem, fix


class Looked(NamedTuple):
    """A file that can be used: its MIME type, `text/plain` for any text, its bytes, and whether a PDF is encrypted."""

    path: Path
    mime_type: str
    size: int
    is_encrypted: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it goes into a request as text."""
        return self.mime_type == "text/plain"


def is_uri(text: str) -> bool:
    """Whether it names something that is not here."""
    return text.startswith(_URIS)


def of_uri(uri: str) -> Part:
    """A part that names a file elsewhere, with the type that its name tells."""
    mime, _ = mimetypes.guess_type(PurePosixPath(urlsplit(uri).path).name)
    return {"fileData": {**({"mimeType": mime} if mime else {}), "fileUri": uri}}


def look(path: Path, most: int = MOST) -> Looked:
    """Look at a file, without reading more than it takes to tell what it is; media may have `most` bytes.

    Raises:
        Unusable: it is empty, cannot be read, is too large, or nothing that Gemini reads.
    """
    try:
        with regular.opened(path) as file:
            size, head = regular.size_of(file), file.read(_HEAD)
            is_encrypted = head.startswith(b"%PDF-") and _is_encrypted(file, size)
    except FileNotFoundError as error:
        raise Unusable("cannot be read: no such file", "check the path") from error
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}", "mend its permissions, or ignore it") from error
    if not size:
        raise Unusable("is empty", "fill it, or ignore it")
    kind = kind_of(head, "")
    if kind.mime_type in _UNREAD:
        fix = "convert it to PNG, JPEG or WebP, or ignore it"
        raise Unusable(f"is {_UNREAD[kind.mime_type]} picture, which Gemini does not read", fix)
    mime = kind.mime_type if kind != RAW else "text/plain" if _is_text(head, path) else None
    if mime is None:
        raise Unusable("is nothing that Gemini reads", "convert it to PDF, PNG, MP3, MP4 or text, or ignore it")
    if size > (most := _TEXT if mime == "text/plain" else most):
        raise _too_large(size, most)
    return Looked(path, mime, size, is_encrypted)


def _is_encrypted(file: BufferedReader, size: int) -> bool:
    """Whether the trailer of a PDF names its encryption; it is at the end, or where the last offset leads."""
    file.seek(max(0, size - _TRAILER))
    end = file.read(_TRAILER)
    pieces = [end]
    if offset := _START.findall(end):
        file.seek(min(int(offset[-1]), size))
        pieces.append(file.read(_TRAILER))
    return any(_ENCRYPT.search(piece) for piece in pieces)


def _too_large(size: int, most: int) -> Unusable:
    if most > MOST:
        return Unusable(f"has {size / 1e6:,.0f} MB; Gemini takes {most / 1e6:,.0f} MB a file", "make it smaller")
    fix = "create_batch (or run) of the manifest itself uploads it; or make it smaller"
    fix = "make it smaller" if most == _TEXT else fix
    return Unusable(f"has {size / 1e6:,.1f} MB; a request carries {most / 1e6:,.0f} MB itself", fix)


def _is_text(head: bytes, path: Path) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    if b"\0" in head or path.suffix.lower() == ".svg":
        return False
    for end in range(len(head), max(0, len(head) - 4), -1):
        try:
            head[:end].decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


def text_of(found: Looked) -> str:
    """The words of a text file.

    Raises:
        Unusable: it is no text after all.
    """
    content = _content(found)
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable("is not UTF-8", "save it as UTF-8, or ignore it") from error
    if "\0" in text:
        raise Unusable("holds NUL characters; perhaps it is binary", "ignore it")
    if not text.strip():
        raise Unusable("holds nothing but blanks", "fill it, or ignore it")
    return text


def of_file(found: Looked) -> Part:
    """A part that carries a file.

    Raises:
        Unusable: it cannot be read any more, or is no text after all.
    """
    if found.is_text:
        return {"text": text_of(found)}
    return {"inlineData": {"mimeType": found.mime_type, "data": b64encode(_content(found)).decode()}}


def blob_of(blob: dict[str, Any]) -> Part:
    """A part that carries what a model made, as programs open it; what is no base64 stays what it is."""
    try:
        whole = decode(blob)
    except ValueError:
        return {"inlineData": blob}
    return {"inlineData": {"mimeType": whole.kind.mime_type, "data": b64encode(whole.content).decode()}}


def _content(found: Looked) -> bytes:
    try:
        with regular.opened(found.path) as file:
            content = file.read(found.size + 1)
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}", "mend its permissions, or ignore it") from error
    if len(content) != found.size:
        raise being_written()
    return content


def being_written() -> Unusable:
    """The trouble with a file that had another size when it was looked at than when it was read."""
    return Unusable("is being written", "try again when it is complete")


def of_bytes(content: bytes, what: str) -> Part:
    """A part that carries bytes of no file, typed by their content.

    Raises:
        Unusable: they are nothing that Gemini reads, or too large.
    """
    kind = kind_of(content[:_HEAD], "")
    if kind == RAW or not content:
        raise Unusable(f"{what} holds nothing that Gemini reads", "convert it to PDF, PNG, MP3 or MP4")
    if len(content) > MOST:
        fix = "make it smaller, or write it to a file and name that"
        raise Unusable(f"{what} has {len(content) / 1e6:,.1f} MB; a request carries {MOST / 1e6:,.0f} MB itself", fix)
    return {"inlineData": {"mimeType": kind.mime_type, "data": b64encode(content).decode()}}


def _of_data_uri(uri: str) -> Part:
    head, comma, data = uri.partition(",")
    try:
        content = b64decode("".join(data.split()), validate=True) if head.endswith(";base64") and comma else b""
    except ValueError:
        content = b""
    return of_bytes(content, f"the data: URI {brief(uri, 40)!r}")


def attached(
    names: list[str], base: Path | None, reach: Reach, most: int = MOST, blobs: Mapping[str, Blob] | None = None
) -> list[tuple[str, Part | Looked]]:
    """What a user named: URIs as parts, files as they look, in their order; empty names are passed over.

    `blobs` are bytes that stand in the row itself, by the names that stand for them.

    Raises:
        Unusable: one of them cannot be used, by its name.
        PathNotAllowed: one of them lies where nothing may be read.
    """
    found: list[tuple[str, Part | Looked]] = []
    for name in filter(str.strip, names):
        if blobs and (blob := blobs.get(name)):
            found.append((name, of_bytes(blob.content, f"the column {brief(blob.column, 60)!r}")))
            continue
        if name.startswith("data:"):
            found.append((brief(name, 40), _of_data_uri(name)))
            continue
        if is_uri(name):
            found.append((name, of_uri(name)))
            continue
        try:
            found.append((name, look(reach(base / name if base else name), most)))
        except Unusable as error:
            raise of_name(name, error) from error
    return found


def of_name(name: str, error: Unusable) -> Unusable:
    """The same trouble, of a file that a user named."""
    return Unusable(f"file {brief(name, 100)!r} {error}", error.fix)
