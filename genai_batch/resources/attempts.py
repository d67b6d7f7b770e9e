"""Which rows of a finished job are worth sending again: by class, with more room where they were cut off.

What passes is sent again, what was truncated gets a larger output budget, what would fail again is left out and named
with its reason. Requests and index have the same order, so both are read side by side and neither is held.
"""

import os
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import msgspec

from genai_batch.resources import jobs
from genai_batch.resources.answers import brief, short
from genai_batch.resources.errors import BatchError, LedgerError
from genai_batch.resources.jobs import Outcome
from genai_batch.resources.outcomes import LOOP
from genai_batch.resources.results import Entry, Results
from genai_batch.resources.untyped import as_object

Rows = Literal["unfinished", "failed", "truncated", "missing"]
LARGEST_OUTPUT = 65_536
"""Most output tokens any model of the catalogue writes in one answer."""
_OUTCOMES: dict[Rows, frozenset[Outcome]] = {
    "unfinished": jobs.UNFINISHED,
    "failed": frozenset({"empty", "error", "blocked"}),
    "truncated": frozenset({"truncated"}),
    "missing": frozenset({"missing"}),
}
_REASONS, _KEYS = 20, 3


class Left:
    """Rows that are not sent again, how many for which reason and the first keys of each; and good ones that are."""

    def __init__(self) -> None:
        """Start with none."""
        self.renewed = 0
        """Rows with a good answer that are sent again, since their keys were named."""
        self._counts: dict[str, int] = {}
        self._keys: dict[str, list[str]] = {}

    def out(self, key: str, why: str) -> None:
        """Note one."""
        why = why if why in self._counts or len(self._counts) < _REASONS else "other reasons"
        self._counts[why] = self._counts.get(why, 0) + 1
        if len(shown := self._keys.setdefault(why, [])) < _KEYS:
            shown.append(brief(key, 40))

    def tell(self) -> str:
        """Say it, or nothing."""
        told = [f"{count:,} {why} ({', '.join(self._keys[why])}{', …' * (count > _KEYS)})" for why, count in self]
        renewed = f"{self.renewed:,} had a good answer, which clients that keep what they read may show an hour longer."
        left = f"Left out, since they would fail again: {'; '.join(told)}." if told else ""
        return " ".join(filter(None, (left, renewed if self.renewed else "")))

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(sorted(self._counts.items(), key=lambda pair: -pair[1]))


def write(results: Results, rows: Rows | list[str], target: Path, sent: frozenset[int]) -> Left:
    """Write the requests of the chosen rows to `target`, in their order, and say which were left out.

    `sent` are the numbers of earlier attempts that became batches.

    Raises:
        BatchError: there is nothing to send.
        UnknownResult: a key is none of the job's.
        LedgerError: the requests are not those of the index.
    """
    named = [] if isinstance(rows, str) else rows
    asked = frozenset(results.entry(key).sent_key for key in named)
    wanted: frozenset[Outcome] = _OUTCOMES[rows] if isinstance(rows, str) else frozenset()
    left, budgets = Left(), _budgets(results, sent)
    if not results.has_requests:
        raise _unfit(results)
    with jobs.requests_of(results.folder).open("rb") as file, target.open("wb") as out:
        for line, entry in zip_longest(file, _entries(results)):
            if line is None or entry is None:
                raise _unfit(results)
            if entry.outcome in wanted or entry.key in asked:
                left.renewed += entry.outcome == "ok"
                out.write(_again(line, entry, results, left, budgets, asked=bool(asked)))
        out.flush()
        os.fsync(out.fileno())
    if not target.stat().st_size:
        target.unlink()
        what = f"no row of {results.job.id} is {rows!r}" if isinstance(rows, str) else "no key was given"
        raise BatchError(f"Nothing to send. {left.tell() or f'It seems that {what}; check_status has the counts.'}")
    return left


def _entries(results: Results) -> Iterator[Entry]:
    """Yield the entries of what was sent, which are in the order of the requests."""
    after = 0
    while page := results.page(None, after, 1_000):
        yield from (entry for entry in page if entry.sent_as is None)
        after = page[-1].n


def _again(line: bytes, entry: Entry, results: Results, left: Left, budgets: dict[str, int], *, asked: bool) -> bytes:
    """The request as it is to be sent again; nothing where that would not help."""
    value = msgspec.json.decode(line)
    if value["key"] != entry.key:
        raise _unfit(results)
    if entry.error == LOOP:
        if not asked:
            left.out(entry.key, "that repeat themselves until they are cut, see error loop")
        return line if asked else b""
    if entry.outcome == "truncated":
        if larger := _larger(value, budgets.get(entry.key)):
            return larger
        left.out(entry.key, f"truncated at the most a model writes, {LARGEST_OUTPUT:,} tokens")
        return b""
    if why := None if asked else _permanent(results, entry):
        left.out(entry.key, why)
        return b""
    return line


def _unfit(results: Results) -> LedgerError:
    said = f"{results.folder}: requests.jsonl is not what was sent; it was changed or cut."
    return LedgerError(f"{said} Nothing was sent; create_batch from the source instead.")


def _permanent(results: Results, entry: Entry) -> str | None:
    """Why sending a row again would only be paid again; None where it may help."""
    if entry.outcome == "blocked":
        return f"blocked ({entry.finish_reason or 'the prompt'})"
    if entry.outcome != "error" or (error := results.result(entry).error) is None or error.retryable:
        return None
    return f"with error {error.code}: {short(error.message, 120)}"


def _budgets(results: Results, sent: frozenset[int]) -> dict[str, int]:
    """The room for output that rows had when they were last sent again; each is doubled by itself."""
    found: dict[str, int] = {}
    for number in sorted(sent - {0}):
        if (file := jobs.requests_of(results.folder, number)).exists():
            with file.open("rb") as lines:
                for value in map(msgspec.json.decode, lines):
                    found[value["key"]] = _budget(value)[2]
    return found


def _budget(value: dict[str, Any]) -> tuple[str, str, int]:
    """Where a request says how much may be written, in its own spelling, and how much that is."""
    request = as_object(value["request"])
    name = "generationConfig" if "generationConfig" in request else "generation_config"
    settings = as_object(request.get(name))
    limit = "maxOutputTokens" if "maxOutputTokens" in settings else "max_output_tokens"
    return name, limit, int(settings.get(limit) or LARGEST_OUTPUT)


def _larger(value: dict[str, Any], last: int | None) -> bytes | None:
    """Give a request twice the room for its output that it had last; None for one that had all there is."""
    name, limit, given = _budget(value)
    if (had := last or given) >= LARGEST_OUTPUT:
        return None
    request = as_object(value["request"])
    settings: dict[str, Any] = {**as_object(request.get(name)), limit: min(LARGEST_OUTPUT, 2 * had)}
    return msgspec.json.encode({**value, "request": {**request, name: settings}}) + b"\n"
