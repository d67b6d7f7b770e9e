"""What a refusal of Gemini means: one table for every lane.

Whoever was refused does what the kind says. `key`: nothing more is sent, since every call would be refused; the job
keeps its place until somebody has put it right and resumes it. `day`: it rests until midnight Pacific time. `pace`: it
waits as told. `room`: it waits until a batch has ended. `object`: the file or batch is not there for this key. `row`:
what was sent is wrong. `passing`: it may succeed the next time.
"""

import math
import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from genai_batch.resources.answers import short
from genai_batch.resources.errors import ProviderError, ProviderReason
from genai_batch.resources.redaction import redact
from genai_batch.resources.untyped import as_list, as_object
from genai_batch.tools.lanes.wire import seconds_in

Kind = Literal["key", "day", "pace", "room", "object", "row", "passing"]
Call = Literal["create", "generate", "other"]
"""What was called: a batch was to be made, a row to be answered, or a batch or file was asked about."""


class Refusal(NamedTuple):
    """What was refused, in Gemini's words, and what mends it.

    `wait_s` is how long to wait as the provider says; `window_s` the stretch of time in which it counts calls.
    """

    kind: Kind
    message: str
    remedy: str = ""
    wait_s: float | None = None
    window_s: float = 1.0

    @property
    def text(self) -> str:
        """Both, as sentences."""
        return f"{self.message} {self.remedy}".strip()


_RENEW = "Check GEMINI_API_KEY: renew the key in AI Studio."
_TOP_UP = "Top up the balance of the project in AI Studio."
_BASE_URL = (
    "Check GOOGLE_GEMINI_BASE_URL: it is the address of the server alone, like "
    "https://generativelanguage.googleapis.com, without a version or /openai."
)
_PORTAL = "A login page of the network or a proxy answers instead of Gemini: sign in there, or correct the proxy."


class Rule(NamedTuple):
    """A refusal that meets every call of a key: its HTTP statuses, what its reason or message says, what mends it."""

    statuses: tuple[int, ...]
    pattern: str
    remedy: str


_PERMANENT = (
    Rule(
        (402, 403, 429),
        r"spend(?:ing)?[ _-]?(?:cap|limit)|monthly (?:cap|budget|spend)",
        "Raise the spending cap of the project in AI Studio, or wait for the next month.",
    ),
    Rule(
        (402, 403, 429),
        r"prepa(?:id|y)|depleted|insufficient (?:funds|credit|balance)|credits? (?:are|is|has|have)\b|balance",
        _TOP_UP,
    ),
    Rule((402,), "", _TOP_UP),
    Rule(
        (400, 403),
        r"(?:location|region|country|territory) is not supported|not available in your (?:region|country|location)",
        "Use Gemini from a supported region, or Vertex AI.",
    ),
    Rule(
        (400, 401, 403),
        "reported as leaked|key (?:was|has been|is) (?:leaked|compromised|blocked)",
        "The key is blocked: make a new one in AI Studio and set GEMINI_API_KEY to it.",
    ),
    Rule((400, 403), "CONSUMER_SUSPENDED|has been suspended", "The project is suspended: ask Google Cloud support."),
    Rule(
        (400, 403),
        "SERVICE_DISABLED|has not been used in project|API (?:is|was) (?:disabled|not enabled)",
        "Enable the Generative Language API of that project in the Google Cloud console.",
    ),
    Rule(
        (400, 403),
        r"API_KEY_\w+_BLOCKED|requests (?:from|to) .{0,200}(?:are|is) blocked|(?:address|referr?er) restriction",
        "The key is restricted: lift the restriction for this address, or use another key.",
    ),
    Rule(
        (401,),
        "API keys are not supported|CREDENTIALS_MISSING|Expected OAuth",
        "Check GEMINI_API_KEY: it must be a key of AI Studio; and GOOGLE_GEMINI_BASE_URL, if it is set.",
    ),
    Rule((400, 401, 403), r"API_KEY_INVALID|API[ _]key|unregistered callers", _RENEW),
    Rule((401,), "", _RENEW),
    Rule((407, 511), "", "The network or its proxy wants a login first."),
    Rule(
        (404,),
        r"\bmodels/\S+ (?:is|was) not found",
        "Check the name of the model (batch://models), or use another.",
    ),
)
"""The first that fits counts."""
_BILLING = re.compile("billing|paid (?:tier|plan)|free tier (?:is )?not", re.IGNORECASE)
_PRECONDITION = re.compile("PRECOND")
_FREE = "Enable billing for the project in AI Studio."
_NO_QUOTA = "The key has no quota for this model: use a key of a paid project, or another model."
_DAY = re.compile("per.?day|daily", re.IGNORECASE)
_MINUTE = re.compile("per.?minute", re.IGNORECASE)
_QUEUE = re.compile("enqueued|concurrent.?batch|batch.?(?:jobs|count)", re.IGNORECASE)
_ZERO = re.compile(r"""\blimit["']?\s*[:=]\s*["']?0(?!\d|[.,]\d)""", re.IGNORECASE)
_FILE = re.compile(r"\bfiles?[ /]", re.IGNORECASE)
_LOGIN_PAGES = (401, 403, 404, 405, 407, 511)
"""Statuses with which an HTML page comes from somewhere else than Gemini; so it does below 400."""
_DAY_WORDS = "The quota of the day is used up; it begins anew at midnight Pacific time."
_PACE_WORDS = "Calls come faster than your tier's limit allows."
_ROOM_WORDS = (
    "The tokens waiting in your batches of this model, or the number of batches, are at your tier's limit; "
    "wait for one to finish, or send fewer rows."
)
_GONE_WORDS = "The file or batch belongs to another key, has expired (48 h), or the key may not use this model."
_MISSING_WORDS = "It may have been deleted, or belong to another key or project."
_REASONS: dict[Kind, ProviderReason] = {
    "key": "key",
    "day": "day",
    "pace": "quota",
    "room": "quota",
    "object": "permission",
    "row": "invalid",
    "passing": "outage",
}
_KINDS: dict[ProviderReason, Kind] = {
    "key": "key",
    "day": "day",
    "quota": "pace",
    "permission": "object",
    "missing": "object",
    "invalid": "row",
}


