"""All results of a job as one file: a row per request, in their order, joined with the fields that stood beside it."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from genai_batch.resources.jobs import Outcome
from genai_batch.resources.results import Entry, Results

Format = Literal["jsonl", "csv"]
_PAGE = 1_000
_CELLS = ("outcome", "finish_reason", "text", "error", "input_tokens", "output_tokens", "thinking_tokens", "cost_usd")


def export(results: Results, target: Path, form: Format, outcome: Outcome | None = None) -> int:
    """Write the results to `target`, whole or not at all, and return how many rows it holds."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        count = (_write_csv if form == "csv" else _write_jsonl)(results, part, outcome)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return count


def _write_jsonl(results: Results, part: Path, outcome: Outcome | None) -> int:
    count = 0
    with part.open("wb") as file:
        for count, row in enumerate(_rows(results, outcome), 1):  # noqa: B007 - the last count is the number of rows
            file.write(msgspec.json.encode(row) + b"\n")
    return count


def _write_csv(results: Results, part: Path, outcome: Outcome | None) -> int:
    names = list(dict.fromkeys(name for extra in _extras(results) for name in _joined(extra)))
    count = 0
    with part.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["key", *names, *_CELLS], extrasaction="ignore", restval="")
        table.writeheader()
        for count, row in enumerate(_rows(results, outcome), 1):  # noqa: B007 - the last count is the number of rows
            table.writerow({name: _cell(value) for name, value in {**row, **row.get("usage", {})}.items()})
    return count


def _rows(results: Results, outcome: Outcome | None) -> Iterator[dict[str, Any]]:
    extras = _extras(results)
    extra = next(extras, None)
    for entry in _entries(results):
        beside: dict[str, Any] = {}
        if extra and extra["key"] == entry.key:
            beside, extra = _joined(extra), next(extras, None)
        if outcome in (None, entry.outcome):
            yield {"key": entry.key, **beside, **_row(results, entry)}


def _row(results: Results, entry: Entry) -> dict[str, Any]:
    found = results.result(entry)
    left_out = {"key", "notice", *(["response"] if found.text is not None or found.outcome != "ok" else [])}
    return found.model_dump(mode="json", exclude=left_out)


def _entries(results: Results) -> Iterator[Entry]:
    after = 0
    while page := results.page(None, after, _PAGE):
        yield from page
        after = page[-1].n


def _extras(results: Results) -> Iterator[dict[str, Any]]:
    path = results.folder / "extras.jsonl"
    if path.exists():
        with path.open("rb") as file:
            yield from map(msgspec.json.decode, file)


def _joined(extra: dict[str, Any]) -> dict[str, Any]:
    """Name the user's fields apart from ours."""
    taken = {"key", "response", "media", "usage", "model_version", "attempt", "backend", *_CELLS}
    return {f"source_{name}" if name in taken else name: value for name, value in extra.items() if name != "key"}


def _cell(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value
