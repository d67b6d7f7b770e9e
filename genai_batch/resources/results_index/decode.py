"""Reading result rows: through types where their form is common, exactly where it is not.

`Plain` fits only a row that is ok: an answer in text, ended by STOP, with tokens of text alone; such rows are read many
at once. The other common ends (failed, blocked, cut, with pictures or sounds, embeddings) fit `_Common` and
`_Embedding`. A row that fits none is read exactly. What a row means is the same every way, which
`tests/test_index_agrees.py` holds to.
"""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from genai_batch.resources import outcomes
from genai_batch.resources.jobs import Outcome
from genai_batch.resources.lines import whole_pairs
from genai_batch.resources.outcomes import BASE64, BLOCKED, HEAD_OF_BASE64, LOOP, MOST_TOKENS
from genai_batch.resources.prices import Usage
from genai_batch.resources.repetition import INK, is_blank, repeats_itself
from genai_batch.resources.tiers import LONG
from genai_batch.resources.untyped import as_object, is_object

_UNFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_UTF8_BLOCK = 64 * 1024
_Text = Annotated[str, Meta(min_length=1)]
_Seen = Annotated[str, Meta(pattern=INK)]
_TextTokens = Annotated[int, Meta(ge=0, le=LONG)]
"""Tokens of a plain row all cost the same."""
_Tokens = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]
_Code = Annotated[int, Meta(ge=-(2**31), le=2**31)]


class Facts(NamedTuple):
    """What a row amounts to; `key` is empty where it has none that counts."""

    key: str
    outcome: Outcome
    finish_reason: str | None
    error_code: str | None
    usage: Usage
    thinking: int
    media: bool
    response: dict[str, Any] | None = None
    """The decoded response where the row was read exactly: it may tell of searches, which cost a fee."""
    tiers: tuple[str | None, str | None] = (None, None)
    """The words for the service tiers at which it was asked for and served, where it says so."""


class _PlainPart(Struct, gc=False, rename="camel"):
    text: _Seen
    thought: Literal[False] = False
    inline_data: None = None
    inline_data_too: None = field(name="inline_data", default=None)


class _PlainContent(Struct, gc=False):
    parts: Annotated[list[_PlainPart], Meta(min_length=1)]


class _PlainCandidate(Struct, gc=False, rename="camel"):
    content: _PlainContent
    finish_reason: Literal["STOP"]
    grounding_metadata: None = None
    grounding_too: None = field(name="grounding_metadata", default=None)


class _OfText(Struct, gc=False):
    modality: Literal["TEXT"]


class PlainUsage(Struct, gc=False, rename="camel"):
    """Counts of tokens of a plain row."""

    prompt_token_count: _TextTokens = 0
    candidates_token_count: _TextTokens = 0
    thoughts_token_count: _TextTokens = 0
    cached_content_token_count: _TextTokens = 0
    tool_use_prompt_token_count: Literal[0] | None = None
    prompt_tokens_details: list[_OfText] | None = None
    candidates_tokens_details: list[_OfText] | None = None
    service_tier: _Text | None = None


class _PlainResponse(Struct, gc=False, rename="camel"):
    candidates: Annotated[list[_PlainCandidate], Meta(min_length=1)]
    usage_metadata: PlainUsage
    prompt_feedback: None = None
    embedding: None = None
    token_count: None = None


class Plain(Struct, gc=False):
    """A row that is ok, of the plainest form."""

    key: _Text
    response: _PlainResponse
    error: None = None
    status: None = None
    service_tier: _Text | None = None
    asked_tier: _Text | None = None


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
    token_count: _Tokens = 0


class _Usage(Struct, gc=False, rename="camel"):
    prompt_token_count: _Tokens = 0
    candidates_token_count: _Tokens = 0
    thoughts_token_count: _Tokens = 0
    cached_content_token_count: _Tokens = 0
    tool_use_prompt_token_count: _Tokens = 0
    prompt_tokens_details: list[_Detail] = []
    candidates_tokens_details: list[_Detail] = []
    service_tier: _Text | None = None


