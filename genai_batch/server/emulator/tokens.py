"""Plausible token counts: about four ASCII characters a token, one other character or so, and fixed costs for media."""

from collections import Counter
from math import ceil
from typing import Any

from .models import Model
from .wire import Object, as_list, as_object, canonical

IMAGE_OF_RESOLUTION = {"LOW": 280, "MEDIUM": 560, "HIGH": 1120}
BYTES_PER_AUDIO_TOKEN = 1500
BYTES_PER_VIDEO_TOKEN = 1000
TOKENS_OF_FILE = {"AUDIO": 1920, "VIDEO": 15780, "DOCUMENT": 2580}


def text_tokens(text: str) -> int:
    """Tokens of a text."""
    ascii_count = len(text) if text.isascii() else sum(character.isascii() for character in text)
    return ceil(ascii_count / 4 + (len(text) - ascii_count) / 1.2)


def prompt_tokens(request: Object, model: Model) -> Counter[str]:
    """Input tokens of a request by modality, whatever the kind of request."""
    counts: Counter[str] = Counter()
    contents = [*as_list(request.get("contents")), request.get("systemInstruction"), request.get("content")]
    for content in contents:
        for part in as_list(as_object(content).get("parts")):
            counts.update(_part_tokens(as_object(part), model, request))
    extra = [request.get("tools"), as_object(request.get("generationConfig")).get("responseSchema")]
    counts["TEXT"] += sum(text_tokens(canonical(value).decode()) for value in extra if value)
    return +counts


def _part_tokens(part: Object, model: Model, request: Object) -> dict[str, int]:
    if "inlineData" in part or "fileData" in part:
        blob = as_object(part.get("inlineData") or part.get("fileData"))
        return _media_tokens(blob, model, request)
    if "text" in part:
        return {"TEXT": text_tokens(part["text"])}
    return {"TEXT": text_tokens(canonical(part).decode())}


def _media_tokens(blob: Object, model: Model, request: Object) -> dict[str, int]:
    modality = modality_of(blob.get("mimeType", ""))
    size = len(blob.get("data", "")) * 3 // 4
    if modality == "IMAGE":
        return {modality: _image_tokens(model, request)}
    if modality == "TEXT":
        return {modality: ceil(size / 4) or 250}
    if not size:
        return {modality: TOKENS_OF_FILE[modality]}
    if modality == "DOCUMENT":
        return {modality: 258 * ceil(size / 50_000)}
    return {modality: ceil(size / (BYTES_PER_AUDIO_TOKEN if modality == "AUDIO" else BYTES_PER_VIDEO_TOKEN))}


def _image_tokens(model: Model, request: Object) -> int:
    if model.id.startswith("gemini-2"):
        return 258
    level: Any = as_object(request.get("generationConfig")).get("mediaResolution", "")
    return IMAGE_OF_RESOLUTION.get(str(level).rpartition("_")[2], 1120)


def modality_of(mime_type: str) -> str:
    """TEXT, IMAGE, AUDIO, VIDEO or DOCUMENT."""
    head = mime_type.partition("/")[0].upper()
    if mime_type == "application/pdf":
        return "DOCUMENT"
    return head if head in ("IMAGE", "AUDIO", "VIDEO") else "TEXT"


def details(counts: Counter[str]) -> list[Object]:
    """Counts as `promptTokensDetails` and its kind show them."""
    return [{"modality": modality, "tokenCount": count} for modality, count in sorted(counts.items())]
