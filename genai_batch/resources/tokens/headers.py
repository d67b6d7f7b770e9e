"""What the first bytes of a medium tell: pixels of a picture, seconds of a sound or film, pages of a document.

Only as much base64 is decoded as the format needs. Bytes that are broken or unknown tell nothing; they never fail.
"""

import binascii
import re
import struct
from pathlib import Path
from typing import NamedTuple

from genai_batch.resources import regular
from genai_batch.resources.media.kinds import FLAC, GIF, JPEG, OGG, PNG, WAV, WEBP, recognised

_HEAD = 64 * 1024
_DOCUMENT = 24 * 1024 * 1024
_LEAST_PER_S, _LEAST_PER_PAGE, _MOST_PX = 100, 20, 65_535
_STANDARD = str.maketrans("-_", "+/")


class Seen(NamedTuple):
    """What is known of a medium; None is unknown. A document's width and height are its first page's, in points."""

    width: float | None = None
    height: float | None = None
    seconds: float | None = None
    pages: int | None = None
    sound: bool = True
    fps: float = 1


class _OnDisk(NamedTuple):
    """A file of which only those bytes are read that are asked for."""

    path: Path
    size: int

    def read(self, start: int, size: int) -> bytes:
        with regular.opened(self.path) as file:
            file.seek(start)
            return file.read(size)


_Data = str | _OnDisk


def of_path(path: Path, mime_type: str) -> Seen:
    """Read the head of a file of a MIME type, and what little else of it is needed.

    Raises:
        OSError: it cannot be read.
    """
    modality = "document" if mime_type == "application/pdf" else mime_type.partition("/")[0]
    return look(_OnDisk(path, path.stat().st_size), modality)


def look(data: _Data, modality: str) -> Seen:
    """Read the head of base64 (either alphabet), or of a file, as the given kind of medium."""
    readers = {"image": _image, "audio": _audio, "video": _video, "document": _document}
    size = len(data) * 3 // 4 if isinstance(data, str) else data.size
    if modality not in readers:
        return Seen()
    try:
        seen = readers[modality](data, size)
    except (struct.error, ValueError, IndexError, ZeroDivisionError, OverflowError):
        return Seen()
    return seen if _is_plausible(seen, size) else Seen()


def _is_plausible(seen: Seen, size: int) -> bool:
    """Whether so few bytes can hold so much; a header that lies tells nothing."""
    lasts = seen.seconds is None or 0 < seen.seconds <= 60 + size / _LEAST_PER_S
    fits = all(side is None or 0 < side <= _MOST_PX for side in (seen.width, seen.height))
    return lasts and fits and (seen.pages is None or seen.pages <= 1 + size / _LEAST_PER_PAGE)


def as_text(data: str) -> str:
    """Decode base64 that holds text."""
    try:
        return decoded(data, len(data)).decode("utf-8", "replace")
    except ValueError:
        return data


