"""File names for keys, and paths that a user gave: neither collides, leaves its folder, or is a device of some system.

A plain key is its own name. Any other becomes its readable part and a hash, in a form that no plain key is let take, so
that two keys never share a name, not where case or Unicode forms are one to the file system either.
"""

import hashlib
import re
import unicodedata
from base64 import b32encode

from genai_batch.resources.answers import brief

_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,99}")
_TAKEN = re.compile(r".*(\.\d+|-[a-z2-7]{20}|\.)")
"""Forms kept for further pieces of a result and for hashed names."""
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_LONGEST_PART, _LONGEST = 200, 1_000
"""Bytes; file systems take 255 of a name."""


def stem(key: str) -> str:
    """Name the files of a key: ASCII, of 121 characters at most, without the ending."""
    if _PLAIN.fullmatch(key) and not _TAKEN.fullmatch(key) and not _RESERVED.fullmatch(key):
        return key
    return hashed(key)


def hashed(key: str) -> str:
    """Name the files of a key by its readable part and a hash, whatever it is."""
    plain = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", plain)[:60].strip("-_") or "item"
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return f"{readable}-{b32encode(digest)[:20].decode().lower()}"


def numbered(stem: str, index: int, suffix: str) -> str:
    """Name the piece `index` of a result; the first has no number."""
    return f"{stem}.{index}.{suffix}" if index else f"{stem}.{suffix}"


def fault(path: str) -> str | None:
    """Say why a path that a user gave cannot be taken inside a folder, on any common system; None if it can."""
    if not path or len(path.encode("utf-8", "surrogatepass")) > _LONGEST:
        return f"it is {'too long' if path else 'empty'}"
    if found := _FORBIDDEN.search(path):
        return f"it holds {brief(found[0], 8)!r}; use / between folders"
    if path.startswith(("/", "~")):
        return "it leaves the folder; give it relative to the folder"
    return next((why for part in path.split("/") if (why := _fault_of_part(part))), None)


def one_form(path: str) -> str:
    """Fold what some file system takes for the same: case, and Unicode forms."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", path).casefold())


def _fault_of_part(part: str) -> str | None:
    if part in ("", "."):
        return "a folder in it has no name"
    if part == "..":
        return "it leaves the folder"
    if part != part.strip() or part.endswith("."):
        return f"{brief(part, 40)!r} begins or ends with a space or a dot"
    if len(part.encode("utf-8", "surrogatepass")) > _LONGEST_PART:
        return f"{brief(part, 40)!r} is longer than {_LONGEST_PART} bytes"
    return f"{brief(part, 40)!r} is a device on Windows" if _RESERVED.fullmatch(part) else None
