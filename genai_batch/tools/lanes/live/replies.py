"""What a reply means for its item: a row, a row with an error, another try, a pause for all, or the end of the run."""

import re
from typing import Any, Literal, NamedTuple

import msgspec

from genai_batch.resources.answers import short
from genai_batch.resources.untyped import as_list, as_object
from genai_batch.tools.lanes.live.caller import NoReply, Reply
from genai_batch.tools.lanes.wire import seconds_in

Kind = Literal["row", "refused", "again", "quota", "stop"]
Return = Literal["hour", "day"]
_MINUTE = re.compile("per.?minute", re.IGNORECASE)
_DAY = re.compile("per.?day|daily", re.IGNORECASE)
_KEY = re.compile("api[ _]key", re.IGNORECASE)
_MODEL = re.compile(r"\bmodels/\S+ (?:is|was) not found", re.IGNORECASE)
_FILE = re.compile(r"\bfiles?[ /]", re.IGNORECASE)
_BALANCE = re.compile(
    r"prepa|depleted|insufficient|credits? (?:are|is|has|have)|balance|spend(?:ing)? (?:cap|limit)", re.IGNORECASE
)
_BILLING = re.compile("billing", re.IGNORECASE)
_LONG_S = 600
"""A pause of this length is none: the run ends until then."""
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

    `body` is what the row will hold: the response, or for all other kinds the error object. `said` is the error in
    words; `advice_s` how long to wait, as the provider says; `window_s` the time in which it counts calls; `comes` when
    a run that has to stop may go on; `is_heard` whether the provider answered at all.
    """

    kind: Kind
    body: bytes
    said: str = ""
    advice_s: float | None = None
    window_s: float = 1.0
    comes: Return = "hour"
    tokens: Tokens = Tokens()
    is_heard: bool = True


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0
    cached_content_token_count: int = 0


_NOTHING = msgspec.Raw(b"null")


class _Seen(msgspec.Struct, rename="camel"):
    error: msgspec.Raw = _NOTHING
    usage_metadata: msgspec.Raw = _NOTHING


_USAGE = msgspec.json.Decoder(_Usage)
_SEEN = msgspec.json.Decoder(_Seen)


def judge(reply: Reply | NoReply) -> Verdict:
    """Tell what a reply means."""
    if isinstance(reply, NoReply):
        code = 504 if reply.late else 503
        return Verdict("again", _error(code, f"Gemini could not be reached: {reply}"), f"{reply}", is_heard=False)
    if reply.status == 200:
        return _read(reply.body)
    return _judged(reply)


def _read(body: bytes) -> Verdict:
    """A response, on one line and otherwise as it came; what is none may be one the next time."""
    try:
        seen = _SEEN.decode(body)
        if bytes(seen.error) == b"null":
            line = msgspec.json.format(body, indent=-1) if b"\n" in body or b"\r" in body else body
            return Verdict("row", line, tokens=_tokens(seen.usage_metadata))
    except msgspec.MsgspecError:
        said = f"Gemini answered 200 with something else: {short(body[:200].decode(errors='replace'), 120)}"
        return Verdict("again", _error(502, said), said)
    code = as_object(msgspec.json.decode(seen.error)).get("code")
    return _judged(Reply(code if isinstance(code, int) and 400 <= code < 600 else 500, body))


def _tokens(usage: msgspec.Raw) -> Tokens:
    """What an answer took; a usage that is told in another way counts as none until the job is over."""
    try:
        told = _USAGE.decode(usage)
    except msgspec.MsgspecError:
        return Tokens()
    written = told.candidates_token_count + told.thoughts_token_count
    return Tokens(told.prompt_token_count, written, told.cached_content_token_count)


def _judged(reply: Reply) -> Verdict:
    error = _error_in(reply)
    said = short(f"Gemini answered {reply.status}: {error['message']}", 300)
    verdict = Verdict(_kind(reply.status, error), msgspec.json.encode(error), said)
    if reply.status == 429:
        return _quota(verdict, error, reply.retry_after)
    return verdict


def _kind(status: int, error: dict[str, Any]) -> Kind:
    message = str(error["message"])
    if status == 429:
        return "quota"
    if status == 408 or status >= 500 or status < 400:
        return "again"
    if status in (401, 402) or (status == 403 and not _FILE.search(message)):
        return "stop"
    if status == 404 and _MODEL.search(message):  # what one row names is not found for that row alone
        return "stop"
    if status == 400 and (_KEY.search(message) or (_BILLING.search(message) and "PRECOND" in str(error.get("status")))):
        return "stop"
    return "refused"


def _quota(verdict: Verdict, error: dict[str, Any], header: str) -> Verdict:
    """Tell a quota that passes in seconds from one of the day, and from an account without money."""
    details = [as_object(each) for each in as_list(error.get("details"))]
    ids = " ".join(str(as_object(one).get("quotaId")) for each in details for one in as_list(each.get("violations")))
    delays = [found for each in details if (found := seconds_in(str(each.get("retryDelay", "")))) is not None]
    advice = max([*delays, *filter(None, [seconds_in(header)])], default=None)
    if _DAY.search(ids) or (not ids and _DAY.search(str(error["message"]))):
        return verdict._replace(kind="stop", comes="day")
    if _BALANCE.search(str(error["message"])):
        return verdict._replace(kind="stop")
    if advice is not None and advice >= _LONG_S:
        return verdict._replace(kind="stop", advice_s=advice)
    return verdict._replace(advice_s=advice, window_s=60.0 if _MINUTE.search(ids) or (advice or 0) > 5 else 1.0)


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


def _error(code: int, said: str) -> bytes:
    return msgspec.json.encode({"code": code, "message": short(said, 400), "status": _NAMES.get(code, "UNKNOWN")})
