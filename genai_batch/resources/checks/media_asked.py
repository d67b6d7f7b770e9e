"""Whether an answer holds the picture or the speech that its request asked for."""

from typing import Any

import msgspec
from msgspec import Struct, field

from genai_batch.resources import outcomes
from genai_batch.resources.answers import brief, short
from genai_batch.resources.checks.answered import MESSAGE
from genai_batch.resources.models import ModelKind

NO_IMAGE, NO_AUDIO = "no_image", "no_audio"
_EXCERPT = 120
_BY_MODALITY = {"IMAGE": NO_IMAGE, "AUDIO": NO_AUDIO}
_BY_MODEL: dict[ModelKind, str] = {"image": NO_IMAGE, "speech": NO_AUDIO}
_NAMES = {NO_IMAGE: "a picture", NO_AUDIO: "speech"}


class _Settings(Struct):
    modalities: Any = field(default=None, name="response_modalities")
    modalities_camel: Any = field(default=None, name="responseModalities")


class _Request(Struct):
    settings: _Settings | None = field(default=None, name="generation_config")
    settings_camel: _Settings | None = field(default=None, name="generationConfig")


class _Line(Struct):
    request: _Request


_decode = msgspec.json.Decoder(_Line).decode


def absent(response: dict[str, Any], request: bytes, kind: ModelKind) -> tuple[str, str] | None:
    """Return the code and the message of a medium that was asked for and did not come; None where nothing lacks.

    A request that names no modalities asks for what a model of its `kind` makes.
    """
    if outcomes.media(response) or (code := _asked(request, kind)) is None:
        return None
    text = brief((outcomes.text(response) or "").strip(), _EXCERPT)
    came = f"only a text came: {text!r}" if text else "none came"
    return code, short(f"The request asks for {_NAMES[code]} and {came}. Send it again, or change the prompt.", MESSAGE)


def _asked(request: bytes, kind: ModelKind) -> str | None:
    """Return the code for the medium that a line of requests asks for."""
    try:
        settings = (line := _decode(request).request).settings or line.settings_camel
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    modalities = settings and (settings.modalities or settings.modalities_camel)
    if not modalities:
        return _BY_MODEL.get(kind)
    named = {str(name).upper() for name in modalities} if isinstance(modalities, list) else set[str]()  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - a list of anything
    return next((code for modality, code in _BY_MODALITY.items() if modality in named), None)
