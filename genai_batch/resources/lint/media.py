"""Pictures, sounds and documents in a request: inside it as base64, or named by a URI."""

import re
from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint.fault import Fault, doubt, fault
from genai_batch.resources.lint.fields import BLOB, FILE, named, unknown
from genai_batch.resources.local_files import is_local
from genai_batch.resources.media import kinds
from genai_batch.resources.models import Model
from genai_batch.resources.tokens.headers import decoded
from genai_batch.resources.tokens.media import is_youtube
from genai_batch.resources.untyped import as_list, is_object, kind_of

BLANKS = " \r\n\t"
"""What line-wrapping encoders put between the signs of base64."""
VIDEOS = 10
"""Videos that one request may hold."""
INLINE = 20_000_000
"""Bytes of media that one request may hold; what is larger goes through the Files API."""
_CERTAIN = frozenset({kinds.PNG, kinds.JPEG, kinds.GIF, kinds.TIFF, kinds.WEBP, kinds.PDF, kinds.MP3, kinds.FLAC,
                      kinds.OGG, kinds.WAV})  # fmt: skip
"""What the first bytes tell for certain; of an MP4 or WebM they do not tell sound from film."""
_ZIP = b"PK\x03\x04"
_HEAD = 18
"""Bytes at the beginning that tell what it is."""
SPELLINGS = {
    "image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "application/x-pdf": "application/pdf",
    "pdf": "application/pdf", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp",
    "text": "text/plain",
}  # fmt: skip
_REFUSED = ("application/octet-stream", "application/zip", "image/svg+xml")
_RARE = ("image/gif", "image/tiff", "image/bmp", "image/avif")
_KNOWN = ("image/", "audio/", "video/", "text/", "application/pdf", "application/json", "application/rtf",
          "application/x-javascript", "application/x-python-code", "application/x-ipynb+json")  # fmt: skip
_EDGE, _SAMPLE = 128, 4_096
"""Signs at either end that are matched one by one, and that are searched."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_SHOWN = 60


def of_part(part: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge the media of one part, its fields spelled in snake_case."""
    blob, file = part.get("inline_data"), part.get("file_data")
    if model.kind == "speech" and (blob is not None or file is not None):
        yield fault("media-speech", f"{model.name} reads text only", "send the text, or use another model")
    if blob is not None:
        yield from _blob(blob)
    if file is not None:
        yield from _file(file)


def _blob(blob: Any) -> Iterator[Fault]:
    if not is_object(blob):
        yield fault("blob-shape", f"inline_data is {kind_of(blob)}", 'write {"mime_type": "image/png", "data": "…"}')
        return
    yield from unknown(blob, BLOB, "inline_data")
    given = named(blob)
    data, mime = given.get("data"), given.get("mime_type")
    if not isinstance(data, str) or not data:
        yield fault("no-data", "inline_data has no data", "add the base64 of the file")
    elif data.startswith("data:"):
        yield fault("data-uri", "inline_data.data is a data: URI", "keep what follows the comma; the type is mime_type")
    elif any(blank in _ends(data) for blank in BLANKS):
        yield doubt(
            "base64-blanks", "inline_data.data holds spaces or line breaks", "encode without them (base64 -w 0)"
        )
    elif why := not_base64(data):
        yield fault("base64", f"inline_data.data is not base64: {why}", "encode the bytes of the file as base64")
    yield from _mime(mime, sniffed(data), "inline_data")


def not_base64(data: str) -> str | None:
    """Say why text cannot be base64, from its length and its ends: the cost does not grow with it."""
    if not data.isascii():
        return "it holds letters beyond ASCII"
    ends = _ends(data)
    if (len(data) - data[-2:].count("=")) % 4 == 1:
        return "its length fits none"
    if not _BASE64.fullmatch(ends[:_EDGE].rstrip("=")) or not _BASE64.fullmatch(ends[-_EDGE:]):
        return "it holds other signs"
    mixed = ("+" in ends or "/" in ends) and ("-" in ends or "_" in ends)
    return "it mixes the two alphabets" if mixed else None


def _ends(data: str) -> str:
    return data if len(data) <= 2 * _SAMPLE else data[:_SAMPLE] + data[-_SAMPLE:]


def sniffed(data: Any) -> str | None:
    """The MIME type that the first bytes of base64 tell for certain."""
    try:
        head = decoded(str(data), _HEAD)
    except ValueError:
        return None
    if head.startswith(_ZIP):
        return "application/zip"
    kind = kinds.recognised(head)
    return kind.mime_type if kind and kind in _CERTAIN else None


