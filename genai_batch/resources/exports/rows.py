"""The rows of an export, in one pass: what came back for each request, joined with the fields that stood beside it."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from genai_batch.resources import extras as extras_file
from genai_batch.resources import jobs, outcomes
from genai_batch.resources.exports.details import Details
from genai_batch.resources.jobs import Outcome
from genai_batch.resources.partial import is_partial
from genai_batch.resources.results import Entry, Results
from genai_batch.resources.untyped import as_list, as_object

OURS = (
    "outcome", "finish_reason", "text", "path", "sha256", "media", "error", "input_tokens", "output_tokens",
    "thinking_tokens", "cached_tokens", "cost_usd", "model_version", "attempt", "backend", "request", "response",
)  # fmt: skip
"""Names of our own fields; a field of the user's that has one of them is told apart by `source_` before it."""
_TAKEN = frozenset({"key", "usage", *OURS})
_PAGE = 1_000
_decode = msgspec.json.Decoder().decode
Fields = dict[str, Any]


class Choice(NamedTuple):
    """Which rows are exported, and whether each carries its request, and the response as it was received.

    `with_files` says that the pictures, sounds and texts of rows are files of their own.
    """

    outcome: Outcome | Literal["not_ok"] | None = None
    with_requests: bool = False
    raw: bool = False
    with_files: bool = False

    def means(self, entry: Entry) -> bool:
        """Whether a row is to be exported."""
        if self.outcome == "not_ok":
            return entry.outcome != "ok"
        return self.outcome in (None, entry.outcome)


class Place(Protocol):
    """Where pictures, sounds and texts of a row go as files."""

    def put(self, entry: Entry, beside: Fields, text: str | None, blobs: list[Fields]) -> Fields:
        """Write the files of a row and return the fields that name them."""
        ...


class InTheJob:
    """Pictures and sounds go to the media folder of the job."""

    def __init__(self, results: Results) -> None:
        """Keep them where those of `results` are."""
        self._media = results.media

    def put(self, entry: Entry, beside: Fields, text: str | None, blobs: list[Fields]) -> Fields:  # noqa: ARG002 - Place
        """Decode what is not there yet; what is no base64 has no path."""
        for index, blob in enumerate(blobs):
            self._media.keep_if_sound(entry.key, entry.attempt, index, blob)
        listed = self._media.listed(entry.key, entry.attempt, blobs)
        return {"media": [each.model_dump(mode="json") for each in listed]} if blobs else {}


_PLAIN = frozenset({"text", "inlineData", "inline_data", "thought", "thoughtSignature"})
_PLAIN_CANDIDATE = frozenset({"content", "finishReason", "index", "safetyRatings", "tokenCount"})
_ONLY_TEXT = frozenset({"text"})
_BESIDE = frozenset({"groundingMetadata", "urlContextMetadata", "citationMetadata"})


def exported_rows(results: Results, choice: Choice, place: Place, details: Details | None = None) -> Iterator[Fields]:
    """Yield a row per request, in their order; of a job that still runs those that are answered.

    With `details` a row holds what its answer has beside text and media, too.
    """
    with ExitStack() as files:
        extras = extras_file.rows(results.folder / extras_file.NAME)
        extra = next(extras, None)
        names = export_names(results)
        requests = _requests(results, files) if choice.with_requests else None
        for entry in _entries(results):
            request = _request(results, entry, requests) if requests else None
            beside: Fields = {}
            if extra and extra["key"] == entry.key:
                beside, extra = _joined(extra, names), next(extras, None)
            if is_exported(results, choice, entry):
                asked = {"request": _decode(request)["request"]} if request else {}
                found = _found(results, entry, beside, place, details, raw=choice.raw)
                yield {"key": entry.key, **beside, **found, **asked}


def is_exported(results: Results, choice: Choice, entry: Entry) -> bool:
    """Whether a row is written; one of a job that still runs only once it is answered."""
    return choice.means(entry) and not (entry.outcome == "missing" and is_partial(results.job))


def extras(results: Results) -> Iterator[Fields]:
    """Yield the user's fields of each request that has some, named as in an export."""
    names = export_names(results)
    for extra in extras_file.rows(results.folder / extras_file.NAME):
        yield _joined(extra, names)


def types(results: Results) -> dict[str, str]:
    """Return the types of the user's fields where their table told them, by the names that they have in an export."""
    names = export_names(results)
    stored = extras_file.types(results.folder / extras_file.NAME)
    return {names.get(name, name): kind for name, kind in stored.items()}


