"""Keep API keys out of every text: in whatever form somebody's library or server quotes a key, a mark takes its place.

Keys that are in use are registered with `protect`. `redact` then knows each as it is, stripped, by its lines and longer
parts, and all of these as Python, JSON, HTML, URL and base64 write them. It is applied where texts leave or are kept:
failures, answers, log records, the ledger, what a command prints. Keys of fewer than six characters are none.
"""

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from genai_batch.resources.untyped import is_list, is_object

if TYPE_CHECKING:  # what follows is imported late: most of it is needed only once there is a key
    import logging

MARK = "[key removed]"
_WHOLE, _PART = 6, 8
"""Characters from which a key or a line of it, and another part of it, is looked for."""
_NAMES = frozenset({"GEMINI_API_KEY", "GOOGLE_API_KEY"})
_WORD = re.compile(r"[A-Za-z][a-z]*")


class _Forms:
    """How the protected keys may be written."""

    def __init__(self) -> None:
        self.keys = set[str]()
        self.needles: tuple[str, ...] = ()
        """Forms that do not contain another: a text without any of these has no key in it."""
        self.raw_needles: tuple[bytes, ...] = ()
        self.pattern = re.compile("(?!)")

    def add(self, key: str) -> None:
        self.keys.add(key)
        secrets = {secret for each in self.keys for secret in _secrets(each)}
        written = {form for secret in secrets for form in _written(secret)}
        encoded = {form for secret in secrets for form in _encoded(secret)}
        forms = sorted(written | encoded, key=len)
        self.needles = tuple(
            form for place, form in enumerate(forms) if not any(other in form for other in forms[:place])
        )
        self.raw_needles = tuple(needle.encode(errors="surrogatepass") for needle in self.needles)
        longest = [re.escape(form) for form in sorted(written, key=len, reverse=True)]
        around = [f"[A-Za-z0-9+/_-]*{re.escape(form)}[A-Za-z0-9+/_=-]*" for form in sorted(encoded)]
        self.pattern = re.compile("|".join([*longest, *around]))


_FORMS = _Forms()


def protect(key: str) -> None:
    """Keep a key out of every text from now on."""
    if key in _FORMS.keys or not any(True for _ in _secrets(key)):
        return
    import logging

    if not _FORMS.keys:
        logging.setLogRecordFactory(_without_keys(logging.getLogRecordFactory()))
    _FORMS.add(key)


def redact(text: str) -> str:
    """Return the text with a mark in the place of every protected key."""
    for needle in _FORMS.needles:
        if needle in text:
            return _FORMS.pattern.sub(MARK, text)
    return text


def redact_bytes(content: bytes) -> bytes:
    """Do the same to encoded text."""
    for needle in _FORMS.raw_needles:
        if needle in content:
            return redact(content.decode(errors="replace")).encode()
    return content


def redact_in(value: Any) -> Any:
    """Do the same to every string in a JSON value."""
    if isinstance(value, str):
        return redact(value)
    if is_list(value):
        return [redact_in(item) for item in value]
    if is_object(value):
        return {redact(name): redact_in(item) for name, item in value.items()}
    return value


def guard_tracebacks() -> None:
    """Print the traceback that ends this process without keys."""
    import traceback

    earlier = sys.excepthook

    def print_without_keys(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        if (shown := redact(text)) == text:
            earlier(kind, error, trace)
        else:
            sys.stderr.write(shown)

    sys.excepthook = print_without_keys


def _without_keys(make: Any) -> Any:
    """Make log records without keys, tracebacks included, whatever logger or handler they go through."""
    import traceback

    def make_record(*args: Any, **kwargs: Any) -> "logging.LogRecord":
        record: logging.LogRecord = make(*args, **kwargs)
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the handler reports it
            return record
        if (shown := redact(text)) != text:
            record.msg, record.args = shown, None
        if record.exc_info and record.exc_info[0]:
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            if (shown := redact(trace)) != trace:
                record.exc_info, record.exc_text = None, shown
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return record

    return make_record


def _secrets(key: str) -> Iterator[str]:
    """The key and the parts of it that may be quoted alone."""
    lines = [line.strip() for line in key.splitlines()]
    yield from (part for part in (key, key.strip(), *lines) if len(part.strip()) >= _WHOLE)
    for part in (*re.findall(r"[A-Za-z0-9_.~+/-]+", key), *re.findall(r"[A-Za-z0-9_-]+", key)):
        if len(part) >= _PART and part not in _NAMES and not _WORD.fullmatch(part):
            yield part


def _written(secret: str) -> Iterator[str]:
    """The ways in which texts quote a string."""
    import html
    import json
    from urllib.parse import quote, quote_plus

    raw = secret.encode(errors="replace")
    plain = [secret, repr(secret)[1:-1], ascii(secret)[1:-1], repr(raw)[2:-1], html.escape(secret)]
    plain += [quoted for way in (quote, quote_plus) for safe in ("", "/") for quoted in _hex_cases(way(raw, safe=safe))]
    for text in plain:
        yield text
        for ascii_only in (True, False):
            yield json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _hex_cases(text: str) -> Iterator[str]:
    yield text
    yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), text)


def _encoded(secret: str) -> Iterator[str]:
    """What base64 makes of a string, alone or within a longer one: only letters that are its own."""
    import base64

    raw = secret.encode(errors="replace")
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw).decode()
        own = text[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        yield own
        yield own.replace("+", "-").replace("/", "_")
