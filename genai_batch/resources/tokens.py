"""How many tokens a request will cost, counted offline.

Text is counted by character class: four ASCII characters, 1.1 CJK characters or two of any other script are about one
token, and each turn costs one more. The count is right within `SPREAD` for English prose; JSON, digits and scripts
beyond Latin and CJK stray further. Media follow Gemini's published fixed rates. Nothing is sent anywhere.
"""

import re
from collections.abc import Iterable
from typing import Any

from genai_batch.resources.models import Model
from genai_batch.resources.untyped import as_object, is_list, is_object

SPREAD = 0.25
"""Share by which a file's real count may differ from the estimate, either way."""

_CJK = re.compile("[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_OTHER = re.compile("[^\x00-\x7f\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_AUDIO_BYTES_PER_S = 16_000
_VIDEO_BYTES_PER_S = 250_000
_PDF_BYTES_PER_PAGE = 50_000


def of_text(text: str) -> float:
    """Tokens of a piece of text."""
    if text.isascii():
        return len(text) / 4
    cjk, other = len(_CJK.findall(text)), len(_OTHER.findall(text))
    return (len(text) - cjk - other) / 4 + cjk / 1.1 + other / 2


def of_request(request: dict[str, Any], model: Model) -> float:
    """Tokens of all a request sends: every turn, the system instruction, the schema and the tools."""
    system = request.get("system_instruction") or request.get("systemInstruction")
    contents = request.get("contents") or request.get("content")
    turns = [*(contents if is_list(contents) else [contents] if contents else []), *([system] if system else [])]
    return sum(1 + sum(_of_part(part, model) for part in _parts(turn)) for turn in turns) + sum(_declared(request))


def _parts(turn: Any) -> Iterable[Any]:
    parts = turn.get("parts", []) if is_object(turn) else [turn]
    return parts if is_list(parts) else [parts]


def _of_part(part: Any, model: Model) -> float:
    if isinstance(part, str):
        return of_text(part)
    if not is_object(part):
        return 0
    if isinstance(text := part.get("text"), str):
        return of_text(text)
    for name in ("inline_data", "inlineData", "file_data", "fileData"):
        if is_object(media := part.get(name)):
            return _of_media(media, model)
    return of_text(str(part))


def _of_media(media: dict[str, Any], model: Model) -> float:
    mime = str(media.get("mime_type") or media.get("mimeType") or "")
    size = len(str(media.get("data") or "")) * 3 / 4
    era3 = model.era >= 3
    if mime.startswith("image/"):
        return 1_120 if era3 else 258
    if mime == "application/pdf":
        return (532 if era3 else 258) * max(1.0, size / _PDF_BYTES_PER_PAGE)
    if mime.startswith("audio/"):
        return (25 if era3 else 32) * max(1.0, size / _AUDIO_BYTES_PER_S)
    if mime.startswith("video/"):
        return (91 if era3 else 295) * max(1.0, size / _VIDEO_BYTES_PER_S)
    return size / 4


def _declared(request: dict[str, Any]) -> Iterable[float]:
    settings = as_object(request.get("generation_config") or request.get("generationConfig"))
    for name in ("response_schema", "responseSchema", "response_json_schema", "responseJsonSchema"):
        if name in settings:
            yield of_text(str(settings[name]))
    if tools := request.get("tools"):
        yield of_text(str(tools))
