"""What a piece of media is: told by how its bytes begin, and by what it claims only where they say nothing."""

import re
from typing import Any, NamedTuple

from genai_batch.resources.answers import short


class Kind(NamedTuple):
    """A MIME type and the ending of its files, without the dot."""

    mime_type: str
    suffix: str


class Pcm(NamedTuple):
    """How bare samples are laid out; `width` is bytes of a sample, `rate` samples a second."""

    rate: int
    channels: int
    width: int


RAW = Kind("application/octet-stream", "bin")
WAV = Kind("audio/wav", "wav")
PNG = Kind("image/png", "png")
JPEG = Kind("image/jpeg", "jpg")
WEBP = Kind("image/webp", "webp")
MP3 = Kind("audio/mpeg", "mp3")
MP4 = Kind("video/mp4", "mp4")
GIF = Kind("image/gif", "gif")
TIFF = Kind("image/tiff", "tiff")
OGG = Kind("audio/ogg", "ogg")
FLAC = Kind("audio/flac", "flac")
PDF = Kind("application/pdf", "pdf")
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", PNG), (b"\xff\xd8\xff", JPEG), (b"GIF87a", GIF), (b"GIF89a", GIF),
    (b"II*\0", TIFF), (b"MM\0*", TIFF), (b"OggS", OGG), (b"fLaC", FLAC), (b"ID3", MP3),
    (b"\x1a\x45\xdf\xa3", Kind("video/webm", "webm")), (b"%PDF-", PDF),
)  # fmt: skip
_FORMS = {
    b"RIFF": {b"WAVE": WAV, b"WEBP": WEBP, b"AVI ": Kind("video/x-msvideo", "avi")},
    b"FORM": {b"AIFF": Kind("audio/aiff", "aiff"), b"AIFC": Kind("audio/aiff", "aiff")},
}
_BRANDS = {
    b"avif": Kind("image/avif", "avif"), b"avis": Kind("image/avif", "avif"), b"heic": Kind("image/heic", "heic"),
    b"heix": Kind("image/heic", "heic"), b"mif1": Kind("image/heic", "heic"), b"M4A ": Kind("audio/mp4", "m4a"),
    b"qt  ": Kind("video/quicktime", "mov"),
}  # fmt: skip
_FRAMES = {b"\xff\xfb": MP3, b"\xff\xf3": MP3, b"\xff\xf2": MP3, b"\xff\xf1": Kind("audio/aac", "aac")}
"""Two bytes, which bare samples may begin with too."""
_TEXT = {
    "text/plain": Kind("text/plain", "txt"), "text/csv": Kind("text/csv", "csv"),
    "text/markdown": Kind("text/markdown", "md"), "application/json": Kind("application/json", "json"),
}  # fmt: skip
_PCM = re.compile(r"audio/(?:l(8|16|24|32)|(?:x-)?pcm)\b", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"(image|audio|video)/[a-z0-9][a-z0-9.+-]*")
_OF_FORMS = (kind for forms in _FORMS.values() for kind in forms.values())
_KNOWN = {MP4, *dict(_MAGIC).values(), *_FRAMES.values(), *_BRANDS.values(), *_OF_FORMS}
_SAME = {"jpeg": "jpg", "tif": "tiff", "aif": "aiff"}
SUFFIXES = frozenset({*(kind.suffix for kind in _KNOWN), *_SAME})
"""Endings that say what a file holds."""


def kind_of(head: bytes, claimed: str) -> Kind:
    """Tell what content is that begins with `head` (16 bytes or more) and claims to be `claimed`.

    What is recognised goes by that; plain text by its claim; bare PCM becomes WAV; a claim that the content does not
    bear out counts for nothing.
    """
    if found := recognised(head):
        return found
    if pcm_of(claimed):
        return WAV
    bare = claimed.partition(";")[0].strip().lower()
    return _FRAMES.get(head[:2]) or _TEXT.get(bare) or _unproved(bare)


def pcm_of(claimed: str) -> Pcm | None:
    """Read the layout of bare PCM from a MIME type; None where it is something else."""
    found = _PCM.match(claimed)
    if not found:
        return None
    bits = int(found[1] or _number(claimed, "bits", 16))
    rate, channels = _number(claimed, "rate", 24_000), _number(claimed, "channels", 1)
    return Pcm(
        rate=rate if 1_000 <= rate <= 768_000 else 24_000,
        channels=channels if 1 <= channels <= 32 else 1,
        width=bits // 8 if bits in (8, 16, 24, 32) else 2,
    )


def claimed_by(blob: dict[str, Any]) -> str:
    """MIME type as Gemini wrote it."""
    return short(str(blob.get("mimeType") or blob.get("mime_type") or RAW.mime_type), 80)


def same(suffix: str, kind: Kind) -> bool:
    """Whether files of this kind may end so."""
    return _SAME.get(suffix.lower(), suffix.lower()) == kind.suffix


def recognised(head: bytes) -> Kind | None:
    """Tell what begins with `head`; None where its first bytes are not known here."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], MP4)
    return _FORMS.get(head[:4], {}).get(head[8:12])


def _unproved(bare: str) -> Kind:
    """A type whose beginning is not known here keeps its name, but no ending that a program would act upon."""
    disproved = any(bare == kind.mime_type for kind in _KNOWN)
    safe = _MEDIA_TYPE.fullmatch(bare) and "svg" not in bare and not disproved
    return Kind(bare, RAW.suffix) if safe else RAW


def _number(claimed: str, name: str, otherwise: int) -> int:
    found = re.search(rf"\b{name}=\"?(\d{{1,7}})", claimed, re.IGNORECASE)
    return int(found[1]) if found else otherwise
