"""Tokens of pictures, sounds, films and documents, by the generation of the model.

The rules were read off real counts; `tokens.toml` holds their numbers, date and source. What an inline part holds is
read from the head of its bytes (`headers`); what cannot be seen is guessed and said to be unmeasured.
"""

import re
from collections.abc import Callable
from math import ceil, floor, inf, isfinite, sqrt
from typing import Any, Literal, NamedTuple

from genai_batch.resources.models import Model
from genai_batch.resources.tokens import headers
from genai_batch.resources.tokens.coefficients import coefficients
from genai_batch.resources.tokens.declared import Provider
from genai_batch.resources.tokens.headers import Seen
from genai_batch.resources.tokens.text import of_text
from genai_batch.resources.untyped import as_object, field, is_object, number_in

Modality = Literal["image", "audio", "video", "document", "text", "file"]
"""Kinds of media; a file is one that does not say what it is."""
UNSEEN: dict[Modality, str] = {
    "video": "unseen",
    "image": "unseen_image",
    "audio": "unseen_audio",
    "document": "unseen_document",
    "text": "unseen_text",
    "file": "unseen_file",
}
"""What the tokens of a medium of unknown size are counted as."""
Resolution = Literal["low", "medium", "high", "ultra_high"]
_A4 = (595.0, 842.0)
_TEXTS = ("application/json", "application/xml", "application/x-javascript", "application/x-python", "application/rtf")
See = Callable[[str], Seen | None]
"""What is known of the file of a URI; None is nothing."""
_YOUTUBE = re.compile(
    r"(?:https?://)?(?:[a-z0-9-]+\.)*(?:youtube(?:-nocookie)?\.com|youtu\.be)(?:[:/?#]|$)", re.IGNORECASE
)


class Clip(NamedTuple):
    """The piece of a film that `video_metadata` asks for, in seconds, and the frames of a second that are looked at."""

    start: float = 0
    end: float = inf
    fps: float = 1

    def of(self, seen: Seen) -> Seen:
        """Cut what is known of a film; a piece that ends at a stated second is as long as that says, at most."""
        end = min(self.end, inf if seen.seconds is None else seen.seconds)
        seconds = max(1.0, end - self.start) if isfinite(end) else None
        return seen._replace(seconds=seconds, fps=seen.fps * self.fps)


UNCUT = Clip()


def clip_of(part: dict[str, Any]) -> Clip:
    """Read the `video_metadata` of a part; what is malformed counts as absent."""
    asked = as_object(field(part, "video_metadata"))
    if not asked:
        return UNCUT
    start, end = (_seconds(field(asked, f"{name}_offset")) for name in ("start", "end"))
    fps = number_in(field(asked, "fps"))
    return Clip(start or 0, inf if end is None else end, fps if fps and 0 < fps < inf else 1)


def _seconds(offset: object) -> float | None:
    """A protobuf duration (`"90s"`), or an object with `seconds`."""
    text = field(offset, "seconds") if is_object(offset) else offset
    number = number_in(text.strip().removesuffix("s") if isinstance(text, str) else text)
    return number if number is not None and 0 <= number < inf else None


def unseen(_: str) -> Seen | None:
    """Know no file."""
    return None


class Medium(NamedTuple):
    """What one part costs: its tokens, those of its sound apart, and whether its size was seen."""

    modality: Modality
    tokens: float
    sound: float = 0
    measured: bool = True


def of_inline(
    blob: dict[str, Any], model: Model, provider: Provider, level: Resolution | None = None, clip: Clip = UNCUT
) -> Medium:
    """Tokens of bytes that travel in the request."""
    mime, data = _mime(blob), blob.get("data")
    text = data if isinstance(data, str) else ""
    modality = modality_of(mime)
    if modality == "text":
        size = len(text) * 3 / 4
        return Medium("text", of_text(headers.as_text(text)) if size < 1 << 20 else size / 4)
    seen = headers.look(text, modality)
    return of_seen(modality, clip.of(seen) if modality == "video" else seen, model, provider, level)


def of_file(
    file: dict[str, Any],
    model: Model,
    provider: Provider,
    level: Resolution | None = None,
    see: See = unseen,
    clip: Clip = UNCUT,
) -> Medium:
    """Tokens of a file that is only named: a guess, unless `see` knows it. A link to YouTube is a film."""
    mime, uri = _mime(file), field(file, "file_uri")
    is_link = isinstance(uri, str) and is_youtube(uri)
    modality: Modality = "video" if is_link else modality_of(mime)
    if modality == "text":
        is_text = mime.startswith("text/") or mime in _TEXTS
        return Medium("text" if is_text else "file", coefficients()["media"]["text_file"], measured=False)
    seen = (see(uri) if isinstance(uri, str) else None) or Seen()
    return of_seen(modality, clip.of(seen) if modality == "video" else seen, model, provider, level)


