"""The rows of an export, in one pass: what came back for each request, joined with the fields that stood beside it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from genai_batch.resources import jobs, outcomes
from genai_batch.resources.jobs import Outcome
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
    """Which rows are exported, whether each carries the request it answers, and whether it names files of its own."""

    outcome: Outcome | None = None
    with_requests: bool = False
    with_files: bool = False


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
_BESIDE = frozenset({"groundingMetadata", "urlContextMetadata", "citationMetadata"})


def exported_rows(results: Results, choice: Choice, place: Place) -> Iterator[Fields]:
    """Yield a row per request, in their order."""
    with ExitStack() as files:
        extras = _extras(results.folder)
        extra = next(extras, None)
        requests = _requests(results, files) if choice.with_requests else None
        for entry in _entries(results):
            request = next(requests, None) if requests else None
            beside: Fields = {}
            if extra and extra["key"] == entry.key:
                beside, extra = joined(extra), next(extras, None)
            if choice.outcome in (None, entry.outcome):
                asked = {"request": _decode(request)["request"]} if request else {}
                yield {"key": entry.key, **beside, **_found(results, entry, beside, results.row(entry), place), **asked}


def extras(results: Results) -> Iterator[Fields]:
    """Yield the user's fields of each request that has some, named as in an export."""
    return map(joined, _extras(results.folder))


def joined(extra: Fields) -> Fields:
    """Name the user's fields apart from ours, which no spelling makes the same."""
    return {
        f"source_{name}" if name.lower() in _TAKEN else name: value for name, value in extra.items() if name != "key"
    }


def _found(results: Results, entry: Entry, beside: Fields, row: Fields, place: Place) -> Fields:
    response = as_object(row.get("response"))
    text, blobs = results.text(entry, response), outcomes.media(response)
    files = place.put(entry, beside, text, blobs)
    found: Fields = {"outcome": entry.outcome}
    if entry.finish_reason:
        found["finish_reason"] = entry.finish_reason
    if text is not None:
        found["text"] = text
    found |= files
    if entry.outcome != "ok" and (error := results.error(entry, row)):
        found["error"] = error.model_dump(mode="json")
    if row:
        found |= _spent(entry)
    if isinstance(version := response.get("modelVersion"), str):
        found["model_version"] = version[:80]
    if entry.attempt:
        found["attempt"] = entry.attempt
    found["backend"] = results.job.backend
    if entry.outcome in ("ok", "truncated") and ((text is None and not blobs) or _says_more(response)):
        found["response"] = row  # an embedding, a function call, sources: there is no shorter form
    return found


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


def _extras(folder: Path) -> Iterator[Fields]:
    path = folder / "extras.jsonl"
    if path.exists():
        with path.open("rb") as file:
            yield from map(_decode, file)


def _requests(results: Results, files: ExitStack) -> Iterator[bytes] | None:
    """The lines that were sent; those of an adopted job are not known."""
    path = jobs.requests_of(results.folder)
    return iter(files.enter_context(path.open("rb", buffering=2**20))) if path.exists() else None
