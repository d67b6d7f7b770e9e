"""The items of a plan, one by one, whatever they come from: what each says itself, its columns, and its files."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from genai_batch.resources import column_types
from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.exports.rows import Choice, exported_rows
from genai_batch.resources.exports.rows import types as types_of_columns
from genai_batch.resources.lint.repair import foreign
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.results import Entry, Results
from genai_batch.resources.sources import folders, tables
from genai_batch.resources.sources.cells import Bad, without_blobs
from genai_batch.resources.sources.manifest import Plan, Slip, item_fields, slip_of
from genai_batch.resources.sources.parts import MOST, Looked, Part, Reach, blob_of
from genai_batch.resources.untyped import as_object, is_object, kind_of

_TEXTS_ONLY = frozenset({str, int, float, bool, type(None)})
_JUDGED = 1_000
"""Different fields of items that are held against ours."""
_HIDDEN = frozenset({
    "usage", "cost_usd", "model_version", "attempt", "backend", "media", "error", "response", "finish_reason",
})  # fmt: skip
_ANSWERED = frozenset({"key", "outcome", "text", "output"})


@dataclass
class Item:
    """What one request is made from, before it is made.

    `own` are fields of a request as the user wrote them, sent as they are; `columns` are what templates may name;
    `kept` stands beside the request in the end; `files` and `media` are attached. `fault` says why it cannot be used.
    `named` is what `place` says it is called, where it says that.
    """

    place: str
    own: dict[str, Any] = field(default_factory=dict[str, Any])
    columns: dict[str, Any] = field(default_factory=dict[str, Any])
    kept: dict[str, Any] = field(default_factory=dict[str, Any])
    files: list[tuple[str, Looked]] = field(default_factory=list[tuple[str, Looked]])
    key: str | None = None
    needs_id: bool = False
    media: list[Part] = field(default_factory=list[Part])
    fault: Bad | None = None
    named: str | None = None


class Supply:
    """The items of a plan. They can be gone through more than once; what is found on the way is told each time."""

    def __init__(self, plan: Plan, reach: Reach, results: Results | None = None, most: int = MOST) -> None:
        """Take them from where the plan says; `results` are those of the job it names, `most` bytes of one file."""
        self._plan, self._reach, self._results, self._most = plan, reach, results, most
        self._left_out: set[str] = set()

    def items(self, found: Findings) -> Iterator[Item]:
        """Yield them in their order.

        Raises:
            InvalidRequests: there is no such source, or it cannot be read.
            PathNotAllowed: it lies where nothing may be read.
        """
        manifest = self._plan.manifest
        if self._plan.items is not None:
            return self._written(self._plan.items, found)
        if manifest.data is not None:
            return self._rows(self._reached(manifest.data), manifest.sheet, found)
        if manifest.folder is not None:
            return self._files(self._reached(manifest.folder), found)
        return self._answers()

    def _reached(self, name: str) -> Path:
        return self._reach(self._plan.base / name if self._plan.base else name)

    def _written(self, items: list[Any], found: Findings) -> Iterator[Item]:
        slips: dict[str, Slip | None] = {}
        for index, value in enumerate(items):
            place = f"items[{index}]"
            if not is_object(value):
                yield Item(place, fault=Bad(f"is {kind_of(value)}, not an object", "write {id, prompt, …}"))
                continue
            own, others, twice = item_fields(value)
            if twice:
                yield Item(place, fault=Bad(f"{brief(twice, 60)!r} says again what another field says", "keep one"))
                continue
            if slip := _slip(others, slips, found, place, self._plan):
                yield Item(place, fault=Bad(slip.problem, slip.fix))
                continue
            key = own.pop("id", None)
            columns = {"index": index, **self._plan.kept, **others, **own, "id": key}
            yield Item(
                place, own, columns, {**self._plan.kept, **others}, [], key if key is None else str(key), needs_id=True
            )

    def types(self) -> dict[str, str]:
        """Return the types of the columns, where items come from a table that has some or from a job made of one."""
        if self._results is not None:
            return types_of_columns(self._results)
        data = self._plan.manifest.data
        return {} if data is None else column_types.of_table(self._reached(data)).types

    def _rows(self, path: Path, sheet: str | None, found: Findings) -> Iterator[Item]:
        has_template = not self._plan.common.keys().isdisjoint({*_SAYS, "prompt_file"})
        exact: Iterator[dict[str, Any]] | None = None
        for row in tables.rows(path, sheet, found):
            if not has_template and foreign.foreign(row.columns):
                yield from self._foreign(row, found)
                continue
            if exact is None:
                exact = column_types.of_table(path).rows
            columns = {**self._plan.kept, **row.columns}
            kept = columns
            if not _TEXTS_ONLY.issuperset(map(type, columns.values())):
                kept = {name: without_blobs(value) for name, value in columns.items()}
            kept = {**kept, **next(exact, dict[str, Any]())}
            yield Item(row.place, _spoken(row.columns, self._plan), columns, kept, fault=row.fault)

    def _foreign(self, row: tables.Row, found: Findings) -> Iterator[Item]:
        """The items of a line of another API's batch; what is left out is told once a field."""
        try:
            requests, left = foreign.convert(row.columns)
        except foreign.Unconvertible as error:
            yield Item(row.place, fault=Bad(str(error), "leave it out"))
            return
        for name in left:
            if name not in self._left_out:
                self._left_out.add(name)
                fix = "say it another way, or do without"
                found.warn(f"{row.place}: Gemini has no counterpart for {brief(name, 60)}; it is left out", fix)
        columns = {**self._plan.kept, **foreign.columns_beside(row.columns)}
        key = None if (given := row.columns.get("custom_id")) is None else str(given)
        for number, request in enumerate(requests, 1):
            own_key = key if len(requests) == 1 or key is None else f"{key}-{number}"
            own = {"request": request, "count": as_object(request.get("generationConfig")).pop("candidateCount", 1)}
            yield Item(row.place, own, columns, columns, key=own_key, needs_id=key is not None)

    def _files(self, root: Path, found: Findings) -> Iterator[Item]:
        manifest = self._plan.manifest
        if not root.is_dir():
            raise InvalidRequests(str(root), [Problem(problem="is no folder", fix="check the path")])
        chosen = folders.rules(root, manifest.include, manifest.ignore)
        walked = folders.files(root, chosen, found, self._most, strict=manifest.strict)
        if manifest.group == "file":
            for path, file in walked:
                told = {**folders.columns(path, file, root), **self._plan.kept}
                yield Item(f"file {brief(path, 120)!r}", {}, told, {"path": path}, [(path, file)], key=path, named=path)
            return
        for folder, group in groupby(walked, key=lambda each: str(PurePosixPath(each[0]).parent)):
            several = list(group)
            names = [path for path, _ in several]
            name = root.name if folder == "." else folder
            told = {"path": name, "folder": name, "name": PurePosixPath(name).name, "files": names, **self._plan.kept}
            yield Item(
                f"folder {brief(name, 120)!r}", {}, told, {"path": name, "files": names}, several, key=name, named=name
            )

    def _answers(self) -> Iterator[Item]:
        results = self._results
        if results is None:
            raise InvalidRequests(self._plan.source, [Problem(problem="names a job whose results are not at hand")])
        outcome = self._plan.manifest.outcome
        for row in exported_rows(results, Choice(None if outcome == "any" else outcome), _Kept()):
            beside = {name: value for name, value in row.items() if name not in _HIDDEN}
            kept = {name: each for name, each in beside.items() if name not in _ANSWERED}
            told = {**_structured(row.get("text")), **self._plan.kept, **beside, "text": row.get("text", "")}
            media = [blob_of(blob) for blob in row.get("media", ())]
            key = row["key"]
            yield Item(f"key {brief(key, 80)!r}", {}, told, kept, key=key, media=media, named=key)


