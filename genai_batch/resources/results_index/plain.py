"""Result rows of the plainest shape, read through types, many at once.

`Plain` fits only a row that is ok: an answer in text, ended by STOP, with tokens of text alone. What does not fit is
looked at by `known`, and what fits neither is read exactly; what a row means is the same all three ways, which
`tests/test_index_agrees.py` holds to. This module and `runs` are all that a helping process loads.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from genai_batch.resources.tiers import LONG

UNFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_Text = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=0, le=LONG)]
"""Tokens of a plain row all cost the same."""


class _Part(Struct, gc=False):
    text: _Text
    thought: Literal[False] = False
    inlineData: None = None  # noqa: N815 - the names of these fields are the wire's
    inline_data: None = None


class _Content(Struct, gc=False):
    parts: Annotated[list[_Part], Meta(min_length=1)]


class _Candidate(Struct, gc=False):
    content: _Content
    finishReason: Literal["STOP"]  # noqa: N815
    groundingMetadata: None = None  # noqa: N815
    grounding_metadata: None = None


class _OfText(Struct, gc=False):
    modality: Literal["TEXT"]


class _Usage(Struct, gc=False):
    promptTokenCount: _Count = 0  # noqa: N815
    candidatesTokenCount: _Count = 0  # noqa: N815
    thoughtsTokenCount: _Count = 0  # noqa: N815
    cachedContentTokenCount: _Count = 0  # noqa: N815
    toolUsePromptTokenCount: Literal[0] | None = None  # noqa: N815
    promptTokensDetails: list[_OfText] | None = None  # noqa: N815
    candidatesTokensDetails: list[_OfText] | None = None  # noqa: N815


class _Response(Struct, gc=False):
    candidates: Annotated[list[_Candidate], Meta(min_length=1)]
    usageMetadata: _Usage  # noqa: N815
    promptFeedback: None = None  # noqa: N815
    embedding: None = None
    tokenCount: None = None  # noqa: N815


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
