"""Rows as a page for people shows them, read one at a time and within a bound for all of them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from genai_batch.resources import outcomes
from genai_batch.resources.answers import dollars
from genai_batch.resources.jobs import Outcome
from genai_batch.resources.media.decoding import decode
from genai_batch.resources.report.gallery import Gallery
from genai_batch.resources.report.prompts import prompt
from genai_batch.resources.report.spread import Spread
from genai_batch.resources.report.text import size, visible
from genai_batch.resources.results import Entry, Result, Results
from genai_batch.resources.untyped import as_object

_BYTES = 256_000_000
"""Of results.jsonl that are read for one page."""
_PROMPT, _ANSWER = 240, 600


class Row(NamedTuple):
    """A row in the table of a page."""

    n: int
    key: str
    outcome: Outcome
    prompt: str
    answer: str
    is_error: bool
    input: int | None
    output: int | None
    cost: str | None


class Rows:
    """The rows of a page, how long their answers are, and the pictures and sounds found in them."""

    def __init__(self, results: Results, entries: Iterable[Entry]) -> None:
        """Read the rows behind some entries, in the order given while there is room; each entry once."""
        self.lengths, self.gallery = Spread(), Gallery()
        self._results, self._room = results, _BYTES
        once = list({entry.n: entry for entry in entries}.values())
        self.rows = sorted(map(self._row, once))
        self.gallery.items.sort(key=lambda item: item.n)

    def _row(self, entry: Entry) -> Row:
        asked = prompt(self._results, entry)
        self._room -= entry.length or 0
        answer, is_error = self._answer(entry) if self._room >= 0 else (f"[{size(entry.length or 0)}, not read]", False)
        return Row(
            entry.n, visible(entry.key, 256), entry.outcome, visible(asked, _PROMPT), visible(answer, _ANSWER),
            is_error, entry.input or None, entry.output or None, dollars(float(entry.cost)) if entry.cost else None,
        )  # fmt: skip

    def _answer(self, entry: Entry) -> tuple[str, bool]:
        """What came back, in words; whether that is an error."""
        found = self._results.result(entry)
        said = [found.text] if found.text else []
        if found.text is not None:
            self.lengths.add([len(found.text)])
        said += [f"[{visible(each.mime_type, 60)}]" for each in found.media or []]
        if found.media:
            self._show(entry.n, found)
        if found.error and not said:
            return f"{found.error.code}: {found.error.message}", True
        return "\n".join(said) or _other(found), False

    def _show(self, n: int, found: Result) -> None:
        if self.gallery.is_full:
            self.gallery.left_out += len(found.media or [])
            return
        for content, mime in _blobs(found):
            self.gallery.offer(n, visible(found.key, 80), content, mime)


def _blobs(row: Result) -> Iterator[tuple[bytes, str]]:
    """The pictures and sounds of a row; what is not base64 is not shown."""
    for blob in outcomes.media(as_object(as_object(row.response).get("response"))):
        try:
            found = decode(blob)
        except ValueError:
            continue
        yield found.content, found.kind.mime_type


def _other(found: Result) -> str:
    """Name an answer that is neither words nor media."""
    response = as_object(as_object(found.response).get("response"))
    names = [name for part in outcomes.parts(response) for name in part if name != "thoughtSignature"]
    return ", ".join(f"[{visible(name, 40)}]" for name in (names or list(as_object(response.get("embedding")))[:1]))