class _Kept:
    """No files are written when answers are read to be asked about; pictures and sounds stay at hand."""

    def put(self, entry: Entry, beside: Any, text: str | None, blobs: list[Any]) -> dict[str, Any]:  # noqa: ARG002 - Place
        """Write nothing."""
        return {"media": blobs} if blobs else {}


_SAYS: dict[str, type] = {"request": dict, "contents": list, "prompt": str}


def _spoken(columns: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """What a row says of its request by the names of its columns, where the manifest says nothing."""
    said = {name for name in ("output",) if name not in plan.common and isinstance(columns.get(name), str)}
    if not plan.common.keys() & {*_SAYS, "prompt_file"}:
        said.update([name for name, kind in _SAYS.items() if isinstance(columns.get(name), kind)][:1])
    return {name: columns[name] for name in said if columns[name]}


def _slip(
    others: dict[str, Any], slips: dict[str, Slip | None], found: Findings, place: str, plan: Plan
) -> Slip | None:
    """The first field that is a misspelt one of ours; of what only may be one, the first item is warned.

    Nothing is said of a column that a template uses.
    """
    for name in others:
        if name not in slips:
            slips[name] = slip_of(name) if len(slips) < _JUDGED else None
            if (slip := slips[name]) and not slip.certain and not plan.uses(name):
                found.warn(f"{place}: {slip.problem}", slip.fix)
        if (slip := slips[name]) and slip.certain:
            return slip
    return None


def _structured(text: Any) -> dict[str, Any]:
    """The answer as `json`, where it is some."""
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "["):
        return {}
    try:
        return {"json": msgspec.json.decode(text)}
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return {}
