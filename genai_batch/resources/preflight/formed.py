"""The rows of one form among lines."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from msgspec import MsgspecError, Raw, Struct

from genai_batch.resources.preflight import forms
from genai_batch.resources.preflight.forms import Variant
from genai_batch.resources.preflight.keys import MAX_KEY
from genai_batch.resources.preflight.templates import Template, is_good

LONG = 1_500
"""Bytes of a line from which on following a template is faster than to be decoded and counted whole."""
_OTHER = (MsgspecError, UnicodeDecodeError, RecursionError)


class Met(Struct, array_like=True):
    """Rows of one variant: how many, and the line and key of the first."""

    rows: int
    line: int
    key: str


class Span(NamedTuple):
    """Lines as a stretch of bytes."""

    block: bytes
    start: int
    end: int

    def count(self, sign: bytes) -> int:
        """How often a sign stands there."""
        return self.block.count(sign, self.start, self.end)

    @property
    def size(self) -> int:
        """How many bytes they are."""
        return self.end - self.start


class Found(NamedTuple):
    """The keys of the rows that matched, these rows by the number of their variant, and the lines left over."""

    keys: list[str]
    met: dict[int, Met]
    missed: list[int]


class Formed:
    """Knows the rows of one form."""

    def __init__(self, variant: Variant) -> None:
        """Make the decoder of a variant's form."""
        self._form = variant.form
        self._decode = forms.decoder(self._form)
        self._columns = [attrgetter(f"request.other{n}") for n in range(len(self._form.others))]
        self._numbers: dict[tuple[bytes, ...], int] = {}
        self._quotes: dict[int, int] = {}
        self._usual: list[Raw] = []
        self._usual_number = -1
        self._template: Template | None = None

    def learn(self, variant: Variant, number: int) -> None:
        """Take rows of a variant from now on."""
        self._numbers[variant.others] = number
        self._quotes[number] = forms.quotes(self._form) + sum(other.count(b'"') for other in variant.others)
        self._usual, self._usual_number = list(map(Raw, variant.others)), number
        self._template = None

    def match(self, lines: list[bytes], span: Span | None) -> Found:
        """Find the rows among `lines`, which are all of `span` unless that is None."""
        rows, missed = self._rows(lines)
        if not rows:
            return Found([], {}, missed)
        places: Sequence[int] = range(len(lines))
        if missed:
            places, span = _without(len(lines), missed), None
            lines = [lines[place] for place in places]
        keys = [row.key for row in rows]
        span = span or _joined(lines)
        if self._are_usual(rows, keys, span):
            if span.size > LONG * len(rows) and self._form.turns_in == "contents":
                self._template = Template.of(lines[0])
            return Found(keys, {self._usual_number: Met(len(rows), places[0], keys[0])}, missed)
        numbers = [self._number(row, line) for row, line in zip(rows, lines, strict=True)]
        return _sorted(numbers, keys, places, missed)

    def follow(self, block: bytes, start: int, *, is_ascii: bool) -> tuple[int, list[str], int]:
        """Where lines from `start` on cease to follow the template of the variant learned last; their keys; its number.

        Without a template none do.
        """
        if not self._template:
            return start, [], self._usual_number
        return (*self._template.follow(block, start, is_ascii=is_ascii), self._usual_number)

    def words(self, line: bytes) -> tuple[int, list[str]] | None:
        """The variant and the texts of a row that matched, unless it is of another form."""
        try:
            row = self._decode(line)
        except _OTHER:
            return None
        number = self._numbers.get(tuple(bytes(column(row)) for column in self._columns))
        return None if number is None else (number, forms.texts(row, self._form)[1:])

    def _rows(self, lines: list[bytes]) -> tuple[list[Any], list[int]]:
        """Decode lines; the indices of those that are no rows of this form."""
        rows: list[Any] = []
        missed: list[int] = []
        file = iter(lines)
        while len(rows) + len(missed) < len(lines):
            try:
                rows.extend(map(self._decode, file))
            except _OTHER:
                missed.append(len(rows) + len(missed))
        return rows, missed

    def _are_usual(self, rows: list[Any], keys: list[str], span: Span) -> bool:
        """Whether all rows are good and of the variant that was learned last."""
        pairs = zip(self._columns, self._usual, strict=True)
        same = all(list(map(column, rows)).count(usual) == len(rows) for column, usual in pairs)
        return same and _are_plain(keys) and self._is_exact(rows, span)

    def _is_exact(self, rows: list[Any], span: Span) -> bool:
        """Whether rows of the usual variant hold as many quotation marks as they must, so no member stands twice."""
        more = span.count(b'"') - self._quotes[self._usual_number] * len(rows)
        if more == 0:
            return True
        inside = sum("".join(forms.texts(row, self._form)).count('"') for row in rows)
        return more == inside and not span.count(b"u0022")

    def _number(self, row: Any, line: bytes) -> int | None:
        """The variant of one row, or None where there is any doubt."""
        number = self._numbers.get(tuple(bytes(column(row)) for column in self._columns))
        if number is None or not is_good(row.key):
            return None
        inside = "".join(forms.texts(row, self._form)).count('"')
        exact = line.count(b'"') == self._quotes[number] + inside and not (inside and b"u0022" in line)
        return number if exact else None


def meet(met: dict[int, Met], number: int, rows: int, line: int, key: str) -> None:
    """Add rows of a variant to those met before."""
    if (known := met.get(number)) is None:
        met[number] = Met(rows, line, key)
        return
    known.rows += rows
    if line < known.line:
        known.line, known.key = line, key


def _sorted(numbers: list[int | None], keys: list[str], places: Sequence[int], missed: list[int]) -> Found:
    """Put rows to their variants, and those without a number to the lines that were no rows."""
    found = Found([], {}, missed)
    for number, key, place in zip(numbers, keys, places, strict=True):
        if number is None:
            missed.append(place)
        else:
            found.keys.append(key)
            meet(found.met, number, 1, place, key)
    missed.sort()
    return found


def _without(count: int, missed: list[int]) -> list[int]:
    gone = set(missed)
    return [index for index in range(count) if index not in gone]


def _joined(lines: list[bytes]) -> Span:
    joined = b"".join(lines)
    return Span(joined, 0, len(joined))


def _are_plain(keys: list[str]) -> bool:
    """Whether all keys are so simple that there can be nothing wrong with them."""
    together = "".join(keys)
    plain = together.isprintable() and " " not in together and all(keys) and max(map(len, keys)) <= MAX_KEY // 4
    return plain or all(map(is_good, keys))