def _mime(mime: Any, true: str | None, place: str) -> Iterator[Fault]:
    if mime is None or mime == "":
        fix = f'add "mime_type": "{true}"' if true else 'add "mime_type"'
        yield fault("no-mime", f"{place} has no mime_type", fix)
        return
    plain = str(mime).lower()
    better = SPELLINGS.get(plain)
    if better or "/" not in plain:
        fix = f"write {better or true or 'image/png'}"
        yield fault("mime-spelling", f"no such mime_type {plain[:_SHOWN]!r}", fix)
    elif true and true.partition("/")[0] != plain.partition("/")[0]:
        yield fault("mime-wrong", f"mime_type is {plain[:_SHOWN]}, the data is {true}", f"write {true}")
    elif plain.startswith(_REFUSED):
        yield fault(
            "mime-refused", f"Gemini reads no {plain[:_SHOWN]}", "convert it: pictures to PNG or JPEG, documents to PDF"
        )
    elif true and true != plain and plain.startswith("image/"):
        yield doubt("mime-wrong", f"mime_type is {plain[:_SHOWN]}, the data is {true}", f"write {true}")
    elif plain.startswith(_RARE) or not plain.startswith(_KNOWN):
        yield doubt(
            "mime-unknown", f"mime_type {plain[:_SHOWN]} may be refused", "convert it to PDF, PNG or plain text"
        )


def _file(file: Any) -> Iterator[Fault]:
    if not is_object(file):
        yield fault("file-shape", f"file_data is {kind_of(file)}", 'write {"mime_type": "…", "file_uri": "…"}')
        return
    yield from unknown(file, FILE, "file_data")
    given = named(file)
    uri, mime = given.get("file_uri"), given.get("mime_type")
    if not isinstance(uri, str) or not uri:
        yield fault("no-uri", "file_data has no file_uri", "add the uri that the Files API returned")
    else:
        yield from _uri(uri)
    if isinstance(uri, str) and is_youtube(uri):
        return  # Gemini knows what it is
    if mime is None:
        yield doubt("file-mime", "file_data has no mime_type", "add the type the file was uploaded with")
    else:
        yield from _mime(mime, None, "file_data")


def _uri(uri: str) -> Iterator[Fault]:
    shown = uri[:_SHOWN]
    if is_local(uri):
        return
    if uploaded(uri):
        said = "files live 48 h from their upload, a batch may wait as long; an expired one fails its row"
        yield doubt("file-expiry", said, "upload right before the job starts")
    elif uri.startswith("data:"):
        yield fault("data-uri", "file_uri is a data: URI", "write inline_data with mime_type and data")
    elif uri.startswith("gs://"):
        yield fault("file-gs", f"{shown} can be read by Vertex AI only", "upload it with the Files API")
    elif is_youtube(uri):
        said = "videos on YouTube are watched when the row runs; one that is not public by then fails its row"
        yield doubt("youtube", said, "name public videos only")
    elif uri.startswith("http://"):
        yield doubt("file-http", f"{shown} is not https and may be refused", "upload it with the Files API")
    elif uri.startswith("https://"):
        said = "media from another site is fetched when the row runs, hours later; a link that ends then fails the row"
        yield doubt("file-foreign", said, "upload it with the Files API")
    else:
        yield fault("file-local", f"{shown!r} is no URI Gemini can open", "upload it with the Files API")


def uploaded(uri: str) -> bool:
    """Whether a URI names a file of the Files API."""
    return uri.startswith("files/") or ("generativelanguage.googleapis.com" in uri[:_SHOWN] and "/files/" in uri)


def videos(contents: list[Any]) -> Iterator[Fault]:
    """Judge how many videos one request holds."""
    count = 0
    for turn in contents:
        for part in as_list(turn.get("parts")) if is_object(turn) else []:
            count += is_object(part) and _is_video(named(part))
    if count > VIDEOS:
        yield fault("videos", f"holds {count} videos; Gemini takes {VIDEOS} a request", "write a request for every few")


def _is_video(part: dict[str, Any]) -> bool:
    for name in ("file_data", "inline_data"):
        if is_object(held := part.get(name)):
            given = named(held)
            if str(given.get("mime_type")).lower().startswith("video/") or is_youtube(str(given.get("file_uri"))):
                return True
    return False


def weight(contents: list[Any]) -> Iterator[Fault]:
    """Judge the media that one request carries itself."""
    held = 0
    for turn in contents:
        for part in as_list(turn.get("parts")) if is_object(turn) else []:
            blob = (part.get("inline_data") or part.get("inlineData")) if is_object(part) else None
            data = blob.get("data") if is_object(blob) else None
            held += len(data) if isinstance(data, str) else 0
    if held > INLINE:
        said = f"carries {held / 1e6:,.0f} MB of media; {INLINE / 1e6:,.0f} MB is what one request may hold for certain"
        yield doubt("inline-size", said, "upload media with the Files API and name it by file_data")
