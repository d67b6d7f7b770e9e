"""What a reply means for its item: a row, a row with an error, another try, a pause for all, or the end of the run.

What a refusal is says the table in `refusals`, which all lanes share.
"""

from typing import Any, Literal, NamedTuple

import msgspec

from genai_batch.resources.answers import short
from genai_batch.resources.redaction import redact_bytes
from genai_batch.resources.untyped import as_list, as_object
from genai_batch.tools.lanes.live.caller import NoReply, Reply
from genai_batch.tools.lanes.live.tiers import Served
from genai_batch.tools.lanes.refusals import Kind as RefusalKind
from genai_batch.tools.lanes.refusals import classify, page_title

Kind = Literal["row", "refused", "again", "quota", "stop"]
Return = Literal["resume", "later", "day"]
_LONG_S = 600
"""A pause of this length is none: the run ends until then."""
_VERDICTS: dict[RefusalKind, Kind] = {
    "key": "stop",
    "day": "stop",
    "pace": "quota",
    "room": "quota",
    "object": "refused",
    "row": "refused",
    "passing": "again",
}
_NAMES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


class Tokens(NamedTuple):
    """Tokens of answers: asked (cached ones too), written with thoughts, cached."""

    asked: int = 0
    written: int = 0
    cached: int = 0


class Verdict(NamedTuple):
    """What is to be done.

    `body` is what the row will hold: the response, or for all other kinds the error object. `reason` is the error in
    words; `advice_s` how long to wait, as the provider says; `window_s` the time in which it counts calls; `comes` when
    a run that has to stop goes on; `is_heard` whether the provider answered at all, `is_page` whether an HTML page came
    as if it were an answer, `is_full` whether the provider has no room; `served` is what it says of the service tier;
    `may_be_billed` whether the request may have been answered, though nothing of that came.
    """

    kind: Kind
    body: bytes
    reason: str = ""
    advice_s: float | None = None
    window_s: float = 1.0
    comes: Return = "resume"
    tokens: Tokens = Tokens()
    is_heard: bool = True
    is_page: bool = False
    may_be_billed: bool = False
    is_full: bool = False
    served: Served = Served()


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0
    cached_content_token_count: int = 0
    service_tier: str = ""


_NOTHING = msgspec.Raw(b"null")


class _Seen(msgspec.Struct, rename="camel"):
    error: msgspec.Raw = _NOTHING
    usage_metadata: msgspec.Raw = _NOTHING


_USAGE = msgspec.json.Decoder(_Usage)
_SEEN = msgspec.json.Decoder(_Seen)


def judge(reply: Reply | NoReply) -> Verdict:
    """Tell what a reply means."""
    if isinstance(reply, NoReply):
        if reply.is_lasting:
            return Verdict("stop", _error(503, f"{reply}"), f"{reply}", is_heard=False)
        code = 504 if reply.late else 503
        error = _error(code, f"Gemini could not be reached: {reply}")
        return Verdict("again", error, f"{reply}", is_heard=False, may_be_billed=reply.was_sent)
    if reply.status == 200:
        return _read(reply)
    return _judged(reply)


def _read(reply: Reply) -> Verdict:
    """A response, on one line and otherwise as it came; what is none may be one the next time."""
    body = reply.body
    try:
        seen = _SEEN.decode(body)
        if bytes(seen.error) == b"null":
            line = msgspec.json.format(body, indent=-1) if b"\n" in body or b"\r" in body else body
            tokens, tier = _used(seen.usage_metadata)
            return Verdict("row", line, tokens=tokens, served=Served(reply.tier, tier))
    except msgspec.MsgspecError:
        return _unreadable(reply)
    code = as_object(msgspec.json.decode(seen.error)).get("code")
    return _judged(reply._replace(status=code if isinstance(code, int) and 400 <= code < 600 else 500))


def _unreadable(reply: Reply) -> Verdict:
    """A reply that is no answer: an HTML page comes from the network in between, and may come again and again."""
    text = redact_bytes(reply.body).decode(errors="replace")
    if (title := page_title(text, reply.content_type)) is not None:
        reason = classify(200, {}, call="generate", title=title).text
        return Verdict("again", _error(502, reason), reason, is_page=True, may_be_billed=True)
    reason = f"Gemini answered 200 with something else: {short(text[:200], 120)}"
    return Verdict("again", _error(502, reason), reason, may_be_billed=True)


def _used(usage: msgspec.Raw) -> tuple[Tokens, str]:
    """What an answer took, and its word for the tier; a usage that is told in another way counts as none for now."""
    try:
        told = _USAGE.decode(usage)
    except msgspec.MsgspecError:
        return Tokens(), ""
    written = told.candidates_token_count + told.thoughts_token_count
    return Tokens(told.prompt_token_count, written, told.cached_content_token_count), told.service_tier


def _judged(reply: Reply) -> Verdict:
    """Look a refusal up in the table."""
    reply = reply._replace(body=redact_bytes(reply.body))
    error = _error_in(reply)
    title = page_title(reply.body.decode(errors="replace"), reply.content_type)
    waits = reply.retry_after
    refusal = reply.refusal or classify(reply.status, error, call="generate", title=title, retry_after=waits)
    body = msgspec.json.encode({**error, "message": refusal.message} if title is not None else error)
    reason = short(refusal.text if refusal.kind != "day" else f"{refusal.remedy} {refusal.message}", 400)
    is_full = reply.status == 503 and title is None
    verdict = Verdict(_VERDICTS[refusal.kind], body, reason, refusal.wait_s, refusal.window_s, is_full=is_full)
    if title is not None and reply.status >= 500:
        verdict = verdict._replace(may_be_billed=True)  # a proxy that has waited too long for Gemini
    if refusal.kind == "day":
        return verdict._replace(comes="day", advice_s=None)
    if verdict.kind == "quota" and (refusal.wait_s or 0) >= _LONG_S:
        return verdict._replace(kind="stop", comes="later")
    return verdict


def _error_in(reply: Reply) -> dict[str, Any]:
    """The error object of a reply, always with a code and words."""
    try:
        value = msgspec.json.decode(reply.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        value = None
    error = as_object(as_object(as_list([*as_list(value), value])[0]).get("error"))
    if not error.get("message"):
        error = {**error, "message": short(reply.body[:400].decode(errors="replace"), 200) or "no reason given"}
    return {"code": reply.status, "status": _NAMES.get(reply.status, "UNKNOWN"), **error}


def _error(code: int, text: str) -> bytes:
    return msgspec.json.encode({"code": code, "message": short(text, 400), "status": _NAMES.get(code, "UNKNOWN")})
