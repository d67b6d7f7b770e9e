"""The lines whose key stands on an earlier line, found by reading a source again."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from genai_batch.resources.lines import parse
from genai_batch.resources.models import Model
from genai_batch.resources.preflight.blocks import Blocks
from genai_batch.resources.preflight.findings import Findings


class Repeat(NamedTuple):
    """A line whose key stands on an earlier one."""

    line: int
    first: int
    key: str
    raw: bytes


class _Keyed(msgspec.Struct):
    key: str


_decode = msgspec.json.Decoder(_Keyed).decode


def repeats(source: Path, model: Model, suspects: set[int]) -> Iterator[Repeat]:
    """Find repeated keys by reading a source again; `suspects` are the hashes that stand more than once."""
    seen: dict[str, int] = {}
    for number, raw, key in _keys(source):
        if hash(key) not in suspects or parse(raw.strip(), model).key != key:
            continue
        if (first := seen.setdefault(key, number)) != number:
            yield Repeat(number, first, key, raw)


def _keys(source: Path) -> Iterator[tuple[int, bytes, str]]:
    number = 0
    for block in Blocks(source, Findings()):
        if block is None:
            number += 1
            continue
        for raw in block.split(b"\n")[:-1]:
            number += 1
            try:
                yield number, raw, _decode(raw.strip()).key
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