def is_taken(name: str) -> bool:
    """Whether a field of the user's has, in any spelling, a name of ours; `key` is that of the request."""
    return name.lower() in _TAKEN and name != "key"


def export_names(results: Results) -> dict[str, str]:
    """Return the names in an export of the user's fields that have one of ours."""
    path = results.folder / extras_file.NAME
    if not path.exists():
        return {}
    stat = path.stat()
    return _export_names(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4)
def _export_names(path: Path, _size: int, _mtime_ns: int) -> dict[str, str]:
    names: dict[str, None] = {}
    for extra in extras_file.rows(path):
        names |= dict.fromkeys(name for name in extra if is_taken(name) or name.lower().startswith("source_"))
    return extras_file.named_apart(names, is_taken)


def _joined(extra: Fields, names: dict[str, str]) -> Fields:
    return {names.get(name, name): value for name, value in extra.items() if name != "key"}


def _found(
    results: Results, entry: Entry, beside: Fields, place: Place, details: Details | None, *, raw: bool
) -> Fields:
    row = results.row(entry)
    response = as_object(row.get("response"))
    text, blobs = results.text(entry, response), outcomes.media(response)
    files = place.put(entry, beside, text, blobs)
    found: Fields = {"outcome": entry.outcome}
    if entry.finish_reason:
        found["finish_reason"] = entry.finish_reason
    if text is not None:
        found["text"] = text
    is_plain = _is_plain(response)
    if details and not (is_plain and not details.has_members):
        found |= details.of(response, text if entry.outcome == "ok" else None, files.get("media", []))
    found |= files
    if entry.outcome != "ok" and (error := results.error(entry, row)):
        found["error"] = error.model_dump(mode="json")
    found |= _origin(results, entry, row, response)
    is_answer = entry.outcome in ("ok", "truncated")
    if row and (raw or (is_answer and ((text is None and not blobs) or (not is_plain and _says_more(response))))):
        found["response"] = row  # an embedding, a function call, sources: there is no shorter form
    return found


def _origin(results: Results, entry: Entry, row: Fields, response: Fields) -> Fields:
    """What an answer took, and where it came from."""
    origin: Fields = _spent(entry) if row else {}
    if isinstance(version := response.get("modelVersion"), str):
        origin["model_version"] = version[:80]
    if entry.attempt:
        origin["attempt"] = entry.attempt
    origin["backend"] = results.job.backend
    return origin


def _is_plain(response: Fields) -> bool:
    """Whether an answer is one text and nothing else, as most are."""
    candidates = as_list(response.get("candidates"))
    if len(candidates) != 1 or not as_object(candidates[0]).keys() <= _PLAIN_CANDIDATE:
        return False
    parts = as_list(as_object(as_object(candidates[0]).get("content")).get("parts"))
    return len(parts) == 1 and as_object(parts[0]).keys() == _ONLY_TEXT


def _says_more(response: Fields) -> bool:
    """Whether an answer holds what is neither text, picture nor sound."""
    candidates = as_list(response.get("candidates"))
    beside = as_object(candidates[0]).keys() & _BESIDE if candidates else ()
    return len(candidates) > 1 or bool(beside) or any(part.keys() - _PLAIN for part in outcomes.parts(response))


def _spent(entry: Entry) -> Fields:
    used: Fields = {"input_tokens": entry.input or 0, "output_tokens": entry.output or 0}
    if entry.thinking:
        used["thinking_tokens"] = entry.thinking
    if entry.cached:
        used["cached_tokens"] = entry.cached
    return {"usage": used, "cost_usd": float(entry.cost)} if entry.cost else {"usage": used}


def _entries(results: Results) -> Iterator[Entry]:
    after = 0
    while page := results.page(None, after, _PAGE):
        yield from page
        after = page[-1].n


def _request(results: Results, entry: Entry, requests: Iterator[bytes]) -> bytes | None:
    """The line that was sent for a row: the next one, or that of the row whose answer it gets."""
    return next(requests, None) if entry.sent_as is None else results.request(entry)


def _requests(results: Results, files: ExitStack) -> Iterator[bytes] | None:
    """The lines that were sent; those of an adopted job are not known."""
    path = jobs.requests_of(results.folder)
    return iter(files.enter_context(path.open("rb", buffering=2**20))) if path.exists() else None
