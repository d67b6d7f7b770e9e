"""Whether a text says anything, and whether it says the same again and again until it is cut."""

import re

INK = r"[!-~]|[^\s\u200b-\u200d\u2060\ufeff]"
"""A character that can be seen; a text without one is blank."""
_INK = re.compile(INK)
_NUMBERED = re.compile(r"(?m)^([ \t>*#|-]*)\d+(?=[.):|])")
_WINDOW = 64 * 1024
"""Characters of the end of a text in which a repetition is looked for."""
_PROBE = 48
_SHORTEST = 200
"""Characters that a repetition has to fill; a shorter one may be what was meant."""
_TIMES = 3


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen."""
    return _INK.search(text) is None


def repeats_itself(text: str) -> bool:
    """Whether a text that was cut ends in one piece that stands there at least three times in a row.

    The numbers of a list do not count, so that a list of one item under ever new numbers repeats itself too.
    """
    end = text[-_WINDOW:]
    return _is_periodic(end) or _is_periodic(_NUMBERED.sub(r"\g<1>0", end))


def _is_periodic(text: str) -> bool:
    if len(text) < _SHORTEST:
        return False
    last = len(text) - _PROBE
    before = text.rfind(text[last:], 0, len(text) - 1)
    if before < 0:
        return False
    period = last - before
    span = max(_SHORTEST, _TIMES * period)
    return span <= len(text) and text[-span:-period] == text[period - span :]
