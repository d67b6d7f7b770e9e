"""The pass itself: every block's runs of rows that match, and between them the lines that are read exactly."""

from collections.abc import Iterable
from typing import IO, Any

from genai_batch.resources import lint
from genai_batch.resources.lines import Line, parse
from genai_batch.resources.lint import Fault
from genai_batch.resources.local_files import LocalFiles, named_in
from genai_batch.resources.models import Model
from genai_batch.resources.preflight import sampling
from genai_batch.resources.preflight.blocks import MAX_LINE
from genai_batch.resources.preflight.counting import of_row
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.preflight.learning import learn, silent, texts_of
from genai_batch.resources.preflight.matching import Matched, Run
from genai_batch.resources.preflight.pieces import Pieces
from genai_batch.resources.preflight.pool import Here
from genai_batch.resources.preflight.sampling import WINDOW, Kinds
from genai_batch.resources.preflight.sinks import Sink
from genai_batch.resources.preflight.totals import Laid, Totals
from genai_batch.resources.shapes import Shape, shape_of
from genai_batch.resources.tiers import LONG
from genai_batch.resources.tokens.media import unseen

_JSON_SPACE = b" \t\r\n"
_UNKNOWN = Fault("names a local file that is not known here", "name it in files or images of a manifest", "local-file")


class Reading:
    """Reads the blocks of one source, in order."""

    def __init__(
        self, model: Model, step: int, findings: Findings, totals: Totals, matcher: Here, sink: Sink,
        files: LocalFiles | None = None,
    ) -> None:  # fmt: skip
        """Put together what takes part; every row is counted whole if `step` is 0, else one at every `step` bytes.

        `files` are the local files that rows may name.
        """
        self._files = files
        self._model, self._step, self._findings, self._totals = model, step, findings, totals
        self._matcher, self._sink = matcher, sink
        self.lines = self._blank = self._offset = 0
        self._doubts = lint.Tally()

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
        for sample in run.samples:
            self._sample(sample.kinds, sample.weight, self._matcher.judged[sample.number].shape, laid)
        for index, line_start, line_end in run.missed:
            laid.rows(block, start, line_start, index - done)
            pieces.keep(start, line_start)
            self._line(block, line_start, line_end, self.lines + index + 1, laid, pieces, extras)
            start, done = line_end, index + 1
        laid.rows(block, start, run.end, run.lines - done)
        pieces.keep(start, run.end)
        self._totals.run(laid)

    def _sample(self, kinds: Kinds, weight: float, shape: Shape, laid: Laid) -> None:
        """Take a row for as many as it stands for."""
        tokens = sum(kinds.values())
        laid.samples.append(weight * tokens)
        if tokens > LONG:
            self._totals.rise(kinds, shape)
        else:
            self._totals.sample(kinds, weight)

    def _line(
        self, block: bytes, start: int, end: int, number: int, laid: Laid, pieces: Pieces, extras: IO[bytes] | None
    ) -> None:
        """Read a line exactly."""
        is_plain = block.startswith(b"{", start) and block.endswith(b"}\n", start, end)
        raw = block[start : end - is_plain]
        if not (text := raw if is_plain else raw.strip()):
            self._blank += 1
            return
        line = self._parsed(text)
        self._tell(line, number)
        if line.key is not None:
            self._matcher.note(line.key)
        if line.faults:
            return
        if extras and line.extra:
            extras.write(line.extra + b"\n")
        as_it_is = not line.extra and (is_plain or raw.strip(_JSON_SPACE) == text)
        if as_it_is:
            pieces.keep(start, end)
        else:
            pieces.put(line.sent + b"\n")
        if as_it_is and self._step and (judged := learn(text, line, self._model)):
            self._matcher.learn(judged, line.request, self._model)
            self._totals.rows(1, judged.shape)
            self._like_the_matched(line.request, block, start, end, laid)
        else:
            self._one(line, end - start if as_it_is else len(line.sent) + 1, laid)

    def _like_the_matched(self, request: dict[str, Any], block: bytes, start: int, end: int, laid: Laid) -> None:
        """Count a row as one that matched is counted, so that nothing depends on when its like was learned."""
        laid.rows(block, start, end, 1)
        for _ in sampling.rows(block, self._offset, start, end, self._step):
            kinds = sampling.of_texts(texts_of(request), silent(request, self._model))
            rows = sampling.weight(end - start, self._step)
            self._sample(kinds, rows, shape_of(request, self._model), laid)

    def _one(self, line: Line, size: int, laid: Laid) -> None:
        """Count a row for itself."""
        kinds = self._kinds(line, size)
        self._totals.row(kinds, shape_of(line.request, self._model))
        laid.one(size, sum(kinds.values()))

    def _kinds(self, line: Line, size: int) -> Kinds:
        see = self._files.seen if self._files else unseen
        return of_row(line.request, self._model, whole=not self._step or size <= 2 * WINDOW, see=see)

    def _parsed(self, text: bytes) -> Line:
        """Parse a line; that it names a file which nobody could upload is wrong too."""
        line = parse(text, self._model)
        known = all(self._files and self._files.find(each) for each in named_in(text))
        return line if known else line._replace(faults=(*line.faults, _UNKNOWN))

    def _tell(self, line: Line, number: int) -> None:
        for fault in line.faults:
            self._findings.problem(fault.problem, fault.fix, line=number, key=line.key)
        self._doubts.add(line.doubts, number, line.key)

    def forget(self, raw: bytes) -> None:
        """Take out a row whose key was taken already, if it was good."""
        line = self._parsed(raw.strip())
        if not line.faults:
            size = len(line.sent) + 1
            self._totals.forget(size, self._kinds(line, size), shape_of(line.request, self._model))
