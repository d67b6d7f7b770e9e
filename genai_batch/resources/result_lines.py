"""Results in a list: a line for each, cut to its share of the page."""

from genai_batch.resources import uris
from genai_batch.resources.answers import Answer, short, within
from genai_batch.resources.jobs import Outcome
from genai_batch.resources.outcomes import Media, RowError
from genai_batch.resources.results import Entry, Results

_EXCERPT = 200
_SHORTEST = 60


class Reason(Answer):
    """Why a row has no usable answer. Without `message` it is the last message above for the same code."""

    code: int | str
    message: str | None = None
    retryable: bool


class ResultLine(Answer):
    """A result in a list; a `text` that ends in … is cut, the whole is at `uri`."""

    key: str
    outcome: Outcome
    text: str | None = None
    error: Reason | None = None
    media: list[Media] | None = None
    uri: str


class Lines:
    """Lines for as many results as fit a room, each with its share of it."""

    def __init__(self, results: Results, room: int, count: int) -> None:
        """Begin with none, of `count` that are to fit `room` bytes."""
        self.lines: list[ResultLine] = []
        self._results, self._room = results, room
        self._share = max(_EXCERPT, room // max(1, count) - 200)
        self._said: dict[int | str, str] = {}

    def add(self, entry: Entry, spare: int) -> bool:
        """Add a line where there is room, for the last with some to spare; there is always some for the first."""
        line, room = self._line(entry), self._room + spare
        if (size := line.size()) > room and self.lines:
            return False
        if size > room:
            line = _squeezed(line, room, uris.results(self._results.job.id, cursor=f"{entry.n - 1:x}", limit=1))
        self._room -= size + 1
        self.lines.append(line)
        return True

    def _line(self, entry: Entry) -> ResultLine:
        whole = self._results.result(entry)
        return ResultLine(
            key=whole.key,
            outcome=whole.outcome,
            text=whole.text and within(whole.text, self._share),
            error=whole.error and self._reason(whole.error),
            media=(whole.media or [])[:4] or None,
            uri=uris.result(self._results.job.id, whole.key),
        )

    def _reason(self, error: RowError) -> Reason:
        """State a message once: many rows fail in the same way."""
        again = self._said.get(error.code) == error.message
        self._said[error.code] = error.message
        return Reason(code=error.code, message=None if again else error.message, retryable=error.retryable)


def _squeezed(line: ResultLine, room: int, elsewhere: str) -> ResultLine:
    """Make a line fit by leaving out more and more; `elsewhere` is a short address of the same row."""
    error = line.error and line.error.model_copy(update={"message": short(line.error.message or "", 60)})
    for change in ({"text": line.text and within(line.text, _SHORTEST)}, {"text": None, "media": None, "error": error},
                   {"uri": elsewhere}, {"key": within(line.key, _EXCERPT)}):  # fmt: skip
        if line.size() > room:
            line = line.model_copy(update=change)
    return line
