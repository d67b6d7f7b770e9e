"""A corrected copy of a source: the same lines in the same places, mended where the correction is certain."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
from pydantic import Field

from genai_batch.resources.answers import Answer, Problem, brief
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.lines import parse
from genai_batch.resources.lint import MAX_DEPTH, shape
from genai_batch.resources.lint.repair import mend
from genai_batch.resources.models import Model
from genai_batch.resources.requests import MAX_LINE
from genai_batch.resources.untyped import is_object
from genai_batch.resources.whole import beside

_BUFFER = 4 * 1024 * 1024
_KEPT = 1_000
_BOM = b"\xef\xbb\xbf"


class Correction(Answer):
    """What was changed in one line."""

    line: int
    key: str | None = None
    changed: str

    def sentence(self) -> str:
        """Say it in one line."""
        return Problem(line=self.line, key=self.key, problem=self.changed).sentence()


class Corrected(Estimate):
    """The estimate of a corrected copy, and what was corrected in it."""

    fixed_path: str
    fixed_count: Annotated[int, Field(description="Lines that were changed")]
    fixed: Annotated[list[Correction], Field(description="The first thousand of them")] = []


class Corrections:
    """What was changed on the way from a source to its copy: all lines counted, the first thousand kept."""

    def __init__(self) -> None:
        """Start with none."""
        self.count = 0
        self.kept: list[Correction] = []

    def add(self, line: int, key: str | None, changes: list[str]) -> None:
        """Note a mended line."""
        self.count += 1
        if len(self.kept) < _KEPT:
            said = "; ".join(dict.fromkeys(changes))
            self.kept.append(Correction(line=line, key=key and brief(key, 80), changed=brief(said, 400)))


def write(source: Path, target: Path, model: Model) -> Corrections:
    """Write the corrected copy, whole or not at all. A line without a fault is copied byte for byte."""
    done = Corrections()
    with (
        beside(target) as part,
        source.open("rb", buffering=_BUFFER) as lines,
        part.open("wb", buffering=_BUFFER) as copy,
    ):
        _copy(lines, copy, model, done)
    return done


def _copy(lines: IO[bytes], copy: IO[bytes], model: Model, done: Corrections) -> None:
    number = 0
    while raw := lines.readline(MAX_LINE):
        number += 1
        if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
            copy.write(raw)
            copy.writelines(_rest(lines))
            continue
        mark = _BOM if number == 1 and raw.startswith(_BOM) else b""
        body = raw.removeprefix(mark).strip()
        mended, changes = corrected(body, model) if body else (body, [])
        if changes:
            key = msgspec.json.decode(mended).get("key")
            done.add(number, key if isinstance(key, str) else None, changes)
            raw = mark + mended + (b"\r\n" if raw.endswith(b"\r\n") else b"\n")
        copy.write(raw)


def _rest(lines: IO[bytes]) -> Iterator[bytes]:
    """The remaining pieces of a line that is too long to be held."""
    while piece := lines.readline(_BUFFER):
        yield piece
        if piece.endswith(b"\n"):
            return


def corrected(raw: bytes, model: Model) -> tuple[bytes, list[str]]:
    """Mend one line, and tell how; a line without a fault, or with nothing certain to do, comes back as it is."""
    before = parse(raw, model).faults
    if not before or not is_object(line := _decoded(raw)) or shape(line).depth > MAX_DEPTH:
        return raw, []
    if not (changes := mend(line, model)):
        return raw, []
    mended = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()
    return (mended, changes) if set(parse(mended, model).faults) != set(before) else (raw, [])


def _decoded(raw: bytes) -> Any:
    """Decode a line, unless one object in it has a member twice: which of the two was meant is not certain."""
    try:
        msgspec.json.decode(raw)
        return json.loads(raw, object_pairs_hook=_once)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs) and any(made[name] != value for name, value in pairs):
        raise ValueError("a member stands twice")
    return made
