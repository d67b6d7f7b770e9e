"""Tokens of text: linear in words and runs, one coefficient per feature, all features counted at C speed.

The UTF-8 bytes are mapped to classes (lower, upper, digit, blank, newline, punctuation, script of a lead byte); each
feature is then one `bytes.count`. No coefficient is negative, so more text is never fewer tokens.
"""

from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

from genai_batch.resources.tokens.coefficients import coefficients

PLAIN = (
    "words", "case_changes", "sevens", "elevens", "capitals", "digits", "spaced_digits",
    "marks", "more_marks", "spaced_marks", "newlines", "blanks",
)  # fmt: skip
"""Features of ASCII text, in order."""
BEYOND = (
    "accented", "transliterated", "symbols", "cyrillic", "devanagari", "virama", "indic_eights",
    "han", "kana", "hangul", "cjk_marks", "full_width", "emoji",
    "greek", "hebrew", "arabic", "thai", "other_indic", "other",
)  # fmt: skip
"""Features of what is not ASCII, in order; those from `greek` on, and `cyrillic`, were never measured well."""
NAMES = PLAIN + BEYOND
_LONG = 32_768
_ACCENTS = 0.04
"""Accented letters per word from which a text is not taken for English."""
_SLICES, _SLICE = 16, 2_048


class Share(NamedTuple):
    """Tokens of a text by how well that kind of text is known."""

    latin: float = 0
    """Mostly English, and code."""
    european: float = 0
    """Latin script with accents: one or two texts in each such language were measured."""
    digits: float = 0
    indic: float = 0
    cjk: float = 0
    unmeasured: float = 0
    runs: float = 0
    """Letters without a break, and signs in a row: cheap as they are mostly met, dear where they are random."""


def of_text(text: str) -> float:
    """Tokens of a piece of text."""
    return of_bytes(text.encode("utf-8", "surrogatepass"))


def of_bytes(data: bytes) -> float:
    """Tokens of UTF-8 text."""
    return sum(map(mul, features(data), _WEIGHTS))


def share(text: str) -> Share:
    """Tokens by kind; of a long text slices are counted, not the whole."""
    if len(text) > _LONG:
        return _sampled(text)
    counts = features(text.encode("utf-8", "surrogatepass"))
    found = [*map(mul, counts, _WEIGHTS)]
    digits, runs = found[5] + found[6], _WEIGHTS[2] * counts[3] + found[8]
    if len(found) == len(PLAIN):
        return Share(max(0, sum(found) - digits - runs), 0, digits, 0, 0, 0, runs)
    latin = max(0, sum(found[:12]) - digits - runs) + sum(found[12:15])
    foreign = counts[12] > _ACCENTS * counts[0]
    others = sum(found[16:19]), sum(found[19:25]), found[15] + sum(found[25:])
    return Share(0 if foreign else latin, latin if foreign else 0, digits, *others, runs=runs)


def _sampled(text: str) -> Share:
    step = (len(text) - _SLICE) / (_SLICES - 1)
    slices = [text[int(i * step) : int(i * step) + _SLICE] for i in range(_SLICES)]
    factor = len(text) / sum(map(len, slices))
    sums = map(sum, zip(*map(share, slices), strict=True))
    return Share(*(factor * each for each in sums))


def features(data: bytes) -> Sequence[int]:
    """Count what the coefficients multiply: `PLAIN` for ASCII, else `NAMES`."""
    classes = data.translate(_CLASSES)
    plain = _plain(data, classes)
    return plain if data.isascii() else plain + _beyond(data, classes)


def _plain(data: bytes, classes: bytes) -> tuple[int, ...]:
    letters, punctuation = b" " + data.translate(_LETTERS), b" " + data.translate(_MARKS)
    marks = punctuation.count(b" .")
    count = classes.count
    return (
        letters.count(b" a"), count(b"aA"), letters.count(b"a" * 7), letters.count(b"a" * 11), count(b"AA"),
        count(b"0"), count(b" 0"), marks, count(b".") - marks, count(b" ."),
        count(b"\n") - count(b"\n\n"), count(b"  ") - count(b"    "),
    )  # fmt: skip


def _beyond(data: bytes, classes: bytes) -> tuple[int, ...]:
    """Count characters by the lead bytes of their scripts, and what those leave open by the byte after."""
    count, after = classes.count, data.count
    three, marks, indic, kana = count(b"E"), 0, count(b"I"), count(b"K")
    if three:
        marks = sum(after(bytes((0xE1, second))) for second in range(0xB8, 0xBC))
    devanagari = after(b"\xe0\xa4") + after(b"\xe0\xa5") if indic else 0
    thai = after(b"\xe0\xb8") + after(b"\xe0\xb9") if indic else 0
    spaces = after(b"\xe3\x80") if kana else 0
    return (
        count(b"L"), marks, count(b"P"), count(b"R"), devanagari, indic and after(b"\xe0\xa5\x8d"), count(b"Icc" * 8),
        count(b"Z"), kana - spaces, count(b"Y"), spaces, count(b"F"), count(b"M"),
        count(b"G"), count(b"H"), count(b"B"), thai, indic - devanagari - thai, three - marks + count(b"x"),
    )  # fmt: skip


def _table(default: bytes, *classes: tuple[Sequence[int], bytes]) -> bytes:
    table = bytearray(default * 256)
    for members, name in classes:
        for member in members:
            table[member] = name[0]
    return bytes(table)


_LOWER, _UPPER, _DIGITS = range(97, 123), range(65, 91), range(48, 58)
_PUNCTUATION = [c for c in range(33, 127) if not chr(c).isalnum()]
_CLASSES = _table(
    b"c", (_LOWER, b"a"), (_UPPER, b"A"), (_DIGITS, b"0"), (b" \t", b" "), (b"\n\r", b"\n"), (_PUNCTUATION, b"."),
    (b"\xc2\xe2", b"P"), (range(0xC3, 0xCD), b"L"), (range(0xCD, 0xD0), b"G"), (range(0xD0, 0xD5), b"R"),
    (b"\xd5", b"x"), (range(0xD6, 0xD8), b"H"), (range(0xD8, 0xDC), b"B"), (range(0xDC, 0xE0), b"x"), (b"\xe0", b"I"),
    (b"\xe1", b"E"), (b"\xe3", b"K"), (range(0xE4, 0xEA), b"Z"), (range(0xEA, 0xEE), b"Y"), (b"\xee\xef", b"F"),
    (range(0xF0, 0x100), b"M"),
)  # fmt: skip
_LETTERS = _table(b" ", (_LOWER, b"a"), (_UPPER, b"a"))
_MARKS = _table(b" ", (_PUNCTUATION, b"."))
_WEIGHTS = [coefficients()["text"][name] for name in NAMES]


def use(weights: Sequence[float]) -> None:
    """Count with other coefficients from now on, in the order of `NAMES`; for fits, which try many."""
    _WEIGHTS[:] = weights
