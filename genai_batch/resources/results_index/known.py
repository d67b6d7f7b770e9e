"""Result rows with the other common ends: failed, blocked, cut, with pictures or sounds, embeddings.

They are read through types, which costs a fraction of reading them exactly; data of pictures is not looked into.
"""

from codecs import getincrementaldecoder
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from genai_batch.resources.jobs import Outcome
from genai_batch.resources.outcomes import BLOCKED, MOST_TOKENS
from genai_batch.resources.prices import Usage
from genai_batch.resources.results_index.plain import UNFIT

_Key = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]
_Code = Annotated[int, Meta(ge=-(2**31), le=2**31)]


class _Blob(Struct, gc=False):
    data: Raw


class _Part(Struct, gc=False):
    text: str = ""
    thought: bool = False
    inlineData: _Blob | None = None  # noqa: N815
    inline_data: None = None


class _Content(Struct, gc=False):
    parts: list[_Part] = []


class _Candidate(Struct, gc=False):
    content: _Content
    finishReason: str  # noqa: N815
    groundingMetadata: None = None  # noqa: N815
    grounding_metadata: None = None


class _Detail(Struct, gc=False):
    modality: str
    tokenCount: _Count = 0  # noqa: N815


class _Usage(Struct, gc=False):
    promptTokenCount: _Count = 0  # noqa: N815
    candidatesTokenCount: _Count = 0  # noqa: N815
    thoughtsTokenCount: _Count = 0  # noqa: N815
    cachedContentTokenCount: _Count = 0  # noqa: N815
    toolUsePromptTokenCount: _Count = 0  # noqa: N815
    promptTokensDetails: list[_Detail] = []  # noqa: N815
    candidatesTokensDetails: list[_Detail] = []  # noqa: N815


class _Response(Struct, gc=False):
    candidates: Annotated[list[_Candidate], Meta(min_length=1)]
    usageMetadata: _Usage = msgspec.field(default_factory=_Usage)  # noqa: N815
    promptFeedback: None = None  # noqa: N815
    embedding: None = None
    tokenCount: None = None  # noqa: N815


class _Error(Struct, gc=False):
    code: _Code


class Known(Struct, gc=False):
    """A row with one of the common ends."""

    key: _Key
    response: _Response | UnsetType = UNSET
    error: _Error | UnsetType = UNSET
    status: None = None


class _Vector(Struct, gc=False):
    values: Annotated[list[float], Meta(min_length=1)]


class _Embedded(Struct, gc=False):
    embedding: _Vector
    tokenCount: Annotated[str, Meta(pattern=r"\A[0-9]{1,6}\Z")] = "0"  # noqa: N815
    candidates: None = None
    usageMetadata: None = None  # noqa: N815
    promptFeedback: None = None  # noqa: N815


class Embedding(Struct, gc=False):
    """A row that holds an embedding."""

    key: _Key
    response: _Embedded
    error: None = None
    status: None = None


class Seen(NamedTuple):
    """What a row of a common shape amounts to."""

    key: str
    outcome: Outcome
    finish_reason: str | None
    why: str | None
    usage: Usage
    thinking: int
    media: bool


_decode_known = msgspec.json.Decoder(Known).decode
_decode_embedding = msgspec.json.Decoder(Embedding).decode
_NOTHING = Usage()
_AT_ONCE = 64 * 1024


def see(line: bytes | memoryview) -> Seen | None:
    """Judge a row of a common shape; None for any other, and for one that is not UTF-8."""
    try:
        _need_text(line)
        return judge(_decode_known(line))
    except UnicodeDecodeError:
        return None
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        return _embedded(_decode_embedding(line))
    except UNFIT:
        return None


def _need_text(line: bytes | memoryview) -> None:
    """Refuse what is not UTF-8, without decoding all of it at once."""
    if isinstance(line, bytes) and line.isascii():
        return
    decoder = getincrementaldecoder("utf-8")()
    for at in range(0, len(line), _AT_ONCE):
        decoder.decode(line[at : at + _AT_ONCE], final=at + _AT_ONCE >= len(line))


def judge(row: Known) -> Seen | None:
    """Judge a row that has one of the common ends; None where that takes more than its type tells."""
    if row.response is UNSET:
        if row.error is UNSET:
            return None
        return Seen(row.key, "error", None, str(row.error.code), _NOTHING, 0, media=False)
    if row.error is not UNSET:
        return None
    if len(row.response.candidates) > 1:
        return None
    answer = row.response.candidates[0]
    outcome = _outcome(answer)
    if outcome is None:
        return None
    reason, media = answer.finishReason, any(map(_is_media, answer.content.parts))
    usage = _usage(row.response.usageMetadata)
    thinking = row.response.usageMetadata.thoughtsTokenCount
    return Seen(row.key, outcome, reason, None if outcome == "ok" else reason, usage, thinking, media)


def _outcome(answer: _Candidate) -> Outcome | None:
    if answer.finishReason in BLOCKED:
        return "blocked"
    if answer.finishReason == "MAX_TOKENS":
        return "truncated"
    says = any(part.text and not part.thought for part in answer.content.parts) or any(
        map(_is_media, answer.content.parts)
    )
    return "ok" if says and answer.finishReason == "STOP" else None


def _is_media(part: _Part) -> bool:
    if part.thought or part.inlineData is None:
        return False
    data = memoryview(part.inlineData.data)
    return len(data) > 2 and data[0] == ord('"')


def _usage(given: _Usage) -> Usage:
    read, made = given.promptTokensDetails, given.candidatesTokensDetails
    return Usage(
        input=given.promptTokenCount + given.toolUsePromptTokenCount,
        output=given.candidatesTokenCount + given.thoughtsTokenCount,
        cached=given.cachedContentTokenCount,
        image_output=_of(made, "IMAGE"),
        audio_input=_of(read, "AUDIO"),
        image_input=_of(read, "IMAGE") + _of(read, "DOCUMENT"),
        video_input=_of(read, "VIDEO"),
    )


def _of(details: list[_Detail], modality: str) -> int:
    return sum(each.tokenCount for each in details if each.modality == modality)


def _embedded(row: Embedding) -> Seen:
    usage = Usage(input=int(row.response.tokenCount))
    return Seen(row.key, "ok", None, None, usage, 0, media=False)
