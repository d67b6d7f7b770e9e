"""A batch's results, written line by line when first needed; the same bytes whoever writes them."""

import hashlib
import os
import threading
from array import array
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from .answers import answer, embedding
from .batches import Batch, input_path
from .drawn import Drawn
from .models import Model, find_model
from .outcomes import outcome_of
from .plan import Plan
from .rows import Row, read_rows
from .settings import read_settings
from .store import Store
from .wire import Object, as_object, timestamp

Result = tuple[str, Object, Object]
"""A row's key, what its line echoes of it, and its answer."""
ONE_WRITER = threading.Lock()


@dataclass
class Used:
    """What the answers of a batch cost, and the digest of its result file."""

    rows: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    thought_tokens: int = 0
    sha256: str = ""
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))

    def count(self, response: Object) -> None:
        """Add one answer."""
        usage = as_object(response.get("usageMetadata"))
        self.rows += 1
        self.input_tokens += int(usage.get("promptTokenCount", response.get("tokenCount", 0)))
        self.output_tokens += int(usage.get("candidatesTokenCount", 0))
        self.thought_tokens += int(usage.get("thoughtsTokenCount", 0))

    def document(self) -> Object:
        """As stored with the batch."""
        names = ("rows", "input_tokens", "output_tokens", "thought_tokens", "sha256")
        return {name: getattr(self, name) for name in names}


def finished(store: Store, batch: Batch) -> tuple[Path, Object]:
    """The result file of a batch that succeeded, and what it cost; written if it is not there."""
    path = store.folder / "results" / f"{batch.id}.jsonl"
    with ONE_WRITER:
        if batch.used and path.exists():
            return path, batch.used
        used = _write(store, batch, path)
        store.rows("UPDATE batches SET used = ? WHERE id = ?", msgspec.json.encode(used.document()).decode(), batch.id)
    return path, used.document()


def _write(store: Store, batch: Batch, path: Path) -> Used:
    draft = path.with_name(f"{batch.id}.{os.getpid()}.{threading.get_ident()}.tmp")
    used = Used()
    with draft.open("wb") as file:
        for line in _lines(store, batch, used):
            used.offsets.append(file.tell())
            file.write(line)
        used.offsets.append(file.tell())
    if batch.plan.has("shuffle"):
        _shuffle(draft, used.offsets)
    _damage_end(draft, batch.plan)
    used.sha256 = file_digest(draft)
    draft.replace(path)
    return used


def _lines(store: Store, batch: Batch, used: Used) -> Iterator[bytes]:
    model, plan, drawn = find_model(batch.model.rpartition("/")[2]), batch.plan, read_settings(store).drawn
    rows = (row for row in read_rows(input_path(store, batch.id), batch.kind) if isinstance(row, Row))
    for key, echo, body in _swapped(((row.key, *_result(row, batch, model, drawn, used)) for row in rows), plan):
        line = msgspec.json.encode(echo | body) + b"\n"
        if plan.strikes_key("omit", key):
            continue
        if plan.strikes_key("cut_line", key):
            line = line[: len(line) // 2] + b"\n"
        yield line
        if plan.strikes_key("duplicate", key):
            yield line


def _swapped(results: Iterator[Result], plan: Plan) -> Iterator[Result]:
    """Let matching rows trade their answers, two by two."""
    first: Result | None = None
    for result in results:
        if not plan.strikes_key("swap", result[0]):
            yield result
        elif first is None:
            first = result
        else:
            yield *first[:2], result[2]
            yield *result[:2], first[2]
            first = None
    if first is not None:
        yield first


def _result(row: Row, batch: Batch, model: Model, drawn: Drawn, used: Used) -> tuple[Object, Object]:
    """What a result line echoes of its row, and what was answered."""
    outcome = outcome_of(row, model, batch.plan)
    echo = dict(row.echo)
    if batch.plan.strikes_key("drop_key", row.key):
        echo.pop("key", None)
        echo.pop("metadata", None)
    if outcome.error is not None:
        body: Object = {"status" if outcome.kind == "status" else "error": outcome.error}
        if batch.kind == "vertex":
            body = {"status": outcome.error["message"], "response": {}}
    else:
        response = (
            embedding(model, row.request) if batch.kind == "embed" else answer(model, row.request, outcome, drawn)
        )
        used.count(response)
        body = {"response": response} | ({"status": ""} if batch.kind == "vertex" else {})
    if batch.kind == "vertex":
        body["processed_time"] = timestamp(batch.timeline.ends_at)
    return echo, body


def _shuffle(draft: Path, offsets: "array[int]") -> None:
    """Reorder the lines by the hash of their position."""
    order = sorted(range(len(offsets) - 1), key=lambda i: hashlib.sha256(str(i).encode()).digest())
    mixed = draft.with_suffix(".mixed")
    with draft.open("rb") as source, mixed.open("wb") as target:
        for i in order:
            source.seek(offsets[i])
            target.write(source.read(offsets[i + 1] - offsets[i]))
    mixed.replace(draft)


def _damage_end(draft: Path, plan: Plan) -> None:
    cut = plan.get("cut_line")
    with draft.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        if cut is not None and cut.get("key") is None and end:
            start = _last_line(file, end)
            file.truncate(start + (end - start) // 2)
        elif plan.has("no_final_newline") and end:
            file.truncate(end - 1)


def _last_line(file: BinaryIO, end: int) -> int:
    position = end - 1
    while position > 0:
        start = max(0, position - 65536)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def file_digest(path: Path) -> str:
    """`sha256Hash` as the API writes it: base64 of the hexadecimal text."""
    with path.open("rb") as file:
        return b64encode(hashlib.file_digest(file, "sha256").hexdigest().encode()).decode()
