"""The scan of one source: block by block, and in each the lines that are plain, rich, and to be read exactly.

`lines.parse` alone decides what is wrong with a line. `plain_lines` and `rich_lines` know what it says of most lines
that have no fault, some hundred times faster; whatever they doubt is parsed.
"""

import io
from collections.abc import Iterable
from itertools import groupby
from typing import IO, Any

from blake3 import blake3

from genai_batch.resources import lint
from genai_batch.resources.lines import Line, parse
from genai_batch.resources.lint import Fault
from genai_batch.resources.local_files import LocalFiles, named_in
from genai_batch.resources.models import Model
from genai_batch.resources.preflight.blocks import MAX_LINE
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.preflight.keys import Keys
from genai_batch.resources.scanning import token_sample
from genai_batch.resources.scanning.json_pieces import decode
from genai_batch.resources.scanning.plain_lines import Batch, PlainLines
from genai_batch.resources.scanning.rich_lines import RichLines
from genai_batch.resources.scanning.settings import Settings, SettingsMemo
from genai_batch.resources.scanning.sketch import Sketch
from genai_batch.resources.scanning.tally import Kinds, Tally
from genai_batch.resources.scanning.token_sample import WINDOW
from genai_batch.resources.scanning.turns import Said, TurnsMemo
from genai_batch.resources.shapes import shape_of
from genai_batch.resources.tiers import LONG
from genai_batch.resources.tokens.media import unseen

RUN = 64 * 1024
"""Bytes of lines that are read together: so few that they are still in the cache when they are written."""
_RICH = 8
_DENSE = 4
"""Bytes of a token, of most texts."""
_CERTAINLY = 1.15
"""Times the limit that a count must reach, since counts may be so far off."""
_UNSEEN = "unseen"
_NOTHING = Said((), {}, is_text=True)
_JSON_SPACE = b" \t\r\n"
_UNKNOWN = Fault("names a local file that is not known here", "name it in files or images of a manifest", "local-file")