def is_youtube(uri: str) -> bool:
    """Whether this is a link to YouTube."""
    return _YOUTUBE.match(uri.strip()) is not None


def of_seen(
    modality: Modality, seen: Seen, model: Model, provider: Provider, level: Resolution | None = None
) -> Medium:
    """Tokens of a medium of known shape; what is not known is typical."""
    typical = coefficients()["media"]
    if modality == "image":
        known = bool(seen.width and seen.height)
        return Medium("image", of_image(seen.width, seen.height, model, level), measured=known or model.era >= 2.5)
    if modality == "document":
        tokens = (seen.pages or typical["pages"]) * of_page(seen.width, seen.height, model, level)
        return Medium("document", tokens, measured=bool(seen.pages))
    seconds = seen.seconds or typical[f"{modality}_seconds"]
    sound = ceil(seconds * _audio_rate(model, provider)) if modality == "audio" or seen.sound else 0
    picture = _of_video(seconds * seen.fps, model, provider, level) if modality == "video" else 0
    if modality == "video" and model.era < 2.5:
        sound = 0
    return Medium(modality, picture + sound, sound, bool(seen.seconds))


def of_image(width: float | None, height: float | None, model: Model, level: Resolution | None = None) -> float:
    """Tokens of one picture of so many pixels."""
    rules = coefficients()["image"]
    if model.kind == "embedding":
        return rules["tile"]
    if model.era >= 3:
        return _patches(rules["budget"][level or "high"], width or 1, height or 1)
    if model.era >= 2.5 and level != "high":
        return rules["low"] if level == "low" else rules["tile"]
    if model.era < 2:
        return rules["tile"]
    return _tiles(width or 1_024, height or 1_024) * rules["tile"]


def of_page(width: float | None, height: float | None, model: Model, level: Resolution | None = None) -> float:
    """Tokens of one page of a PDF, its size in points."""
    rules = coefficients()["image"]
    if model.era >= 3:
        known = (width, height) if width and height else _A4
        return _patches(rules["budget"][level or "medium"], *known)
    return rules["tile"]


def modality_of(mime: str) -> Modality:
    """Kind of medium that a MIME type names."""
    if mime == "application/pdf":
        return "document"
    head = mime.partition("/")[0]
    return head if head in ("image", "audio", "video") else "text"


def level_of(*values: object) -> Resolution | None:
    """First media resolution that is set: `MEDIA_RESOLUTION_LOW`, or an object with a `level`."""
    for value in values:
        name = value.get("level") if isinstance(value, dict) else value  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType] - decoded JSON
        if isinstance(name, str):
            plain = name.upper().removeprefix("MEDIA_RESOLUTION_").lower()
            if plain in ("low", "medium", "high", "ultra_high"):
                return plain
    return None


def _patches(budget: float, width: float, height: float) -> float:
    ratio = min(max(width / height, 1 / 64), 64)
    return max(1, floor(sqrt(budget * ratio))) * max(1, floor(sqrt(budget / ratio)))


def _tiles(width: float, height: float) -> int:
    """Crops of 256 to 768 px, two thirds of the short side, and the whole once more; a small picture is one."""
    if max(width, height) <= 384:
        return 1
    unit = min(max(min(width, height) / 1.5, 256), 768)
    return ceil(width / unit) * ceil(height / unit) + 1


def _of_video(frames: float, model: Model, provider: Provider, level: Resolution | None) -> float:
    rules = coefficients()["video"]
    if model.era >= 3:
        rate = rules["frame_3_high"] if level in ("high", "ultra_high") else rules["frame_3"]
        return max(1, floor(frames)) * rate
    if level == "low":
        return max(1, ceil(frames)) * rules["frame_low"]
    if provider == "vertex" or model.era < 2.5:
        return max(1, floor(frames)) * rules["frame_before"]
    return max(1, ceil(frames)) * rules["frame_2_5"]


def _audio_rate(model: Model, provider: Provider) -> float:
    rates = coefficients()["audio"]
    return rates["second_2_5"] if 2.5 <= model.era < 3 and provider == "developer" else rates["second"]


def _mime(part: dict[str, Any]) -> str:
    mime = field(part, "mime_type")
    return mime.lower().partition(";")[0].strip() if isinstance(mime, str) else ""