def classify(
    status: int, error: Mapping[str, Any], *, call: Call, title: str | None = None, retry_after: str = ""
) -> Refusal:
    """Tell what a refusal is.

    `error` is the object of Google's error model; `title` is that of the HTML page that came in its place;
    `retry_after` is the header.
    """
    message = f"Gemini answered {status}: {_words(error)}"
    if title is not None:
        message = f"An HTML page titled {title!r} came with status {status}, not an answer of Gemini."
        if status < 400 or status in _LOGIN_PAGES:
            return Refusal("key", message, _BASE_URL if status == 404 else _PORTAL)
    if remedy := _permanent(status, error):
        return Refusal("key", message, remedy)
    if status == 429:
        return _quota(message, error, call, retry_after)
    if status == 408 or status >= 500 or status < 400:
        return Refusal("passing", message, "Try again later.", _advice(error, retry_after))
    if status == 403 and call == "generate" and not _FILE.search(message):
        return Refusal("key", message, "Check that the key and its project may use this model.")
    if status in (403, 404) and call != "generate":
        return Refusal("object", message, _GONE_WORDS if status == 403 else _MISSING_WORDS)
    return Refusal("row", message)


def refusal_of(error: ProviderError) -> Refusal | None:
    """The refusal that a failed call has met, where the same call will not do; None for what may pass."""
    kind = _KINDS.get(error.reason)
    return Refusal(kind, str(error), wait_s=error.retry_after_s) if kind else None


def reason_of(refusal: Refusal, status: int) -> ProviderReason:
    """The reason of a `ProviderError` that stands for a refusal."""
    return "missing" if refusal.kind == "object" and status == 404 else _REASONS[refusal.kind]


def page_title(content: str, content_type: str = "") -> str | None:
    """The title of an HTML page that came instead of JSON; None where it is none."""
    head = content[:4_000].lstrip("\ufeff \t\r\n")
    if "text/html" not in content_type.lower() and not re.match("<(?:!doctype html|html)", head, re.IGNORECASE):
        return None
    found = re.search(r"<title[^>]*>(.*?)</title>", redact(content[:20_000]), re.IGNORECASE | re.DOTALL)
    return short(" ".join(found[1].split()), 80) if found and found[1].strip() else "without a title"


