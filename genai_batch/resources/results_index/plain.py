"""Result rows of the plainest shape, read through types, many at once.

`Plain` fits only a row that is ok: an answer in text, ended by STOP, with tokens of text alone. What does not fit is
looked at by `known`, and what fits neither is read exactly; what a row means is the same all three ways, which
`tests/test_index_agrees.py` holds to. This module and `runs` are all that a helping process loads.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from genai_batch.resources.tiers import LONG

UNFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_Text = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=0, le=LONG)]
"""Tokens of a plain row all cost the same."""


class _Part(Struct, gc=False, rename="camel"):
    text: _Text
    thought: Literal[False] = False
    inline_data: None = None
    inline_data_too: None = field(name="inline_data", default=None)


class _Content(Struct, gc=False):
    parts: Annotated[list[_Part], Meta(min_length=1)]


class _Candidate(Struct, gc=False, rename="camel"):
    content: _Content
    finish_reason: Literal["STOP"]
    grounding_metadata: None = None
    grounding_too: None = field(name="grounding_metadata", default=None)


class _OfText(Struct, gc=False):
    modality: Literal["TEXT"]


class _Usage(Struct, gc=False, rename="camel"):
    prompt_token_count: _Count = 0
    candidates_token_count: _Count = 0
    thoughts_token_count: _Count = 0
    cached_content_token_count: _Count = 0
    tool_use_prompt_token_count: Literal[0] | None = None
    prompt_tokens_details: list[_OfText] | None = None
    candidates_tokens_details: list[_OfText] | None = None


class _Response(Struct, gc=False, rename="camel"):
    candidates: Annotated[list[_Candidate], Meta(min_length=1)]
    usage_metadata: _Usage
    prompt_feedback: None = None
    embedding: None = None
    token_count: None = None


class Plain(Struct, gc=False):
    """A row that is ok."""

    key: _Text
    response: _Response
    error: None = None
    status: None = None


_decode = msgspec.json.Decoder(Plain).decode


def read(lines: list[bytes]) -> tuple[list[Plain], list[int]]:
    """Read what is plain, and say which lines are not."""
    odd: list[int] = []
    if not all(map(bytes.isascii, lines)):
        lines = [line if _is_text(line) else b"" for line in lines]
    rows: list[Plain] = []
    rest = map(_decode, lines)
    while len(rows) + len(odd) < len(lines):
        try:
            rows.extend(rest)
        except UNFIT:  # what was read before it is in the list
            odd.append(len(rows) + len(odd))
    return rows, odd


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
