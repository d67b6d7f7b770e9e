"""Foreign text, made fit to be looked at: bounded, and with everything visible that could hide or command."""

import re
import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_KEPT = frozenset("\t\n\u200c\u200d")
"""Joiners shape words and emoji; tab and newline are what they are."""
_PLAIN = re.compile(r"[ -~\n\t]*")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def visible(text: str, most: int) -> str:
    """Shorten `text` to about `most` characters; control, format and direction characters are written as escapes."""
    begun = text[: most + 1].replace("\r\n", "\n")
    shown = begun if _PLAIN.fullmatch(begun) else "".join(map(_seen, begun))
    return shown if len(text) <= most and len(shown) <= most else shown[: most - 1] + "…"


def code(text: str, most: int) -> str:
    """Write foreign text as a Markdown code span, in which nothing is markup, a link or a line of its own."""
    shown = " ".join(visible(text, most).split()) or " "
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    room = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{room}{shown}{room}{fence}"


def duration(seconds: float) -> str:
    """Say how long something took, in its two largest units."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    left, said = round(seconds), list[str]()
    for size, unit in _UNITS:
        if left >= size:
            said.append(f"{left // size} {unit}")
            left %= size
    return " ".join([*said, *([f"{left} s"] if left else [])][:2])


def size(count: float) -> str:
    """Say how many bytes something has."""
    for unit in ("B", "kB", "MB"):
        if count < 1_000:
            return f"{count:.3g} {unit}"
        count /= 1_000
    return f"{count:,.3g} GB"


def _seen(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _UNSEEN:
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
