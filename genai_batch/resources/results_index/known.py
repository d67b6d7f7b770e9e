"""Result rows with the other common ends: failed, blocked, cut, with pictures or sounds, embeddings.

They are read through types, which costs a fraction of reading them exactly; of the data of pictures no more
than the beginning is looked at.
"""

from codecs import getincrementaldecoder
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from genai_batch.resources.jobs import Outcome
from genai_batch.resources.outcomes import BASE64, BLOCKED, HEAD_OF_BASE64, MOST_TOKENS
from genai_batch.resources.prices import Usage
from genai_batch.resources.results_index.plain import UNFIT

_Key = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]
_Code = Annotated[int, Meta(ge=-(2**31), le=2**31)]


class _Blob(Struct, gc=False):
    data: Raw


class _Part(Struct, gc=False, rename="camel"):
    text: str = ""
    thought: bool = False
    inline_data: _Blob | None = None
    inline_data_too: None = field(name="inline_data", default=None)


class _Content(Struct, gc=False):
    parts: list[_Part] = []


class _Candidate(Struct, gc=False, rename="camel"):
    content: _Content
    finish_reason: str
    grounding_metadata: None = None
    grounding_too: None = field(name="grounding_metadata", default=None)


class _Detail(Struct, gc=False, rename="camel"):
    modality: str
    token_count: _Count = 0


class _Usage(Struct, gc=False, rename="camel"):
    prompt_token_count: _Count = 0
    candidates_token_count: _Count = 0
    thoughts_token_count: _Count = 0
    cached_content_token_count: _Count = 0
    tool_use_prompt_token_count: _Count = 0
    prompt_tokens_details: list[_Detail] = []
    candidates_tokens_details: list[_Detail] = []


class _Response(Struct, gc=False, rename="camel"):
    candidates: Annotated[list[_Candidate], Meta(min_length=1)]
    usage_metadata: _Usage = field(default_factory=_Usage)
    prompt_feedback: None = None
    embedding: None = None
    token_count: None = None


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


class _EmbeddedUsage(Struct, gc=False, rename="camel"):
    prompt_token_count: _Count = 0
    prompt_token_details: list[_Detail] = []
    thoughts_token_count: None = None
    candidates_token_count: None = None
    cached_content_token_count: None = None
    tool_use_prompt_token_count: None = None
    prompt_tokens_details: None = None
    candidates_tokens_details: None = None


class _Embedded(Struct, gc=False, rename="camel"):
    embedding: _Vector
    tokens: Annotated[str, Meta(pattern=r"\A[0-9]{1,6}\Z")] = field(name="tokenCount", default="0")
    usage_metadata: _EmbeddedUsage | None = None
    candidates: None = None
    prompt_feedback: None = None


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
    answer = row.response.candidates[0]
    if len(row.response.candidates) > 1 or any(map(_is_doubtful, answer.content.parts)):
        return None
    outcome = _outcome(answer)
    if outcome is None:
        return None
    reason, media = answer.finish_reason, any(map(_is_media, answer.content.parts))
    usage = _usage(row.response.usage_metadata)
    thinking = row.response.usage_metadata.thoughts_token_count
    return Seen(row.key, outcome, reason, None if outcome == "ok" else reason, usage, thinking, media)


def _outcome(answer: _Candidate) -> Outcome | None:
    if answer.finish_reason in BLOCKED:
        return "blocked"
    if answer.finish_reason == "MAX_TOKENS":
        return "truncated"
    says = any(part.text and not part.thought for part in answer.content.parts) or any(
        map(_is_media, answer.content.parts)
    )
    return "ok" if says and answer.finish_reason == "STOP" else None


def _is_media(part: _Part) -> bool:
    if part.thought or part.inline_data is None:
        return False
    return bytes(memoryview(part.inline_data.data)[:1]) == b'"'


def _is_doubtful(part: _Part) -> bool:
    """Whether its picture does not begin like one, as far as can be seen without decoding it."""
    if part.inline_data is None:
        return False
    head = bytes(memoryview(part.inline_data.data)[1:-1][:HEAD_OF_BASE64]).decode("ascii", "replace")
    return len(head) < 2 or not BASE64.issuperset(head.rstrip("="))


def _usage(given: _Usage) -> Usage:
    read, made = given.prompt_tokens_details, given.candidates_tokens_details
    return Usage(
        input=given.prompt_token_count + given.tool_use_prompt_token_count,
        output=given.candidates_token_count + given.thoughts_token_count,
        cached=given.cached_content_token_count,
        image_output=_of(made, "IMAGE"),
        audio_input=_of(read, "AUDIO"),
        image_input=_of(read, "IMAGE") + _of(read, "DOCUMENT"),
        video_input=_of(read, "VIDEO"),
    )


def _of(details: list[_Detail], modality: str) -> int:
    return sum(each.token_count for each in details if each.modality == modality)


def _embedded(row: Embedding) -> Seen:
    told = row.response.usage_metadata or _EmbeddedUsage()
    read = told.prompt_token_details
    usage = Usage(
        input=told.prompt_token_count or int(row.response.tokens),
        audio_input=_of(read, "AUDIO"),
        image_input=_of(read, "IMAGE") + _of(read, "DOCUMENT"),
        video_input=_of(read, "VIDEO"),
    )
    return Seen(row.key, "ok", None, None, usage, 0, media=False)