def decoded(data: _Data, size: int, start: int = 0) -> bytes:
    """Decode `size` bytes from `start`, both rounded to whole groups of base64, in a file too."""
    if not isinstance(data, str):
        return data.read(start // 3 * 3, (size + 2) // 3 * 3)
    first = start // 3 * 4
    piece = data[first : first + (size + 2) // 3 * 4].translate(_STANDARD).rstrip("=")
    piece = piece[: len(piece) - (len(piece) % 4 == 1)]
    try:
        return binascii.a2b_base64(piece + "=" * (-len(piece) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _image(data: _Data, _: int) -> Seen:
    head = decoded(data, 64)
    kind = recognised(head)
    if kind == PNG:
        return Seen(*struct.unpack(">II", head[16:24]))
    if kind == GIF:
        return Seen(*struct.unpack("<HH", head[6:10]))
    if kind == WEBP:
        return _webp(head)
    return _jpeg(decoded(data, _HEAD)) if kind == JPEG else Seen()


def _webp(head: bytes) -> Seen:
    if head[12:16] == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return Seen(width & 0x3FFF, height & 0x3FFF)
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return Seen((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return Seen(int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1)


def _jpeg(head: bytes) -> Seen:
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return Seen(width, height)
        at += 1 if marker == 0xFF else 2 + struct.unpack(">H", head[at + 2 : at + 4])[0]
    return Seen()


def _audio(data: _Data, size: int) -> Seen:
    head = decoded(data, 4_096)
    kind = recognised(head)
    if kind == WAV:
        return Seen(seconds=_wav(head, size))
    if kind == FLAC:
        bits = int.from_bytes(head[18:26], "big")
        return Seen(seconds=(bits & (1 << 36) - 1) / (bits >> 44))
    if kind == OGG:
        return Seen(seconds=_ogg(head, decoded(data, _HEAD, max(0, size - _HEAD))))
    if head[4:8] == b"ftyp":  # whatever its brand
        return _video(data, size)
    return Seen(seconds=_mp3(_after_id3(data, head), size))


def _wav(head: bytes, size: int) -> float | None:
    rate = struct.unpack("<I", head[28:32])[0]
    at = head.find(b"data", 12)
    return min(struct.unpack("<I", head[at + 4 : at + 8])[0], size - at - 8) / rate if at > 0 else None


def _ogg(head: bytes, tail: bytes) -> float | None:
    at = tail.rfind(b"OggS")
    granule = struct.unpack("<q", tail[at + 6 : at + 14])[0]
    if b"OpusHead" in head:
        return granule / 48_000
    at = head.find(b"\x01vorbis")
    return granule / struct.unpack("<I", head[at + 12 : at + 16])[0] if at > 0 else None


_BITRATES = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s of layer III, MPEG 1 and MPEG 2 or 2.5."""


def _after_id3(data: _Data, head: bytes) -> tuple[int, bytes]:
    if head[:3] != b"ID3":
        return 0, head
    tag = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)) + 10
    return tag, decoded(data, 4_096, tag)[tag % 3 :]


def _mp3(found: tuple[int, bytes], size: int) -> float | None:
    tag, head = found
    match = re.search(rb"\xff[\xe2-\xff][\x10-\xeb]", head)
    if not match:
        return None
    version = 1 if match[0][1] >> 3 & 3 == 3 else 2
    rate = (44_100, 48_000, 32_000, 0)[match[0][2] >> 2 & 3] / (1 if version == 1 else 2)
    frames = re.search(rb"(?:Xing|Info)...([\x01\x03\x05\x07\x09\x0b\x0d\x0f])(.{4})", head, re.DOTALL)
    if frames:
        return int.from_bytes(frames[2], "big") * (1_152 if version == 1 else 576) / rate
    return (size - tag) * 8 / (_BITRATES[version][(match[0][2] >> 4) - 1] * 1_000)


def _video(data: _Data, size: int) -> Seen:
    """Read `mvhd`, which stands in the head of a file made for streaming and in the tail of any other MP4."""
    for start in (0, max(0, size - 16 * _HEAD)):
        piece = decoded(data, 16 * _HEAD, start)
        if (at := piece.find(b"mvhd")) > 0:
            form = ">II" if piece[at + 4] == 0 else ">IQ"
            scale, length = struct.unpack_from(form, piece, at + (16 if piece[at + 4] == 0 else 24))
            return Seen(seconds=length / scale, sound=b"soun" in piece)
    return Seen()


def _document(data: _Data, size: int) -> Seen:
    content = decoded(data, min(size, _DOCUMENT) + 3)
    if b"%PDF" not in content[:1024]:
        return Seen()
    counts = [int(number) for number in re.findall(rb"/Count\s+(\d{1,6})\b", content)]
    pages = max(len(re.findall(rb"/Type\s*/Page\b(?!s)", content)), *counts, 0)
    box = re.search(rb"/MediaBox\s*\[\s*([-\d.]+)\s+([-\d.]+)\s+([-\d.]+)\s+([-\d.]+)", content)
    left, low, right, top = map(float, box.groups()) if box else (0, 0, 0, 0)
    return Seen(abs(right - left) or None, abs(top - low) or None, pages=pages or None)
