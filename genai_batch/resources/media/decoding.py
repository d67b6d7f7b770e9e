"""From base64 to bytes that ordinary programs open."""

import binascii
import io
import re
import wave
from typing import Any, NamedTuple

from genai_batch.resources.media.kinds import WAV, Kind, Pcm, claimed_by, kind_of, pcm_of

_HEAD = 64
"""Characters of base64 that tell the kind."""
_STANDARD = bytes.maketrans(b"-_", b"+/")
_UNUSUAL = re.compile(rb"[-_\r\n]")
"""The other alphabet, and lines as mails have them."""


class Decoded(NamedTuple):
    """A picture, a sound or something else, whole."""

    content: bytes
    kind: Kind


def decode(blob: dict[str, Any]) -> Decoded:
    """Decode `{mimeType, data}`; bare PCM becomes a WAV file.

    Raises:
        ValueError: the data is not base64 of either alphabet.
    """
    content, claimed = _bytes(blob["data"]), claimed_by(blob)
    kind = kind_of(content[:_HEAD], claimed)
    layout = pcm_of(claimed)
    is_bare = kind is WAV and layout is not None and not content.startswith(b"RIFF")
    return Decoded(_wav(content, layout) if is_bare and layout else content, kind)


def kind(blob: dict[str, Any]) -> Kind:
    """Tell what `decode` will give, from the first bytes alone."""
    try:
        head = _bytes(blob["data"], _HEAD)
    except ValueError:
        head = b""
    return kind_of(head, claimed_by(blob))


def _bytes(data: object, most: int | None = None) -> bytes:
    if not isinstance(data, str):
        raise ValueError("not base64: no text")  # noqa: TRY004 - what Gemini sent has a wrong value, we passed it right
    try:
        raw = data[:most].encode("ascii")
        raw = raw.translate(_STANDARD, b"\r\n") if _UNUSUAL.search(raw) else raw
        raw = raw.rstrip(b"=")
        content = binascii.a2b_base64(raw + b"=" * (-len(raw) % 4), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"not base64: {error}") from error
    if not content:
        raise ValueError("not base64: no bytes come out")
    return content


def _wav(samples: bytes, layout: Pcm) -> bytes:
    """Put a header before whole frames; the samples are little-endian, as Gemini sends them."""
    whole = len(samples) - len(samples) % (layout.width * layout.channels)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(layout.channels)
        sound.setsampwidth(layout.width)
        sound.setframerate(layout.rate)
        sound.writeframes(memoryview(samples)[:whole])
    return file.getvalue()
