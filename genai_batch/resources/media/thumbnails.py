"""A reduced copy of a picture that a host can show at once; what cannot be reduced stays whole."""

import io
from typing import TYPE_CHECKING, NamedTuple

from genai_batch.resources.media.kinds import JPEG, WEBP, Kind

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 100_000
"""Bytes above which a picture is reduced, and of the largest copy."""
_PIXELS = 36_000_000
"""Of the largest picture that is opened, 4 bytes each in memory; what claims more may be made to fill it."""
_SMOOTH = frozenset({"RGB", "RGBA", "L", "LA", "CMYK"})
"""Modes whose pixels can be averaged."""
_STEPS = ((1024, 80), (768, 75), (512, 70), (384, 60), (256, 50), (64, 40))
"""Longest side in pixels and quality, tried in turn."""


class Thumbnail(NamedTuple):
    """A reduced copy, and the size of the whole in pixels."""

    content: bytes
    kind: Kind
    width: int
    height: int


def thumbnail(content: bytes) -> Thumbnail | None:
    """Reduce a picture to at most 100 kB; None where it cannot be opened, is cut off, or has too many pixels."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            if width * height > _PIXELS:
                return None
            return _reduced(picture, width, height)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def _reduced(picture: "Image", width: int, height: int) -> Thumbnail | None:
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    copy = picture if picture.mode in _SMOOTH else picture.convert(mode)
    copy.thumbnail((_STEPS[0][0], _STEPS[0][0]))  # in place: a second whole picture would be as large again
    copy = copy.convert(mode)
    kind = WEBP if mode == "RGBA" else JPEG
    for side, quality in _STEPS:
        copy.thumbnail((side, side))
        file = io.BytesIO()
        copy.save(file, "WEBP" if kind is WEBP else "JPEG", quality=quality)
        if file.tell() <= MOST:
            return Thumbnail(file.getvalue(), kind, width, height)
    return None
