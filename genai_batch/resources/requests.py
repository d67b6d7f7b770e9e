"""Requests as JSONL: one pass that reads, checks and counts them, and can keep a copy of exactly what will be sent.

One line is `{"key": str, "request": GenerateContentRequest}`. Input that can only mean one thing (a BOM, CRLF, blank
lines, no final newline) is accepted with a warning. Fields beside `key` and `request` are not sent but kept.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from genai_batch.resources import tokens
from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.lines import Line, parse
from genai_batch.resources.models import Model, warning
from genai_batch.resources.prices import LONG
from genai_batch.resources.untyped import as_list, as_object

MAX_FILE = 2_000_000_000
"""Bytes of one input file that the Batch API takes; a larger source becomes several batches."""
MAX_LINE = 32 * 1024 * 1024
"""Bytes of one line; what is longer is refused without being held in memory."""
_KEPT = 1_000
_BUFFER = 4 * 1024 * 1024
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}


class Row(NamedTuple):
    """What one good line adds up to. Token numbers are estimates."""

    input: float
    most_output: int | None
    makes_media: bool


@dataclass
class Tier:
    """Sums over the rows that share one price: how many, their input tokens, and those that bound their output."""

    rows: int = 0
    input: float = 0
    bounded: int = 0
    bound: int = 0


class Cut(NamedTuple):
    """At most how much goes into one batch: bytes of its file, and estimated input tokens."""

    bytes: int = MAX_FILE
    tokens: float = float("inf")


@dataclass
class Part:
    """A run of lines that becomes one batch: where it lies in requests.jsonl, how many rows, how many tokens."""

    start: int
    length: int = 0
    requests: int = 0
    tokens: float = 0


class Findings:
    """Problems and warnings met on the way: all counted, the first thousand of each kept."""

    def __init__(self) -> None:
        """Start with none."""
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.count = 0

    def problem(self, problem: str, fix: str | None = None, *, line: int | None = None, key: str | None = None) -> None:
        """Note something that keeps the file from being sent."""
        self.count += 1
        if len(self.problems) < _KEPT:
            self.problems.append(_told(problem, fix, line, key))

    def warn(self, problem: str, fix: str | None = None, *, line: int | None = None, key: str | None = None) -> None:
        """Note something that is accepted all the same."""
        if len(self.warnings) < _KEPT:
            self.warnings.append(_told(problem, fix, line, key))


class Preflight:
    """One pass over a source for a model, and what it found.

    After `run` it holds: `requests` (good rows), `findings`, `digest` (of what would be sent), `size` (bytes of it),
    and estimated tokens summed apart for rows up to (`short`) and above (`long`) `LONG` input tokens, which cost
    differently.
    """

    def __init__(self, source: Path, model: Model, cut: Cut | None = None) -> None:
        """Look at the file from outside; `cut` is what one batch holds.

        Raises:
            InvalidRequests: there is no such file, or it cannot be JSONL of requests.
        """
        self.source, self.model, self.cut = source, model, cut or Cut()
        self.parts: list[Part] = []
        self.findings = Findings()
        self.requests = self.size = 0
        self.short, self.long = Tier(), Tier()
        self.makes_media = False
        self._keys: dict[str, int] = {}
        self._hash = hashlib.sha256()
        _refuse(source)

    @property
    def digest(self) -> str:
        """SHA-256 of the lines that would be sent."""
        return self._hash.hexdigest()

    def run(self, copy: IO[bytes] | None = None, extras: IO[bytes] | None = None) -> "Preflight":
        """Read the whole source; write what would be sent to `copy` and what would not to `extras`."""
        if ends := warning(self.model):
            self.findings.warnings.append(ends)
        for number, raw in _lines(self.source, self.findings):
            line = parse(raw, self.model)
            if self._is_good(number, line):
                self._keep(line, copy, extras)
        if not self.requests and not self.findings.count:
            self.findings.problem("the file holds no requests", 'write one {"key": …, "request": …} a line')
        return self

    def refuse_problems(self) -> None:
        """Stop here if anything is wrong.

        Raises:
            InvalidRequests: with every problem found.
        """
        if self.findings.count:
            raise InvalidRequests(self.source.name, self.findings.problems, self.findings.count)

    def _is_good(self, number: int, line: Line) -> bool:
        for fault in line.faults:
            self.findings.problem(fault.problem, fault.fix, line=number, key=line.key)
        for fault in line.doubts:
            self.findings.warn(fault.problem, fault.fix, line=number, key=line.key)
        if line.key is None:
            return False
        if (first := self._keys.setdefault(line.key, number)) != number:
            self.findings.problem(f"repeats the key of line {first}", "make keys unique", line=number, key=line.key)
        return not line.faults and first == number

    def _keep(self, line: Line, copy: IO[bytes] | None, extras: IO[bytes] | None) -> None:
        self._hash.update(line.sent)
        self._add(line.request, len(line.sent))
        self.requests += 1
        self.size += len(line.sent)
        if copy:
            copy.write(line.sent)
        if extras and line.extra:
            extras.write(line.extra)

    def _add(self, request: dict[str, Any], size: int) -> None:
        row = _row(request, self.model)
        part = self.parts[-1] if self.parts else None
        if part is None or part.length + size > self.cut.bytes or part.tokens + row.input > self.cut.tokens:
            part = Part(self.size)
            self.parts.append(part)
        part.length, part.requests, part.tokens = part.length + size, part.requests + 1, part.tokens + row.input
        tier = self.long if row.input > LONG else self.short
        tier.rows += 1
        tier.input += row.input
        if row.most_output is not None:
            tier.bounded += 1
            tier.bound += row.most_output
        self.makes_media = self.makes_media or row.makes_media


def _told(problem: str, fix: str | None, line: int | None, key: str | None) -> Problem:
    """Bound what a file can make an answer say."""
    return Problem(line=line, key=key and brief(key, 80), problem=brief(problem, 240), fix=fix and brief(fix, 200))


def _row(request: dict[str, Any], model: Model) -> Row:
    settings = as_object(request.get("generation_config") or request.get("generationConfig"))
    most = settings.get("max_output_tokens") or settings.get("maxOutputTokens")
    kinds = as_list(settings.get("response_modalities") or settings.get("responseModalities"))
    media = model.kind in ("image", "speech") or any(kind in ("IMAGE", "AUDIO") for kind in kinds)
    return Row(tokens.of_request(request, model), most if isinstance(most, int) and most > 0 else None, media)


def _refuse(source: Path) -> None:
    if not source.exists():
        near = [each.name for each in source.parent.glob("*.jsonl")] if source.parent.is_dir() else []
        fix = f"{source.parent} holds {', '.join(sorted(near)[:5])}" if near else "check the path"
        raise InvalidRequests(str(source), [Problem(problem="no such file", fix=fix)])
    if not source.is_file():
        kind = "a folder" if source.is_dir() else "not a regular file"
        raise InvalidRequests(str(source), [Problem(problem=f"is {kind}", fix="give the path of a .jsonl file")])
    try:
        with source.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise InvalidRequests(str(source), [Problem(problem=f"cannot be read: {error.strerror}")]) from error
    _refuse_start(source, start)


def _refuse_start(source: Path, start: bytes) -> None:
    for bom, name in _BOMS.items():
        if start.startswith(bom):
            fix = f"iconv -f {name} -t UTF-8 {source.name} > utf8.jsonl"
            raise InvalidRequests(source.name, [Problem(problem=f"is encoded in {name}; JSONL is UTF-8", fix=fix)])
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        fix = f"jq -c '.[]' {source.name} > requests.jsonl"
        raise InvalidRequests(source.name, [Problem(problem="is a JSON array; JSONL is one object a line", fix=fix)])
    if source.suffix.lower() in (".yaml", ".yml", ".csv", ".tsv", ".xlsx", ".parquet"):
        fix = 'write one {"key": …, "request": …} a line into a .jsonl file'
        raise InvalidRequests(source.name, [Problem(problem=f"is {source.suffix}, not JSONL of requests", fix=fix)])


def _lines(source: Path, findings: Findings) -> Iterator[tuple[int, bytes]]:
    """Yield the number and bytes of each line that holds something, and tell what was passed over."""
    blank = returns = number = 0
    last = b"\n"
    with source.open("rb", buffering=_BUFFER) as file:
        while raw := file.readline(MAX_LINE):
            number += 1
            last = raw
            if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
                last = _skip(file) or raw
                findings.problem(
                    f"is longer than {MAX_LINE // 2**20} MiB", "upload media with the Files API", line=number
                )
                continue
            if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                raw = raw.removeprefix(b"\xef\xbb\xbf")
                findings.warn("a byte order mark was left out", line=1)
            returns += raw.endswith(b"\r\n")
            if stripped := raw.strip():
                yield number, stripped
            else:
                blank += 1
    if returns:
        findings.warn(f"{returns:,} lines end in CRLF; read as newlines")
    if blank:
        findings.warn(f"{blank:,} blank lines were left out")
    if not last.endswith(b"\n"):
        findings.warn("the last line has no newline; read all the same", line=number)


def _skip(file: IO[bytes]) -> bytes:
    """Pass over the rest of a line without holding it, and return its end."""
    last = b""
    while rest := file.readline(_BUFFER):
        last = rest
        if rest.endswith(b"\n"):
            break
    return last
