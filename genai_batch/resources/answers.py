"""What every answer has in common: frozen, without nulls, text that is safe to show."""

import re
from math import floor, log10
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from pydantic_core import to_json

from genai_batch.resources.redaction import redact

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""What moves a cursor, turns text around or is not seen at all; the last are letters that only a model reads."""
_LONGEST_KEY = 1_000
"""Characters behind a cut in which an API key is looked for, so that no part of one is left before the cut."""


class Answer(BaseModel):
    """A frozen record that leaves its nulls out when it is written."""

    model_config = ConfigDict(frozen=True)

    @model_serializer(mode="wrap")
    def _without_nulls(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None}

    def fitted(self) -> Self:
        """Give the form that fits an agent's answer; most answers fit as they are."""
        return self

    def compact(self) -> str:
        """Write the answer as one line of JSON, control characters of every kind escaped."""
        return redact(_CONTROL.sub(_escaped, self.model_dump_json()))

    def size(self) -> int:
        """Bytes of the compact form, which is what a reader pays for."""
        return len(self.compact().encode())


class Problem(Answer):
    """One thing that is wrong with a source, and what to do about it."""

    line: Annotated[int | None, Field(description="1-based line; absent when the whole file is meant")] = None
    key: str | None = None
    problem: str
    fix: str | None = None

    def sentence(self) -> str:
        """Say it in one line."""
        where = f"line {self.line}: " if self.line else ""
        whose = f"key {brief(self.key, 60)!r}: " if self.key else ""
        return f"{where}{whose}{self.problem}" + (f" Fix: {self.fix}" if self.fix else "")


class Range(Answer):
    """A number that is not known yet: at least `low`, probably `likely`, at most `high`.

    Where `high` is a bound that cannot be passed, `likely_high` is the upper end of the likely range.
    """

    low: int | float
    likely: int | float
    likely_high: float | None = None
    high: int | float


def brief(text: str, most: int) -> str:
    """Shorten `text` to at most `most` characters, with control characters made visible."""
    shown = printable(redact(text[: most + _LONGEST_KEY])[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def short(text: str, most: int) -> str:
    """Bound foreign text to `most` bytes, with control characters made visible."""
    shown = brief(text, most)
    return shown if len(shown.encode()) <= most else shown.encode()[: most - 3].decode(errors="ignore") + "…"


def cut(text: str, most: int) -> str:
    """Shorten `text` to at most `most` characters and leave them as they are."""
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"


def within(text: str, most: int) -> str:
    """Shorten `text` so that it takes at most about `most` bytes of an answer, its escapes included."""
    if len(text) <= most and _written(text) <= most:
        return text
    fits, more = 0, min(len(text), most)
    while fits < more:
        half = (fits + more + 1) // 2
        fits, more = (half, more) if _written(text[:half]) <= most else (fits, half - 1)
    return text[:fits] + "…"


def _written(text: str) -> int:
    """Bytes of `text` inside an answer."""
    return len(_CONTROL.sub(_escaped, to_json(text).decode()).encode()) - 2


def _escaped(found: re.Match[str]) -> str:
    """Write a character as JSON may, beyond the first plane as two."""
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{0xD7C0 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def printable(text: str) -> str:
    """Escape what a terminal or a reader could take for a command; tab and newline stay."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def dollars(amount: float) -> str:
    """Write an amount of USD with as many digits as it takes to read it."""
    if amount == 0 or amount >= 1:
        return f"${amount:,.2f}"
    return "$" + f"{amount:.{1 - floor(log10(amount))}f}"
