"""Requests as JSONL: one pass that reads, checks and counts them, and can keep a copy of exactly what will be sent.

One line is `{"key": str, "request": GenerateContentRequest}`. Input that can only mean one thing (a BOM, CRLF, blank
lines, no final newline) is accepted with a warning. Fields beside `key` and `request` are not sent but kept.

`lines.parse` alone decides what is wrong with a line. Lines without a fault are recognised faster (see
`scanning.scanner`); the result is the same.
"""

from contextlib import nullcontext
from hashlib import sha256
from itertools import islice
from pathlib import Path
from shutil import copyfileobj
from typing import IO

import msgspec

from genai_batch.resources import equals
from genai_batch.resources.answers import Problem
from genai_batch.resources.equals import NONE, Equal
from genai_batch.resources.jobs import BINDING, SCHEMA
from genai_batch.resources.local_files import LocalFiles
from genai_batch.resources.models import Model, warning
from genai_batch.resources.preflight import sources
from genai_batch.resources.preflight.blocks import MAX_LINE, Blocks
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.preflight.parts import MAX_FILE, Cut, Part
from genai_batch.resources.preflight.repeats import Repeat, repeats
from genai_batch.resources.scanning.scanner import Scanner
from genai_batch.resources.scanning.tally import Tally
from genai_batch.resources.scanning.token_sample import stride
from genai_batch.resources.sources.settings import Settings
from genai_batch.resources.tally import Tier

__all__ = ["MAX_FILE", "MAX_LINE", "Cut", "Findings", "Outcome", "Part", "Preflight", "Tier"]

_FIRST = 64
_FEWEST = 3
"""Rows from which on it is told that all are equal."""
EQUAL = "requests are equal"
"""Is in what is told of equal requests, which an estimate adds their cost to."""


class Outcome(msgspec.Struct, array_like=True):
    """What a pass over a source comes to, beside its findings."""

    digest: str
    requests: int
    size: int
    short: Tier
    long: Tier
    parts: list[Part]
    equal: Equal


