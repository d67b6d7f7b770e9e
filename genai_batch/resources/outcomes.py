"""What a result row means: its key, its outcome, its tokens, its content. Rows are taken as they come, in either shape.

A file row is `{"key", "response" | "error"}`, an inline row `{"metadata": {"key"}, "response" | "error"}`; small file
jobs may come back inline. Zero counters are left out on the wire, error codes come as numbers or names.
"""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import msgspec
from pydantic import Field

from genai_batch.resources.answers import Answer, short
from genai_batch.resources.jobs import Outcome
from genai_batch.resources.lines import MAX_KEY
from genai_batch.resources.prices import Usage as PricedUsage
from genai_batch.resources.repetition import is_blank, repeats_itself
from genai_batch.resources.untyped import as_list, as_object, is_object

BLOCKED = frozenset({
    "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "LANGUAGE",
    "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
})  # fmt: skip
LOOP = "loop"
"""Code of an answer that repeats itself until it is cut."""
HEAD_OF_BASE64 = 64
"""Characters of a picture that are looked at where it is not decoded."""
BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
"""What data of a picture or sound begins with, in either alphabet."""
MOST_TOKENS = 10**9
"""A counter says no more than this."""
_RETRYABLE = frozenset({
    4, 8, 10, 13, 14, 408, 429, 500, 502, 503, 504,
    "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL", "UNAVAILABLE",
})  # fmt: skip


class RowError(Answer):
    """Why a row has no usable answer.

    `code` is Gemini's number or name; `retryable` rows may succeed when sent again.
    """

    code: int | str
    message: str
    retryable: bool


class Tokens(Answer):
    """Tokens of one answer. Thinking is billed as output; cached tokens are part of the input."""

    input_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int | None = None
    cached_tokens: int | None = None


class Media(Answer):
    """A picture or sound of a result."""

    uri: str
    mime_type: str
    path: Annotated[str | None, Field(description="File, once decoded")] = None


class Verdict(NamedTuple):
    """What a row amounts to."""

    key: str | None
    outcome: Outcome
    finish_reason: str | None
    usage: PricedUsage
    thinking: int


def judge(row: dict[str, Any]) -> Verdict:
    """Classify a decoded row."""
    response = as_object(row.get("response"))
    outcome, reason = _worst(row, response)
    usage, thinking = _usage(response)
    return Verdict(key_of(row), outcome, reason, usage, thinking)


def key_of(row: dict[str, Any]) -> str | None:
    """Find the key of a row; its place in the file is never used instead."""
    key = row.get("key", as_object(row.get("metadata")).get("key"))
    return key if isinstance(key, str) and key and len(key.encode()) <= MAX_KEY else None


_LABELS = ("id", "key", "custom_id", "customId", "name")


def label_of(row: dict[str, Any]) -> str | None:
    """Name a row without a key by its own metadata: by a member that is an id, or the only one, else by all of it."""
    metadata = as_object(row.get("metadata"))
    named = next((name for name in _LABELS if metadata.get(name) not in (None, "")), None)
    if named is None and len(metadata) == 1:
        named = next(iter(metadata))
    value = metadata if named is None else metadata[named]
    if value in (None, "", {}):
        return None
    label = value if isinstance(value, str) else msgspec.json.encode(value, order="deterministic").decode()
    return label if len(label.encode()) <= MAX_KEY else None