class _Response(Struct, gc=False, rename="camel"):
    candidates: Annotated[list[_Candidate], Meta(min_length=1)]
    usage_metadata: _Usage = field(default_factory=_Usage)
    prompt_feedback: None = None
    embedding: None = None
    token_count: None = None


class _Error(Struct, gc=False):
    code: _Code


class _Common(Struct, gc=False):
    key: _Text
    response: _Response | UnsetType = UNSET
    error: _Error | UnsetType = UNSET
    status: None = None
    service_tier: _Text | None = None
    asked_tier: _Text | None = None


class _Vector(Struct, gc=False):
    values: Annotated[list[float], Meta(min_length=1)]


class _EmbeddingUsage(Struct, gc=False, rename="camel"):
    prompt_token_count: _Tokens = 0
    prompt_token_details: list[_Detail] = []
    thoughts_token_count: None = None
    candidates_token_count: None = None
    cached_content_token_count: None = None
    tool_use_prompt_token_count: None = None
    prompt_tokens_details: None = None
    candidates_tokens_details: None = None
    service_tier: None = None


class _EmbeddingResponse(Struct, gc=False, rename="camel"):
    embedding: _Vector
    tokens: Annotated[str, Meta(pattern=r"\A[0-9]{1,6}\Z")] = field(name="tokenCount", default="0")
    usage_metadata: _EmbeddingUsage | None = None
    candidates: None = None
    prompt_feedback: None = None


class _Embedding(Struct, gc=False):
    key: _Text
    response: _EmbeddingResponse
    error: None = None
    status: None = None
    service_tier: None = None
    asked_tier: None = None


class _Keyed(Struct, gc=False):
    key: str


_decode_plain = msgspec.json.Decoder(Plain).decode
_decode_common = msgspec.json.Decoder(_Common).decode
_decode_embedding = msgspec.json.Decoder(_Embedding).decode
_decode_keyed = msgspec.json.Decoder(_Keyed).decode
_decode = msgspec.json.Decoder().decode
_decode_far = msgspec.json.Decoder(float_hook=float).decode
_KEY_FIRST = (b'{"key":"', b'{"key": "')


def read_plain(lines: list[bytes]) -> tuple[list[Plain], list[int]]:
    """Read the rows that are plain, and return the places of the lines that are not."""
    odd: list[int] = []
    if not all(map(bytes.isascii, lines)):
        lines = [line if _is_utf8(line) else b"" for line in lines]
    rows: list[Plain] = []
    rest = map(_decode_plain, lines)
    while len(rows) + len(odd) < len(lines):
        try:
            rows.extend(rest)
        except _UNFIT:  # what was read before it is in the list
            odd.append(len(rows) + len(odd))
    return rows, odd


def facts_of(line: bytes | memoryview) -> Facts | None:
    """Judge one row of any form; None for what is no JSON object."""
    if facts := read_common(line):
        return facts
    if (row := read_row(bytes(line))) is None:
        return None
    verdict = outcomes.judge(row)
    error = outcomes.error(row, verdict)
    response = as_object(row.get("response"))
    return Facts(
        key=verdict.key or "",
        outcome=verdict.outcome,
        finish_reason=verdict.finish_reason,
        error_code=str(error.code) if error else None,
        usage=verdict.usage,
        thinking=verdict.thinking,
        media=bool(outcomes.media(response)),
        response=response,
        tiers=outcomes.tiers(row),
    )


def read_common(line: bytes | memoryview) -> Facts | None:
    """Judge a row of a common form; None for any other, and for one that is not UTF-8.

    Of the data of pictures no more than the beginning is looked at.
    """
    if not _is_utf8(line):
        return None
    try:
        return _judge(_decode_common(line))
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        return _judge_embedding(_decode_embedding(line))
    except _UNFIT:
        return None


def read_row(line: bytes) -> dict[str, Any] | None:
    """Decode a row as it came; what is no object reads as None.

    Half a surrogate pair, and a byte that is not UTF-8, read as a replacement character: the rest was paid for.
    """
    try:
        row = _decode(line)
    except _UNFIT:
        row = _read_leniently(line)
    return row if is_object(row) else None


