"""The pass itself: every block's runs of rows that match, and between them the lines that are read exactly."""

from collections.abc import Iterable
from typing import IO, Any

import msgspec

from genai_batch.resources import lint
from genai_batch.resources.lines import Line, parse
from genai_batch.resources.models import Model
from genai_batch.resources.preflight import forms
from genai_batch.resources.preflight.blocks import MAX_LINE
from genai_batch.resources.preflight.counting import Counter
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.preflight.forms import Judged
from genai_batch.resources.preflight.matching import Matched, Run
from genai_batch.resources.preflight.pieces import Pieces
from genai_batch.resources.preflight.pool import Here
from genai_batch.resources.preflight.sinks import Sink
from genai_batch.resources.preflight.totals import Laid, Totals
from genai_batch.resources.prices import LONG
from genai_batch.resources.shapes import shape_of

_JSON_SPACE = b" \t\r\n"


class _Row(msgspec.Struct):
    request: dict[str, Any]


_row = msgspec.json.Decoder(_Row).decode


class Reading:
    """Reads the blocks of one source, in order."""

    def __init__(
        self, model: Model, counter: Counter, findings: Findings, totals: Totals, matcher: Here, sink: Sink
    ) -> None:
        """Put together what takes part."""
        self._model, self._counter, self._findings, self._totals = model, counter, findings, totals
        self._matcher, self._sink = matcher, sink
        self.lines = 0
        self._doubts = lint.Tally()
        self._blank = self._offset = 0

    def read(self, blocks: Iterable[bytes | None], extras: IO[bytes] | None) -> None:
        """Read all blocks."""
        for block, matched in self._matcher.results(blocks):
            if block is None or matched is None:
                self.lines += 1
                said = f"is longer than {MAX_LINE // 2**20} MiB"
                self._findings.problem(said, "upload media with the Files API", line=self.lines)
            else:
                self._block(block, matched, extras)
        if self._blank:
            self._findings.warn(f"{self._blank:,} blank lines were left out")
        self._totals.settle()

    def tell_doubts(self) -> None:
        """Say each doubt once for all rows."""
        for told in self._doubts:
            self._findings.warn(told.sentence(), told.doubt.fix, line=told.line, key=told.key)

    def _block(self, block: bytes, matched: Matched, extras: IO[bytes] | None) -> None:
        pieces, before = Pieces(block), self.lines
        for run in matched.runs:
            self._run(block, run, pieces, extras)
            self.lines += run.lines
        for number, met in matched.met.items():
            judged = self._matcher.judged[number]
            self._totals.rows(met.rows, judged.shape)
            self._doubts.add(judged.doubts, before + met.line + 1, met.key, met.rows)
        self._offset += len(block)
        self._sink.put(pieces.done())

    def _run(self, block: bytes, run: Run, pieces: Pieces, extras: IO[bytes] | None) -> None:
        laid = Laid()
        start, done = run.start, 0
        for index, line_start, line_end in run.missed:
            self._rows(block, start, line_start, index - done, laid)
            pieces.keep(start, line_start)
            self._line(block, line_start, line_end, self.lines + index + 1, laid, pieces, extras)
            start, done = line_end, index + 1
        self._rows(block, start, run.end, run.lines - done, laid)
        pieces.keep(start, run.end)
        self._totals.run(laid)

    def _rows(self, block: bytes, start: int, end: int, rows: int, laid: Laid) -> None:
        """Count rows that matched."""
        if rows:
            laid.rows(block, start, end, rows)
            self._sample(block, start, end, laid)

    def _sample(self, block: bytes, start: int, end: int, laid: Laid) -> None:
        """Count those rows that lie at the places to look."""
        seen = -1
        for place in self._counter.places(self._offset, start, end):
            first = max(start, block.rfind(b"\n", start, place) + 1)
            if first == seen:
                continue
            seen, size = first, block.find(b"\n", place) + 1 - first
            request = _row(block[first : first + size]).request
            kinds, weight = self._counter.row(request, size), self._counter.weight(size)
            tokens = sum(kinds.values())
            laid.samples.append(weight * tokens)
            if tokens > LONG:
                self._totals.rise(kinds, shape_of(request, self._model))
            else:
                self._totals.sample(kinds, weight)

    def _line(
        self, block: bytes, start: int, end: int, number: int, laid: Laid, pieces: Pieces, extras: IO[bytes] | None
    ) -> None:
        """Read a line exactly."""
        raw = block[start:end]
        is_plain = raw.startswith(b"{") and raw.endswith(b"}\n")
        if not (text := raw[:-1] if is_plain else raw.strip()):
            self._blank += 1
            return
        line = parse(text, self._model)
        self._tell(line, number)
        if line.key is not None:
            self._matcher.note(line.key)
        if line.faults:
            return
        if extras and line.extra:
            extras.write(line.extra)
        as_it_is = not line.extra and (is_plain or raw.strip(_JSON_SPACE) == text)
        if as_it_is:
            pieces.keep(start, end)
        else:
            pieces.put(line.sent)
        if as_it_is and (judged := self._judged(text, line)):
            self._matcher.learn(judged)
            self._totals.rows(1, judged.shape)
            self._rows(block, start, end, 1, laid)
        else:
            self._one(line, end - start if as_it_is else len(line.sent), laid)

    def _one(self, line: Line, size: int, laid: Laid) -> None:
        """Count a row for itself."""
        kinds = self._counter.row(line.request, size)
        self._totals.row(kinds, shape_of(line.request, self._model))
        laid.one(size, sum(kinds.values()))

    def _judged(self, text: bytes, line: Line) -> Judged | None:
        """What can be learned from a good line, where rows are sampled at all."""
        if line.extra or not self._counter.samples:
            return None
        return forms.learn(text, line, self._model)

    def learn(self, raw: bytes) -> None:
        """Learn from a line ahead of time, without counting it."""
        line = parse(raw, self._model)
        if not line.faults and (judged := self._judged(raw, line)):
            self._matcher.learn(judged)

    def _tell(self, line: Line, number: int) -> None:
        for fault in line.faults:
            self._findings.problem(fault.problem, fault.fix, line=number, key=line.key)
        self._doubts.add(line.doubts, number, line.key)

    def forget(self, raw: bytes) -> None:
        """Take out a row whose key was taken already, if it was good."""
        line = parse(raw.strip(), self._model)
        if not line.faults:
            size = len(line.sent)
            self._totals.forget(size, self._counter.row(line.request, size), shape_of(line.request, self._model))