class Preflight:
    """One pass over a source for a model, and what it found.

    After `run` it holds: `requests` (good rows), `findings`, `digest` (of what would be sent), `size` (bytes of it),
    and estimated tokens summed apart for rows up to (`short`) and above (`long`) `LONG` input tokens, which cost
    differently. While anything is wrong, `digest`, `size` and `parts` mean nothing.
    """

    def __init__(
        self,
        source: Path,
        model: Model,
        cut: Cut | None = None,
        *,
        is_bound: bool = False,
        about: Settings | None = None,
        warnings: list[Problem] | None = None,
    ) -> None:
        """Look at the file from outside; `cut` is what one batch holds.

        `is_bound` says that each request carries the id of its key, `about` what a manifest says of the job. Of a copy
        with other lines than its source `warnings` are told, which name the lines of the source.

        Raises:
            InvalidRequests: there is no such file, or it cannot be JSONL of requests.
        """
        self.source, self.model, self.cut, self.is_bound = source, model, cut or Cut(), is_bound
        self.about = about or Settings()
        self.warnings = warnings
        self.findings, self._tally, self.digest = Findings(), Tally(self.cut), ""
        self.equal, self._may_be_equal = NONE, False
        self.short, self.long = self._tally.short, self._tally.long
        sources.refuse(source)

    @property
    def outcome(self) -> Outcome:
        """What `run` came to; given back to a `Preflight` of the same source, this holds what it held after `run`."""
        return Outcome(self.digest, self.requests, self.size, self.short, self.long, self.parts, self.equal)

    @outcome.setter
    def outcome(self, outcome: Outcome) -> None:
        tally = self._tally
        tally.requests, tally.short, tally.long = outcome.requests, outcome.short, outcome.long
        tally.cutter.parts, tally.cutter.size = outcome.parts, outcome.size
        self.digest, self.short, self.long, self.equal = outcome.digest, outcome.short, outcome.long, outcome.equal

    @property
    def requests(self) -> int:
        """Good rows."""
        return self._tally.requests

    @property
    def makes_media(self) -> bool:
        """Whether images or sounds come back."""
        return any(shape.media for tier in (self.short, self.long) for shape, rows in tier.shapes.items() if rows)

    @property
    def checks(self) -> str:
        """What is checked of the answers, in the words of `Job.checks`."""
        structured = self.short.structured or self.long.structured
        return " ".join([SCHEMA] * structured + [BINDING] * self.is_bound)

    @property
    def shape(self) -> str:
        """A short name of how the rows are set and how long they are; jobs of one name are compared with each other.

        Every setting counts with its share of the rows in tenths, the length to the next power of two.
        """
        tiers = [tier for tier in (self.short, self.long) if tier.rows]
        mix = [
            f"{'long' * (tier is self.long)}{shape.name}x{round(10 * rows / self.requests)}"
            for tier in tiers
            for shape, rows in tier.shapes.items()
        ]
        size = sum(tier.input for tier in tiers) / max(1, self.requests)
        return sha256(f"{sorted(mix)} {round(size).bit_length()}".encode()).hexdigest()[:16]

    @property
    def parts(self) -> list[Part]:
        """The batches the rows are cut into."""
        return self._tally.cutter.parts

    @property
    def upload_bytes(self) -> int:
        """Bytes of local files that are uploaded once, beside the requests."""
        if self.about.files is None:
            return 0
        with LocalFiles(self.about.files) as files:
            return files.total[1]

    @property
    def size(self) -> int:
        """Bytes of what would be sent."""
        return self._tally.cutter.size

    def run(self, copy: IO[bytes] | None = None, extras: IO[bytes] | None = None) -> "Preflight":
        """Read the whole source; write what would be sent to `copy` and what would not to `extras`."""
        self._read(copy, extras)
        if extras and self.about.beside:
            with self.about.beside.open("rb") as beside:
                copyfileobj(beside, extras)
        if self._may_be_equal and not self.findings.count:
            self._count_equal()
        if self.about.equal and not self.findings.count:
            self.digest = equals.digest_with(self.digest, self.about.equal)
        if self.warnings is not None:
            self.findings.warnings = [*self.warnings]
        if not self.requests and not self.findings.count:
            self.findings.problem("the file holds no requests", 'write one {"key": …, "request": …} a line')
        return self

    def _count_equal(self) -> None:
        self.equal = equals.count(self.source)
        rows, requests = self.equal.rows, self.requests
        if not rows:
            return
        if requests >= _FEWEST and rows == requests - 1:
            message = f"all {requests:,} {EQUAL}: the same answer is asked for, and paid for, every time"
            self.findings.warn(message, "name a column in the template, as {{ column }}, or send one request")
        else:
            message = f"{rows:,} of {requests:,} {EQUAL} to an earlier one"
            self.findings.warn(message, "dedupe=true (`--dedupe`), or dedupe: true in a manifest, sends each once")

    def refuse_problems(self, name: str | None = None) -> None:
        """Stop here if anything is wrong; `name` is what the source is called, where that is not its file's name.

        Raises:
            InvalidRequests: with every problem found.
        """
        if self.findings.count:
            raise self.findings.refusal(name or self.source.name)

    def _read(self, copy: IO[bytes] | None, extras: IO[bytes] | None) -> None:
        self.findings.warnings.extend(self.about.warnings)
        if ends := warning(self.model):
            self.findings.warnings.append(ends)
        before = _stamp(self.source)
        with self.source.open("rb") as file:
            start = file.read(1024 * 1024)
        step = stride(self.source.stat().st_size, _row_size(start), self.cut.tokens)
        blocks = Blocks(self.source, self.findings)
        with LocalFiles(self.about.files) if self.about.files else nullcontext() as files:
            scanner = Scanner(self.model, step, self.findings, self._tally, files, copy, extras)
            scanner.read(blocks)
            self.digest = scanner.digest
            if blocks.open_end:
                self.findings.warn("the last line has no newline; read all the same", line=scanner.lines)
            scanner.tell_doubts()
            self._may_be_equal = scanner.sketch.has_equal
            if suspects := scanner.keys.suspects():
                self._name_repeats(scanner, suspects, before)

    def _name_repeats(self, scanner: Scanner, suspects: set[int], before: tuple[int, ...]) -> None:
        found: list[Repeat] = []
        for repeat in repeats(self.source, self.model, suspects):
            found.append(repeat._replace(raw=b""))
            scanner.forget(repeat.raw)
        self.findings.repeats([(repeat.line, repeat.first, repeat.key) for repeat in found])
        if _stamp(self.source) != before:
            self.findings.problem("the file was changed while it was read", "try again when it is complete")


def _row_size(start: bytes) -> float:
    """Bytes of a row, by some rows from the start."""
    whole = start[: start.rfind(b"\n") + 1] or start
    rows = [len(stripped) for line in islice(whole.split(b"\n"), _FIRST) if (stripped := line.strip())]
    return sum(rows) / max(1, len(rows))


def _stamp(source: Path) -> tuple[int, ...]:
    found = source.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
