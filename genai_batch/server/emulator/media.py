"""Small valid pictures, sounds and vectors whose content derives from a seed."""

import zlib
from base64 import b64encode
from hashlib import shake_256
from struct import pack

SIDE = 32
RATE = 24_000
AUDIO_MIME_TYPE = f"audio/L16;codec=pcm;rate={RATE}"


def picture(seed: bytes) -> str:
    """A 32x32 PNG in base64; stored, not deflated, so that every zlib writes the same bytes."""
    pixels = shake_256(seed).digest(SIDE * SIDE * 3)
    lines = b"".join(b"\0" + pixels[i : i + SIDE * 3] for i in range(0, len(pixels), SIDE * 3))
    head = pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    png = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(lines, 0)) + _chunk(b"IEND", b"")
    return b64encode(b"\x89PNG\r\n\x1a\n" + png).decode()


def sound(seed: bytes) -> str:
    """A quarter of a second of a triangle wave, 16-bit mono PCM in base64; integers only, so the same everywhere."""
    period = 60 + seed[0]
    wave = [abs((i % period) * 4 - 2 * period) * 8000 // (2 * period) - 4000 for i in range(RATE // 4)]
    return b64encode(pack(f"<{len(wave)}h", *wave)).decode()


def vector(seed: bytes, dimensions: int) -> list[float]:
    """A unit vector."""
    raw = shake_256(seed).digest(2 * dimensions)
    values = [int.from_bytes(raw[i : i + 2]) - 32767.5 for i in range(0, len(raw), 2)]
    length = sum(value * value for value in values) ** 0.5
    return [round(value / length, 8) for value in values]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))