def certificate_problem(error: BaseException) -> str | None:
    """Say that the server's certificate is not trusted, where a connection failed for that."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            reason = short(str(getattr(cause, "verify_message", "")), 100)
            shown = f"The certificate that was shown for Gemini is not trusted{f' ({reason})' if reason else ''}"
            return (
                f"{shown}: set SSL_CERT_FILE to the certificates of the authority of your network (PEM), or correct "
                "GOOGLE_GEMINI_BASE_URL."
            )
        if "407" in str(cause) and "prox" in f"{type(cause).__name__} {cause}".lower():
            return "The proxy wants a login (407): put name and password into the address in HTTPS_PROXY."
    return None


def midnight(now: float) -> float:
    """When the quotas of the day begin anew, in seconds since 1970."""
    day = datetime.fromtimestamp(now, _pacific())
    return (day + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def moment(at: float) -> str:
    """A moment in words."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def stopped_words(text: str) -> str:
    """Say that a job has stopped until it is resumed; `text` says why and what mends that."""
    said = short(text.replace("Nothing was charged.", "").replace("Nothing was sent.", "").strip(), 300)
    return f"Stopped; what is answered is kept and the rest is not sent. {said} Then resume_job goes on."


def resting_words(text: str, until: float) -> str:
    """Say until when a job rests; `text` says why."""
    said = f"Stopped; what is answered is kept and the rest is not sent. {short(text, 260)}"
    return f"{said} The job goes on by itself at {moment(until)}, or at once with resume_job."


def _permanent(status: int, error: Mapping[str, Any]) -> str:
    """What mends a refusal that meets every call of this key; nothing where it is no such refusal."""
    reasons = " ".join(str(detail.get("reason", "")) for detail in _details(error))
    text = f"{reasons} {error.get('message', '')}"
    for rule in _PERMANENT:
        if status in rule.statuses and re.search(rule.pattern, text, re.IGNORECASE | re.DOTALL):
            return rule.remedy
    is_precondition = status in (402, 403) or _PRECONDITION.search(str(error.get("status")))
    if status in (400, 402, 403) and is_precondition and _BILLING.search(text):
        return _FREE
    return _NO_QUOTA if status == 429 and _has_no_quota(error) else ""


def _has_no_quota(error: Mapping[str, Any]) -> bool:
    """Whether a limit is zero: waiting never helps, whatever RetryInfo says."""
    limits = [violation.get("quotaValue") for violation in _violations(error)]
    limits += [as_object(detail.get("metadata")).get("quota_limit_value") for detail in _details(error)]
    return any(str(limit) in ("0", "0.0") for limit in limits) or bool(_ZERO.search(str(error.get("message"))))


def _quota(message: str, error: Mapping[str, Any], call: Call, header: str) -> Refusal:
    """Tell a quota of the day from the pace of calls, and both from a full queue of batches."""
    ids = " ".join(str(violation.get("quotaId", "")) for violation in _violations(error))
    advice = _advice(error, header)
    if _DAY.search(ids) or (not ids and _DAY.search(str(error.get("message")))):
        return Refusal("day", message, _DAY_WORDS)
    if _QUEUE.search(ids) or (call == "create" and not ids and advice is None):
        return Refusal("room", message, _ROOM_WORDS, advice)
    window = 60.0 if _MINUTE.search(ids) or (advice or 0) > 5 else 1.0
    return Refusal("pace", message, _PACE_WORDS, advice, window)


def _advice(error: Mapping[str, Any], header: str) -> float | None:
    delays = [seconds_in(header), *(seconds_in(str(detail.get("retryDelay", ""))) for detail in _details(error))]
    known = [delay for delay in delays if delay is not None]
    return float(math.ceil(max(known))) if known else None


def _details(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [as_object(detail) for detail in as_list(error.get("details"))]


def _violations(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [as_object(one) for detail in _details(error) for one in as_list(detail.get("violations"))]


def _words(error: Mapping[str, Any]) -> str:
    """Gemini's own words, as a sentence of bounded length."""
    text = short(" ".join(str(error.get("message") or error.get("status") or "no reason given").split()), 1_500)
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        seen = getattr(seen, "certificate_error", None) or seen.__cause__ or seen.__context__


def _pacific() -> tzinfo:
    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # a system without time zones
        return timezone(timedelta(hours=-8))
