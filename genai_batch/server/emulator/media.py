"""Small valid pictures, sounds and vectors whose content derives from a seed."""

import zlib
from base64 import b64encode
from hashlib import shake_256
from math import isqrt
from struct import pack

SIDE = 32
RATE = 24_000
AUDIO_MIME_TYPE = f"audio/L16;codec=pcm;rate={RATE}"


def picture(seed: bytes, chars: int | None = None) -> str:
    """A square PNG in base64, of 32 pixels or about `chars` characters; stored, so that every zlib writes the same."""
    side = SIDE if chars is None else max(1, isqrt(chars // 4))  # 3 bytes a pixel, 4 characters for 3 bytes
    pixels = shake_256(seed).digest(side * side * 3)
    lines = b"".join(b"\0" + pixels[i : i + side * 3] for i in range(0, len(pixels), side * 3))
    head = pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    png = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(lines, 0)) + _chunk(b"IEND", b"")
    return b64encode(b"\x89PNG\r\n\x1a\n" + png).decode()


def photograph(seed: bytes, chars: int | None = None) -> str:
    """A grey JPEG of 8-pixel squares in base64: the plainest that is one, with a constant a square and no detail."""
    squares = 4 if chars is None else max(1, isqrt(chars // 2))
    bits: list[str] = []
    before = 128
    for level in shake_256(seed).digest(squares * squares):
        step, before = level - before, level
        size = abs(step).bit_length()
        bits.append(f"{size:04b}" + (f"{step if step > 0 else step + (1 << size) - 1:0{size}b}" if size else "") + "0")
    coded = "".join(bits)
    coded += "1" * (-len(coded) % 8)
    scan = int(coded, 2).to_bytes(len(coded) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = pack(">BHHBBBB", 8, squares * 8, squares * 8, 1, 1, 0x11, 0)
    parts = [
        (0xDB, b"\0" + b"\x08" + b"\x01" * 63),  # a step of 8 is one level of grey
        (0xC0, frame),
        (0xC4, b"\x00" + bytes([0, 0, 0, 12, *[0] * 12]) + bytes(range(12))),  # twelve sizes, four bits each
        (0xC4, b"\x10" + bytes([1, *[0] * 15]) + b"\0"),  # one code: no detail follows
        (0xDA, b"\x01\x01\x00\x00\x3f\x00"),
    ]
    head = b"".join(pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in parts)
    return b64encode(b"\xff\xd8" + head + scan + b"\xff\xd9").decode()


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
