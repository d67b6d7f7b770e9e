"""A folder as rows: the files in it and in the folders in it, as they are met; nothing is followed out of it."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pathspec

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.sources.parts import Looked, Unusable, look

IGNORE = ".genaibatchignore"
"""Rules as in a .gitignore, at the top of a folder."""
_MOST_RULES = 200_000


class Rules(NamedTuple):
    """Which files are meant: those like one of `include`, unless they are like one of `ignore`."""

    include: pathspec.GitIgnoreSpec | None
    ignore: pathspec.GitIgnoreSpec

    def means(self, path: str) -> bool:
        """Whether a file is meant. Case counts for nothing: cameras write .JPG."""
        folded = path.lower()
        return not self.ignore.match_file(folded) and (self.include is None or self.include.match_file(folded))

    def enters(self, path: str) -> bool:
        """Whether a folder is looked into."""
        return not self.ignore.match_file(path.lower() + "/")


def rules(root: Path, include: list[str], ignore: list[str]) -> Rules:
    """Read the rules for a folder, with those it holds itself.

    Raises:
        InvalidRequests: one cannot be read.
    """
    own = root / IGNORE
    try:
        more = own.read_text("utf-8-sig").splitlines() if own.is_file() and own.stat().st_size < _MOST_RULES else []
        wanted = _spec(include) if include else None
        return Rules(wanted, _spec([*more, *ignore]))
    except (OSError, ValueError) as error:
        said = f"a rule of include, ignore or {IGNORE} cannot be read: {brief(str(error), 120)}"
        raise InvalidRequests(root.name, [Problem(problem=said, fix="write it as in a .gitignore")]) from error


def _spec(lines: list[str]) -> pathspec.GitIgnoreSpec:
    return pathspec.GitIgnoreSpec.from_lines([line.removeprefix("./").lower() for line in lines])


def files(root: Path, chosen: Rules, found: Findings, most: int, *, strict: bool) -> Iterator[tuple[str, Looked]]:
    """Find the files that can be used, media up to `most` bytes, by their path in the folder.

    They come in the order of their names, those of a folder before the folders in it.
    What cannot be used is told in `found`: as a problem where `strict`, else as a warning.
    """
    tell = found.problem if strict else found.warn
    said = "" if strict else " and is left out"
    for path, entry in _walk(root, "", chosen, found):
        if _has_controls(path):
            tell(f"file {brief(repr(path), 120)} has a name with control characters{said}", "rename it")
            continue
        try:
            yield path, look(Path(entry.path), most)
        except Unusable as error:
            tell(f"file {brief(path, 120)!r} {error}{said}", error.fix)


def _walk(root: Path, folder: str, chosen: Rules, found: Findings) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    for entry in _entries(root, folder, found):
        path = f"{folder}/{entry.name}" if folder else entry.name
        if not _is_utf8(entry.name):
            found.warn(f"{brief(ascii(path), 120)} has a name that is not UTF-8; it is left out", "rename it")
        elif entry.is_dir(follow_symlinks=False):
            if chosen.enters(path):
                yield from _walk(root, path, chosen, found)
        elif not chosen.means(path):
            continue
        elif entry.is_symlink() and not _stays(root, entry):
            found.warn(f"{brief(path, 120)!r} is a link to a folder or out of the folder; it is left out")
        elif entry.is_file():
            yield path, entry
        else:
            found.warn(f"{brief(path, 120)!r} is a pipe, a socket or a device, and no file; it is left out")


def _entries(root: Path, folder: str, found: Findings) -> list["os.DirEntry[str]"]:
    """What a folder holds and does not hide, its files before its folders."""
    try:
        with os.scandir(root / folder) as inside:
            seen = [entry for entry in inside if not entry.name.startswith(".")]
    except OSError as error:
        found.warn(f"folder {brief(folder or root.name, 120)!r} cannot be read: {error.strerror}; it is left out")
        return []
    return sorted(seen, key=lambda entry: (entry.is_dir(follow_symlinks=False), entry.name))


def _has_controls(path: str) -> bool:
    """Whether no key can be the path: one is printed, and split into lines."""
    return any(unicodedata.category(character) == "Cc" for character in path)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stays(root: Path, entry: "os.DirEntry[str]") -> bool:
    """Whether a link leads to a file in the same folder."""
    try:
        target = Path(entry.path).resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target.is_file() and target.is_relative_to(root)


def columns(path: str, found: Looked, root: Path) -> dict[str, Any]:
    """What a template can say of a file."""
    whole = PurePosixPath(path)
    parent = str(whole.parent) if whole.parent.parts else ""
    return {
        "path": path, "name": whole.name, "stem": whole.stem, "suffix": whole.suffix, "folder": parent,
        "base": str(whole.with_suffix("")), "mime_type": found.mime_type, "size": found.size, "root": root.name,
    }  # fmt: skip