def request_keys(lines: list[bytes]) -> list[str]:
    """The key of each line of requests, which were found good when they were sent.

    Where all lines begin with it and no key has an escape, it is cut out without reading the rest.
    """
    beginning = next((beginning for beginning in _KEY_FIRST if lines[0].startswith(beginning)), None)
    if beginning:
        size = len(beginning)
        keys = [line[size : line.index(b'"', size)] for line in lines if line.startswith(beginning)]
        joined = b"\n".join(keys)
        if len(keys) == len(lines) and b"\\" not in joined:
            return joined.decode().split("\n")
    return [_decode_keyed(line).key for line in lines]


def _read_leniently(line: bytes) -> Any:
    for text in _spellings(line):
        with suppress(*_UNFIT):
            return _decode_far(text)
    return None


def _spellings(line: bytes) -> Iterator[bytes]:
    yield line
    whole = whole_pairs(line)
    yield whole
    yield whole.decode(errors="replace").encode()


def _is_utf8(line: bytes | memoryview) -> bool:
    """Whether it is UTF-8, without decoding all of a long line at once."""
    if isinstance(line, bytes) and line.isascii():
        return True
    decoder = getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(line), _UTF8_BLOCK):
            decoder.decode(line[at : at + _UTF8_BLOCK], final=at + _UTF8_BLOCK >= len(line))
    except UnicodeDecodeError:
        return False
    return True


def _judge(row: _Common) -> Facts | None:
    """Judge a row that has one of the common ends; None where that takes more than its type tells."""
    if row.response is UNSET:
        if row.error is UNSET:
            return None
        return Facts(row.key, "error", None, str(row.error.code), Usage(), 0, media=False)
    candidates = row.response.candidates
    answer = candidates[0]
    if row.error is not UNSET or len(candidates) > 1 or any(map(_is_doubtful, answer.content.parts)):
        return None
    if (outcome := _outcome(answer)) is None:
        return None
    reason, media = answer.finish_reason, any(map(_is_media, answer.content.parts))
    usage = _usage(row.response.usage_metadata)
    thinking = row.response.usage_metadata.thoughts_token_count
    code = None if outcome == "ok" else reason
    if outcome == "truncated" and repeats_itself(_text(answer)):
        code = LOOP
    tiers = row.asked_tier, row.service_tier or row.response.usage_metadata.service_tier
    return Facts(row.key, outcome, reason, code, usage, thinking, media, None, tiers)


def _outcome(answer: _Candidate) -> Outcome | None:
    if answer.finish_reason in BLOCKED:
        return "blocked"
    if answer.finish_reason == "MAX_TOKENS":
        return "truncated"
    parts = answer.content.parts
    has_content = any(not part.thought and not is_blank(part.text) for part in parts) or any(map(_is_media, parts))
    return "ok" if has_content and answer.finish_reason == "STOP" else None


def _text(answer: _Candidate) -> str:
    return "".join(part.text for part in answer.content.parts if not part.thought)


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


def _usage(tokens: _Usage) -> Usage:
    asked, written = tokens.prompt_tokens_details, tokens.candidates_tokens_details
    return Usage(
        input=tokens.prompt_token_count + tokens.tool_use_prompt_token_count,
        output=tokens.candidates_token_count + tokens.thoughts_token_count,
        cached=tokens.cached_content_token_count,
        image_output=_of(written, "IMAGE"),
        audio_input=_of(asked, "AUDIO"),
        image_input=_of(asked, "IMAGE") + _of(asked, "DOCUMENT"),
        video_input=_of(asked, "VIDEO"),
    )


def _of(details: list[_Detail], modality: str) -> int:
    return sum(detail.token_count for detail in details if detail.modality == modality)


def _judge_embedding(row: _Embedding) -> Facts:
    tokens = row.response.usage_metadata or _EmbeddingUsage()
    asked = tokens.prompt_token_details
    usage = Usage(
        input=tokens.prompt_token_count or int(row.response.tokens),
        audio_input=_of(asked, "AUDIO"),
        image_input=_of(asked, "IMAGE") + _of(asked, "DOCUMENT"),
        video_input=_of(asked, "VIDEO"),
    )
    return Facts(row.key, "ok", None, None, usage, 0, media=False)
