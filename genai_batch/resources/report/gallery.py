"""Pictures and sounds of a job that fit into one page: made small, bounded together, and named when left out."""

import base64
import io
import wave
from typing import NamedTuple

from genai_batch.resources.report.text import duration

IMAGES, IMAGE_BYTES = 60, 8_000_000
"""Most pictures of a page, and their bytes as base64."""
SOUNDS, SOUND_BYTES = 24, 3_000_000
"""The same for sounds."""
SIDE = 360
"""Pixels of the longer side of a thumbnail."""
_AS_IT_IS = 40_000
"""Bytes of a picture that is shown as it came."""
_EXCERPT_S = 5
_PIXELS = 60_000_000
_IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
_SOUNDS = frozenset({"audio/wav", "audio/mpeg", "audio/mp3", "audio/ogg", "audio/aac", "audio/flac", "audio/mp4"})


class Item(NamedTuple):
    """A picture or sound as a page shows it; `note` says what was done to it."""

    kind: str
    source: str
    note: str
    width: int | None = None
    height: int | None = None
    n: int = 0
    key: str = ""


class Gallery:
    """Takes pictures and sounds until its room is used up, and counts what it did not take."""

    def __init__(self) -> None:
        """Start with none."""
        self.items: list[Item] = []
        self.left_out = 0
        self._room = {"image": [IMAGES, IMAGE_BYTES], "audio": [SOUNDS, SOUND_BYTES]}

    def of(self, kind: str) -> list[Item]:
        """The pictures, or the sounds."""
        return [item for item in self.items if item.kind == kind]

    @property
    def is_full(self) -> bool:
        """Whether nothing more is taken, of either kind."""
        return all(count <= 0 for count, _ in self._room.values())

    def offer(self, n: int, key: str, content: bytes, mime: str) -> None:
        """Show a picture or sound of row `n` if there is room for it."""
        item = self._item(content, mime.partition(";")[0].strip().lower())
        room = self._room[item.kind] if item else [0, 0]
        if item is None or room[0] <= 0 or len(item.source) > room[1]:
            self.left_out += 1
            return
        room[0] -= 1
        room[1] -= len(item.source)
        self.items.append(item._replace(n=n, key=key))

    def _item(self, content: bytes, mime: str) -> Item | None:
        if mime in _IMAGES and self._room["image"][0] > 0:
            return _picture(content, mime)
        return _sound(content, mime) if mime in _SOUNDS and self._room["audio"][0] > 0 else None


def _picture(content: bytes, mime: str) -> Item | None:
    """A picture as it came where it is small, else a thumbnail; None for what is no picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "GIF")) as image:
            width, height = image.size
            if width * height > _PIXELS:
                return None
            note = f"{width} x {height}"
            if len(content) <= _AS_IT_IS:
                return Item("image", _uri(content, mime), note, width, height)
            image.draft("RGB", (SIDE * 2, SIDE * 2))
            small = image.convert("RGBA" if image.has_transparency_data else "RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return None
    small.thumbnail((SIDE, SIDE))
    made = io.BytesIO()
    small.save(made, "WEBP", quality=80)
    return Item("image", _uri(made.getvalue(), "image/webp"), f"{note}, made small", *small.size)


def _sound(content: bytes, mime: str) -> Item | None:
    if mime != "audio/wav":
        return Item("audio", _uri(content, mime), "")
    try:
        with wave.open(io.BytesIO(content)) as sound:
            shape, rate, frames = sound.getparams(), sound.getframerate(), sound.getnframes()
            begun = sound.readframes(rate * _EXCERPT_S)
    except (wave.Error, EOFError):
        return None
    whole = duration(frames / rate)
    if frames <= rate * _EXCERPT_S:
        return Item("audio", _uri(content, mime), whole)
    made = io.BytesIO()
    with wave.open(made, "wb") as short:
        short.setparams(shape._replace(nframes=0))
        short.writeframes(begun)
    return Item("audio", _uri(made.getvalue(), mime), f"the first {_EXCERPT_S} s of {whole}")


def _uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
