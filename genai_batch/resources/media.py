"""Pictures and sounds inside results, as bytes that ordinary programs open."""

import base64
import binascii
import io
import re
import wave
from typing import Any

from genai_batch.resources.answers import short


def decode(blob: dict[str, Any]) -> tuple[bytes, str]:
    """Decode `{mimeType, data}` to bytes and their MIME type; bare PCM becomes a WAV file.

    Raises:
        ValueError: the data is not base64 of either alphabet.
    """
    mime = mime_type(blob)
    try:
        content = base64.b64decode(str(blob["data"]).translate(_STANDARD) + "==", validate=False)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    return (_wav(content, mime), "audio/wav") if _is_pcm(mime) else (content, mime)


def served_as(blob: dict[str, Any]) -> str:
    """MIME type that `decode` gives."""
    mime = mime_type(blob)
    return "audio/wav" if _is_pcm(mime) else mime


def mime_type(blob: dict[str, Any]) -> str:
    """MIME type as Gemini wrote it."""
    return short(str(blob.get("mimeType") or blob.get("mime_type") or "application/octet-stream"), 80)


_STANDARD = str.maketrans("-_", "+/")


def _is_pcm(mime: str) -> bool:
    return mime.lower().startswith(("audio/l16", "audio/pcm"))


def _wav(samples: bytes, mime: str) -> bytes:
    rate = re.search(r"rate=(\d+)", mime)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(int(rate[1]) if rate else 24_000)
        sound.writeframes(samples)
    return file.getvalue()
