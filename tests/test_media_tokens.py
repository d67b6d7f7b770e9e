"""Media are priced by what the head of their bytes says, and by rules read off real counts."""

import base64
import io
import struct
import wave
from random import Random
from typing import Any

import pytest

from genai_batch.resources.models import Model
from genai_batch.resources.tokens.counting import by_kind
from genai_batch.resources.tokens.headers import Seen, look
from genai_batch.resources.tokens.media import of_image, of_seen

FLASH, FLASH25, OLD = (Model(name=f"gemini-{version}-flash") for version in ("3.8", "2.5", "2.0"))


def data(content: bytes) -> str:
    """Base64, as it travels."""
    return base64.b64encode(content).decode()


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0) + bytes(400)


def jpeg(width: int, height: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 4_002) + bytes(4_000)
    return b"\xff\xd8" + exif + b"\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + bytes(40)


def webp(kind: bytes, size: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0" + size + bytes(40)


def wav(seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(bytes(int(seconds * 16_000)))
    return file.getvalue()


def mp3(seconds: float, head: bytes = b"") -> bytes:
    """Frames of 64 kbit/s at 22.05 kHz, MPEG 2."""
    return head + b"\xff\xf3\x80\xc4" + bytes(int(seconds * 8_000) - 4)


def mp4(seconds: float, *, sound: bool = True, last: bool = False) -> bytes:
    moov = (
        b"\0\0\0\x6cmvhd\0\0\0\0"
        + bytes(8)
        + struct.pack(">II", 600, int(seconds * 600))
        + (b"soun" if sound else b"vide")
    )
    film = bytes(2_000_000)
    return b"\0\0\0\x18ftypmp42" + (film + moov if last else moov + film)


def flac(seconds: int) -> bytes:
    info = 44_100 << 44 | 1 << 41 | 15 << 36 | seconds * 44_100
    return b"fLaC\0\0\0\x22" + bytes(10) + info.to_bytes(8, "big") + bytes(300)


def opus(seconds: int) -> bytes:
    page = b"OggS\0\4" + struct.pack("<q", seconds * 48_000) + bytes(20)
    return b"OggS\0\2" + bytes(22) + b"OpusHead" + bytes(100_000) + page


def pdf(pages: int) -> bytes:
    page = b"<< /Type /Page /MediaBox [0 0 612 792] >>\n"
    return b"%PDF-1.4\n" + page * pages + b"<< /Type /Pages /Count %d >>\n%%%%EOF" % pages


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (png(640, 480), (640, 480)),
        (jpeg(2_048, 1_362), (2_048, 1_362)),
        (b"GIF89a" + struct.pack("<HH", 320, 200) + bytes(40), (320, 200)),
        (webp(b"VP8 ", bytes(6) + struct.pack("<HH", 550, 368)), (550, 368)),
        (webp(b"VP8L", b"\x2f" + (549 | 367 << 14).to_bytes(4, "little")), (550, 368)),
        (webp(b"VP8X", bytes(4) + (549).to_bytes(3, "little") + (367).to_bytes(3, "little")), (550, 368)),
    ],
)
def test_pixels_are_read_from_the_head_of_a_picture(content: bytes, size: tuple[int, int]) -> None:
    assert look(data(content), "image")[:2] == size
    assert look(base64.urlsafe_b64encode(content).decode().rstrip("="), "image")[:2] == size


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        (wav(3.5), 3.5),
        (mp3(4.488), 4.488),
        (mp3(4.488, b"ID3\4\0\0\0\0\1\0" + bytes(128)), 4.488),
        (flac(30), 30),
        (opus(12), 12),
        (mp4(7.5), 7.5),
    ],
)
def test_seconds_are_read_from_the_head_of_a_sound(content: bytes, seconds: float) -> None:
    assert look(data(content), "audio").seconds == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize("last", [False, True])
def test_the_length_of_a_film_is_found_at_either_end(last: bool) -> None:
    seen = look(data(mp4(13.5, last=last, sound=last)), "video")
    assert (seen.seconds, seen.sound) == (13.5, last)


def test_pages_of_a_document_are_counted() -> None:
    assert look(data(pdf(15)), "document") == Seen(612, 792, pages=15)


@pytest.mark.parametrize(
    ("model", "width", "height", "count"),
    [
        (OLD, 300, 346, 258),
        (OLD, 540, 360, 7 * 258),
        (OLD, 640, 480, 5 * 258),
        (OLD, 1_024, 1_024, 5 * 258),
        (OLD, 2_048, 1_362, 7 * 258),
        (OLD, 3_008, 2_000, 13 * 258),
        (FLASH25, 3_008, 2_000, 258),
        (FLASH, 3_008, 2_000, 1_107),
        (FLASH, 300, 346, 1_085),
        (FLASH, 400, 301, 1_102),
    ],
)
def test_a_picture_costs_what_gemini_counted(model: Model, width: int, height: int, count: int) -> None:
    assert of_image(width, height, model) == count


@pytest.mark.parametrize(
    ("level", "page", "count"),
    [("low", (595, 842), 266), (None, (595, 842), 532), ("high", (595, 842), 1_092), (None, (612, 792), 520)],
)
def test_a_page_costs_what_gemini_counted(level: Any, page: tuple[int, int], count: int) -> None:
    assert of_seen("document", Seen(*page, pages=1), FLASH, "developer", level).tokens == count


@pytest.mark.parametrize(
    ("model", "sound", "film"), [(FLASH25, 144, 14 * 263), (FLASH, 113, 13 * 66), (OLD, 113, 13 * 258)]
)
def test_sounds_and_films_cost_by_the_second(model: Model, sound: int, film: int) -> None:
    assert of_seen("audio", Seen(seconds=4.488), model, "developer").tokens == sound
    seen = of_seen("video", Seen(seconds=13.347), model, "developer")
    assert seen.tokens - seen.sound == film


def test_media_resolution_is_read_from_the_settings_and_the_part() -> None:
    part: dict[str, Any] = {"inlineData": {"mimeType": "image/png", "data": data(png(1_000, 1_000))}}
    for where in (
        {"contents": [{"parts": [part]}], "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}},
        {"contents": [{"parts": [part | {"media_resolution": {"level": "MEDIA_RESOLUTION_LOW"}}]}]},
    ):
        assert by_kind(where, FLASH)["image"] == 16 * 16


def test_a_file_nobody_here_has_seen_is_said_to_be_unseen() -> None:
    file = {"file_data": {"file_uri": "https://files/abc", "mime_type": "video/mp4"}}
    found = by_kind({"contents": [{"parts": [file]}]}, FLASH)
    assert found["unseen"] > 1_000
    assert "video" not in found


def test_broken_bytes_tell_nothing_and_break_nothing() -> None:
    dice = Random(1)
    contents = [png(9, 9), jpeg(9, 9), wav(1), mp3(1), flac(1), opus(1), mp4(1), pdf(2), webp(b"VP8 ", bytes(9))]
    for _ in range(1_500):
        content = bytearray(dice.choice(contents)[: dice.choice([0, 3, 9, 20, 60, 300, 3_000])])
        for _ in range(dice.randrange(8)):
            if content:
                content[dice.randrange(len(content))] = dice.randrange(256)
        text = data(bytes(content))[: dice.choice([None, -1, -2, -3])] + dice.choice(["", "!", "é", "="])
        for modality in ("image", "audio", "video", "document"):
            seen = look(text, modality)
            for model in (FLASH, FLASH25, OLD):
                assert 0 <= of_seen(modality, seen, model, "developer").tokens < 10_000_000