class Scanner:
    """Scans the blocks of one source, in order."""

    def __init__(
        self, model: Model, step: int, findings: Findings, tally: Tally, files: LocalFiles | None = None,
        copy: IO[bytes] | None = None, extras: IO[bytes] | None = None,
    ) -> None:  # fmt: skip
        """Put together what takes part; every row is counted whole if `step` is 0, else one at every `step` bytes.

        `files` are the local files that rows may name. What is sent goes to `copy`, what is not to `extras`.
        """
        self._model, self._step, self._findings, self._tally = model, step, findings, tally
        self._files, self._copy, self._extras = files, copy, extras
        self._settings = SettingsMemo(model)
        turns = TurnsMemo(model, files.seen if files else unseen)
        self._plain = PlainLines(model, self._settings, turns)
        self._rich = RichLines(model, self._settings, turns, self._plain, files)
        self._hash = blake3()
        self._doubts = lint.Tally()
        self._most_input = model.most_input
        self._counted_from = min(LONG, _DENSE * self._most_input)
        """Bytes of a line from which on all of it is counted."""
        self._offset = self._blank = 0
        self._rich_runs = 0 if step else 1
        """Runs in which lines are not tried as plain ones, since most of them were not; all, where all is counted."""
        self.keys, self.sketch = Keys(), Sketch(is_small=not step)
        self.lines = 0

    @property
    def digest(self) -> str:
        """BLAKE3 of all that is sent: a third of the time SHA-256 takes."""
        return self._hash.hexdigest()

    def read(self, blocks: Iterable[bytes | None]) -> None:
        """Read all blocks, and note what was found of all rows together."""
        for block in blocks:
            if block is None:
                self.lines += 1
                problem = f"is longer than {MAX_LINE // 2**20} MiB"
                self._findings.problem(problem, "upload media with the Files API", line=self.lines)
            else:
                self._block(block)
        if self._blank:
            self._findings.warn(f"{self._blank:,} blank lines were left out")
        self._take_settings()
        self._tally.settle()

    def tell_doubts(self) -> None:
        """Say each doubt once for all rows."""
        for told in self._doubts:
            self._findings.warn(told.sentence(), told.doubt.fix, line=told.line, key=told.key)

    def _block(self, block: bytes) -> None:
        """Read a block run by run; what is sent as it is, is written together."""
        file, view, start, unsent = io.BytesIO(block), memoryview(block), 0, 0
        while lines := file.readlines(RUN):
            end = file.tell()
            run = _Run(lines, self.lines + 1)
            self._run(run, block, start, end)
            if run.changed:
                self._write(view[unsent:start])
                self._write(b"".join([run.changed.get(index, line) for index, line in enumerate(lines)]))
                unsent = end
            start = end
            self.lines += len(lines)
        self._write(view[unsent:])
        self._offset += len(block)

    def _write(self, piece: bytes | memoryview) -> None:
        if piece:
            self._hash.update(piece)
            if self._copy:
                self._copy.write(piece)

    def _run(self, run: "_Run", block: bytes, start: int, end: int) -> None:
        """Read lines that are these bytes of a block."""
        if self._settings.is_full:
            self._take_settings()
        batch = Batch.of_none(len(run.lines), self._plain.form)
        if not self._rich_runs:
            batch = self._plain.read(run.lines, block, start, end)
        rest = [index for index, entry in enumerate(batch.entries) if entry is None] if None in batch.entries else []
        self._count_plain(run, batch)
        for index in rest:
            if not self._with_columns(run, batch, index):
                self._line(run, index)
        if self._step:
            self._sample(run, batch, self._offset + start)
            self._expect(run, batch)
            self.sketch.add_lines(run.lines, run.changed, run.sizes)
        self._tally.lay(run.sizes, run.sampled, run.counted, run.media)

    def _expect(self, run: "_Run", batch: Batch) -> None:
        """Decide whether the lines of the next run are tried as plain ones."""
        if self._plain.form is not batch.form:
            self._rich_runs = 0
        elif self._rich_runs:
            self._rich_runs -= 1
        elif run.rich > len(run.lines) // 2:
            self._rich_runs = _RICH

    def _count_plain(self, run: "_Run", batch: Batch) -> None:
        """Count the rows that are plain."""
        index = 0
        for entry, group in groupby(batch.entries):
            rows = len([*group])
            if entry and (settings := entry.settings):
                keys = [row.key for row in batch.rows[index : index + rows]]
                self.keys.add(keys)
                if batch.said:
                    for place, key in enumerate(keys, index):
                        self._add(run, place, key, settings, batch.said.get(place, _NOTHING))
                else:
                    settings.add(rows, run.first + index, keys[0])
            index += rows

    def _with_columns(self, run: "_Run", batch: Batch, index: int) -> bool:
        """Count a row that is plain but for its columns."""
        if index not in batch.more:
            return False
        entry, quotes = batch.more[index]
        line, said = run.lines[index], batch.said.get(index, _NOTHING)
        columns = self._rich.columns(line, quotes)
        if columns is None or entry.settings is None:
            return False
        key = batch.rows[index].key
        self.keys.add((key,))
        run.send(index, columns.sent + b"\n")
        if self._extras:
            self._extras.write(columns.extra + b"\n")
        batch.entries[index] = entry
        self._add(run, index, key, entry.settings, said, columns.doubts)
        return True

    def _add(
        self, run: "_Run", index: int, key: str, settings: Settings, said: Said, before: tuple[Fault, ...] = (),
        request: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Count a row that may hold media, and have doubts of its own, said before and after those of its settings."""
        media = sum(said.media.values()) if said.media else 0
        is_counted = not self._step or media + len(run.lines[index]) > self._counted_from
        if before or said.doubts or is_counted:
            self._doubts.add((*before, *settings.doubts, *said.doubts), run.first + index, key)
        else:
            settings.add(1, run.first + index, key)
        if is_counted:
            held: dict[str, Any] = request or decode(run.lines[index])["request"]
            kinds = self._kinds(held, run.sizes[index])
            if not self._is_too_long(run, index, key, kinds):
                run.counted[index] = self._tally.count(kinds, settings.shape)
            return
        if before or said.doubts:
            settings.rows += 1
        run.rows[index] = settings, said
        if said.media:
            run.media[index] = self._tally.media(said.media)

    def _line(self, run: "_Run", index: int) -> None:
        """Read a line that is not plain."""
        line = run.lines[index]
        rich = self._rich.read(line)
        if rich is None or rich.entry.settings is None:
            self._exactly(run, index, line)
            return
        self.keys.add((rich.key,))
        self.sketch.add(rich.request)
        run.rich += bool(rich.sent) or not rich.said.is_text
        if rich.extra:
            run.send(index, rich.sent + b"\n")
            if self._extras:
                self._extras.write(rich.extra + b"\n")
        self._add(run, index, rich.key, rich.entry.settings, rich.said, rich.beside, rich.request)

    def _exactly(self, run: "_Run", index: int, line: bytes) -> None:
        """Parse a line."""
        raw = line.removesuffix(b"\n")
        if not (text := raw.strip()):
            self._blank += 1
            run.send(index, b"")
            return
        read = self._parsed(text)
        for fault in read.faults:
            self._findings.problem(fault.problem, fault.fix, line=run.first + index, key=read.key)
        self._doubts.add(read.doubts, run.first + index, read.key)
        if read.key is not None:
            self.keys.add((read.key,))
            self.sketch.add(read.request)
        if read.faults:
            run.send(index, b"")
            return
        if read.extra and self._extras:
            self._extras.write(read.extra + b"\n")
        if read.extra or raw.strip(_JSON_SPACE) != text:
            run.send(index, read.sent + b"\n")
        kinds = self._kinds(read.request, run.sizes[index])
        if not self._is_too_long(run, index, read.key, kinds):
            run.counted[index] = self._tally.count(kinds, shape_of(read.request, self._model))

    def _is_too_long(self, run: "_Run", index: int, key: str | None, kinds: Kinds) -> bool:
        """Refuse a row whose input is certainly more than the model takes."""
        tokens = sum(count for kind, count in kinds.items() if not kind.startswith(_UNSEEN))
        if tokens <= self._most_input * _CERTAINLY:
            return False
        said = f"has about {tokens:,.0f} tokens of input; {self._model.name} takes {self._most_input:,}"
        self._findings.problem(said, "split it into several requests", line=run.first + index, key=key)
        run.send(index, b"")
        return True

    def _parsed(self, text: bytes) -> Line:
        """Parse a line; that it names a file which nobody could upload is wrong too."""
        line = parse(text, self._model)
        known = all(self._files and self._files.find(each) for each in named_in(text))
        return line if known else line._replace(faults=(*line.faults, _UNKNOWN))

    def _kinds(self, request: dict[str, Any], size: int) -> Kinds:
        """Tokens of a request whose line has `size` bytes."""
        see = self._files.seen if self._files else unseen
        return token_sample.of_row(request, self._model, whole=not self._step or size <= 2 * WINDOW, see=see)

    def _sample(self, run: "_Run", batch: Batch, offset: int) -> None:
        """Count the rows that lie where the sample looks, for all that were not counted whole."""
        sizes = [*map(len, run.lines)]
        for index in token_sample.sampled(sizes, offset, self._step):
            settings, said = run.rows.get(index, (None, _NOTHING))
            entry = batch.entries[index]
            if index in run.counted or not (settings := settings or (entry and entry.settings)):
                continue
            if entry and said.is_text:
                kinds = self._plain.kinds(batch.rows[index], entry, batch.form)
            else:
                kinds = self._kinds(decode(run.lines[index])["request"], run.sizes[index])
                for kind, tokens in said.media.items():
                    kinds[kind] -= tokens
            if sum(kinds.values()) > LONG:
                key = batch.rows[index].key if entry else decode(run.lines[index]).get("key")
                if self._is_too_long(run, index, key, kinds):
                    self._tally.short.add(-1, 0, settings.shape)
                    continue
                run.sampled += self._tally.rise(kinds, settings.shape)
            else:
                weight = token_sample.weight(sizes[index], self._step)
                run.sampled += self._tally.sample(kinds, weight, sum(said.media.values()))

    def _take_settings(self) -> None:
        """Add up what rows of equal settings have in common."""
        for settings in self._settings.take():
            self._tally.rows(settings.rows, settings.shape)
            if settings.alike:
                self._doubts.add(settings.doubts, settings.line, settings.key, settings.alike)

    def forget(self, raw: bytes) -> None:
        """Take out a row whose key was taken already, if it was good."""
        line = self._parsed(raw.strip())
        if not line.faults:
            size = len(line.sent) + 1
            self._tally.forget(size, self._kinds(line.request, size), shape_of(line.request, self._model))


class _Run:
    """Lines that are read together, and what is known of each by its index."""

    def __init__(self, lines: list[bytes], first: int) -> None:
        self.lines, self.first = lines, first
        self.sizes = [*map(len, lines)]
        """Bytes of each that are sent."""
        self.changed: dict[int, bytes] = {}
        """What is sent in the place of a line."""
        self.counted: dict[int, float] = {}
        """Tokens of those that were counted whole."""
        self.media: dict[int, float] = {}
        """Tokens of the media of others."""
        self.rows: dict[int, tuple[Settings, Said]] = {}
        """What is known of rows that are not of the usual form."""
        self.rich = 0
        """Lines that hold more than text, or columns."""
        self.sampled = 0.0

    def send(self, index: int, piece: bytes) -> None:
        """Send something else in the place of a line."""
        self.changed[index], self.sizes[index] = piece, len(piece)