def parts(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of the answer, without the model's thoughts."""
    for part in as_list(as_object(_candidate(response).get("content")).get("parts")):
        if is_object(part) and not part.get("thought"):
            yield part


def text(response: dict[str, Any]) -> str | None:
    """Join the text of the answer."""
    texts = [part["text"] for part in parts(response) if isinstance(part.get("text"), str)]
    return "".join(texts) if texts else None


def media(response: dict[str, Any]) -> list[dict[str, Any]]:
    """List the inline pictures and sounds: `{mimeType, data}` with base64 data."""
    found = (part.get("inlineData") or part.get("inline_data") for part in parts(response))
    return [blob for blob in found if is_object(blob) and _begins_well(blob.get("data"))]


def tiers(row: dict[str, Any]) -> tuple[str | None, str | None]:
    """The words for the service tiers at which a row was asked for and served; None where it does not say so."""
    usage = as_object(as_object(row.get("response")).get("usageMetadata"))
    return _word(row.get("asked_tier")), _word(row.get("service_tier")) or _word(usage.get("serviceTier"))


def error(row: dict[str, Any], verdict: Verdict) -> RowError | None:
    """Say why the row is not ok."""
    if verdict.outcome == "ok":
        return None
    if given := _error(row):
        code = given.get("code", given.get("status"))
        code = code if isinstance(code, int) else short(code, 60) if isinstance(code, str) else "error"
        return RowError(code=code, message=short(str(given.get("message", "")), 400), retryable=code in _RETRYABLE)
    response = as_object(row.get("response"))
    if verdict.outcome == "truncated" and is_loop(response):
        return RowError(code=LOOP, message=_LOOPS, retryable=False)
    feedback = as_object(response.get("promptFeedback"))
    code = feedback.get("blockReason") or verdict.finish_reason or "NO_CANDIDATE"
    said = feedback.get("blockReasonMessage") or _candidate(response).get("finishMessage") or _SAID[verdict.outcome]
    return RowError(
        code=short(str(code), 60), message=short(str(said), 400), retryable=verdict.outcome in ("empty", "error")
    )


def is_loop(response: dict[str, Any]) -> bool:
    """Whether an answer that was cut repeats itself; of several the first that was cut counts."""
    candidates = [candidate for candidate in as_list(response.get("candidates")) if is_object(candidate)]
    cut = next((candidate for candidate in candidates if candidate.get("finishReason") == "MAX_TOKENS"), None)
    return cut is not None and repeats_itself(text({"candidates": [cut]}) or "")


_LOOPS = (
    "The answer is a loop: it repeats itself until it is cut, and more room would hold more of the same. "
    "Change the prompt, raise the temperature or set a frequency_penalty, or take another model."
)
_SAID: dict[Outcome, str] = {
    "truncated": "The answer reached max_output_tokens and is cut; run it again with a larger one.",
    "blocked": "Gemini blocked the prompt or the answer.",
    "empty": "The answer has no content.",
    "error": "The answer did not end in an ordinary way.",
    "missing": "No answer came back for this key.",
}
MISSING = RowError(code="missing", message=_SAID["missing"], retryable=True)


def _worst(row: dict[str, Any], response: dict[str, Any]) -> tuple[Outcome, str | None]:
    """How the answer ended, or the first of several that did not end well: a row is ok only if all of them are."""
    reason = _reason(response)
    outcome = _outcome(row, response, reason)
    for candidate in as_list(response.get("candidates"))[1:] if outcome == "ok" else ():
        other = {"candidates": [candidate]}
        if (ended := _outcome(row, other, why := _reason(other))) != "ok":
            return ended, why
    return outcome, reason


def _outcome(row: dict[str, Any], response: dict[str, Any], reason: str | None) -> Outcome:
    if _error(row) or not is_object(row.get("response")):
        return "error"
    if as_object(response.get("embedding")).get("values"):
        return "ok"
    if as_object(response.get("promptFeedback")).get("blockReason") or reason in BLOCKED:
        return "blocked"
    if reason == "MAX_TOKENS":
        return "truncated"
    if not any(_says_something(part) for part in parts(response)):
        return "empty" if reason in (None, "STOP") else "error"
    return "ok" if reason == "STOP" else "error"


def _says_something(part: dict[str, Any]) -> bool:
    return any(_is_content(name, value) for name, value in part.items() if name != "thoughtSignature")


def _is_content(name: str, value: Any) -> bool:
    if name in ("inlineData", "inline_data"):
        return is_object(value) and _begins_well(value.get("data"))
    if name == "text" and isinstance(value, str):
        return not is_blank(value)
    return value not in (None, "", {}, [])


def _begins_well(data: Any) -> bool:
    """Whether data may be base64: a picture that is none is no answer."""
    return isinstance(data, str) and len(data) > 1 and BASE64.issuperset(data[:HEAD_OF_BASE64].rstrip("="))


def _error(row: dict[str, Any]) -> dict[str, Any] | None:
    for given in (row.get("error"), row.get("status")):
        if is_object(given) and given:
            return given
        if isinstance(given, str) and given:
            return {"message": given}
    return None


def _candidate(response: dict[str, Any]) -> dict[str, Any]:
    candidates = as_list(response.get("candidates"))
    return as_object(candidates[0]) if candidates else {}


def _reason(response: dict[str, Any]) -> str | None:
    reason = _candidate(response).get("finishReason")
    return short(reason, 60) if isinstance(reason, str) else None


def _usage(response: dict[str, Any]) -> tuple[PricedUsage, int]:
    given = as_object(response.get("usageMetadata"))
    thinking = _count(given.get("thoughtsTokenCount"))
    asked = _count(given.get("promptTokenCount")) or _count(response.get("tokenCount"))
    read = given.get("promptTokensDetails") or given.get("promptTokenDetails")  # the latter of embeddings
    made = given.get("candidatesTokensDetails")
    usage = PricedUsage(
        input=asked + _count(given.get("toolUsePromptTokenCount")),
        output=_count(given.get("candidatesTokenCount")) + thinking,
        cached=_count(given.get("cachedContentTokenCount")),
        image_output=_of(made, "IMAGE"),
        audio_input=_of(read, "AUDIO"),
        image_input=_of(read, "IMAGE") + _of(read, "DOCUMENT"),
        video_input=_of(read, "VIDEO"),
    )
    return usage, thinking


def _of(details: Any, modality: str) -> int:
    """Tokens of one modality in a list of them."""
    found = (as_object(each) for each in as_list(details) if details)
    return sum(_count(each.get("tokenCount")) for each in found if each.get("modality") == modality)


def _word(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return None if value is None else str(value)[:60]


def _count(value: Any) -> int:
    """Read a counter: absent means zero, int64 comes as a string, and what no answer can take counts as the most."""
    if isinstance(value, str) and value.isdecimal():
        return MOST_TOKENS if len(value) > 10 else min(int(value), MOST_TOKENS)
    return min(max(0, value), MOST_TOKENS) if isinstance(value, int) else 0
