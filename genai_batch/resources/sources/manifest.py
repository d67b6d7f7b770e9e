"""A manifest: one file that says what a job is. Items of its own, or a table, a folder or a job with one template."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, ValidationError

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.jobs import Outcome
from genai_batch.resources.lint import snake
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.sources import lines
from genai_batch.resources.sources.documents import load
from genai_batch.resources.sources.recipe import (
    ALIASES,
    FIELDS,
    GEMINI,
    MEMBER,
    OTHER_NAMES,
    UNABLE,
    Recipe,
    Texts,
    over,
    parted,
    plain_name,
    set_twice,
)
from genai_batch.resources.sources.selection import Selection
from genai_batch.resources.untyped import is_list, is_object, kind_of

_SOURCES = ("items", "data", "folder", "job_id")
_NEAR, _CERTAIN = 0.8, 0.9
_LONG = 6
"""Letters of a field from which on one wrong letter makes no other word."""


class Item(Recipe):
    """One item. Its texts are sent as they are written; fields that are not named here come back beside the answer."""

    id: Annotated[str, Field(description="Also `key`: a unique name, by which the answer is found")]


class Manifest(Recipe):
    """A job: `items`, or one of `data`, `folder` and `job_id` with a template. Fields of an item here hold for all."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str | None, Field(max_length=100, description="What to call the job")] = None
    lane: Literal["batch", "flex", "live", "auto"] | None = None
    fallback: Annotated[
        Literal["standard"] | None, Field(description="Tier of flex rows that find no room several times")
    ] = None
    max_cost_usd: Annotated[float | None, Field(ge=0)] = None
    concurrency: Annotated[int | None, Field(ge=1, le=2000, description="Calls at a time in the live lane")] = None
    deadline_h: Annotated[float | None, Field(gt=0, description="Hours within which it is needed, for lane auto")] = (
        None
    )
    stop_on_failures: Annotated[
        float | None, Field(gt=0, le=100, description="Stop once so many percent of the rows failed")
    ] = None
    dedupe: Annotated[bool, Field(description="Send equal requests once; every key gets the answer")] = False
    defaults: Annotated[Recipe | None, Field(description="What holds for every item that does not say otherwise")] = (
        None
    )
    items: Annotated[list[Item] | None, Field(description="Also `jobs`")] = None
    data: Annotated[str | None, Field(description="A table: csv, tsv, json, jsonl, parquet, xlsx")] = None
    sheet: Annotated[str | None, Field(description="Of an Excel file; the first otherwise")] = None
    folder: Annotated[str | None, Field(description="A folder of files, with the folders in it")] = None
    include: Annotated[Texts, Field(description="Only files like these: *.jpg, photos/**")] = []
    ignore: Annotated[Texts, Field(description="No files like these, as in a .gitignore")] = []
    group: Annotated[Literal["file", "folder"], Field(description="What one item is")] = "file"
    strict: Annotated[bool, Field(description="Refuse files that cannot be used, instead of leaving them out")] = False
    job_id: Annotated[str | None, Field(description="An earlier job, whose results are the rows")] = None
    outcome: Annotated[Outcome | Literal["any"], Field(description="Which of its rows")] = "ok"
    key: Annotated[str | None, Field(description="A column, or a template; row-000001 otherwise")] = None
    select: Annotated[Selection | None, Field(description="Some of the items only")] = None


_STAGES = {
    "type": "array",
    "maxItems": 12,
    "description": "Instead of items: jobs one after the other. Each is a manifest; what it does not say, it inherits",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Of the stage; its results go into a folder of that name"},
            "from": {"type": "string", "description": "An earlier stage, whose results are the rows"},
        },
    },
}


class Plan(NamedTuple):
    """A manifest, read: `common` are fields of every item, its texts templates; `items` as they were written."""

    manifest: Manifest
    common: dict[str, Any]
    kept: dict[str, Any]
    items: list[Any] | None
    base: Path | None
    source: str

    def uses(self, name: str) -> bool:
        """Whether a template for all items may name this column."""
        word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
        texts = [*texts_in(self.common), self.manifest.key or ""]
        return any(word.search(text) for text in texts if "{{" in text or "{%" in text)


def texts_in(value: Any) -> Iterator[str]:
    """List every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    inside: list[Any] = list(value.values()) if is_object(value) else value if is_list(value) else []
    for member in inside:
        yield from texts_in(member)


_MEANT = sorted((FIELDS | ALIASES.keys() | {"id", "stop_sequences"}) - {"n", "labels", "store", "out"})
"""Names that a field of an item may have been meant to be."""
_TOP = frozenset(Manifest.model_fields) | GEMINI


def read(path: Path) -> Plan:
    """Read a manifest from a file.

    Raises:
        InvalidRequests: with everything that is wrong with it as a whole.
    """
    return plan(load(path), path.name, lines.base_of(path))


def plan(value: Any, source: str, base: Path | None) -> Plan:
    """Read a manifest from its value; `base` is where its paths begin.

    Raises:
        InvalidRequests: with everything that is wrong with it as a whole.
    """
    found = Findings()
    if not is_object(value):
        fix = "write an object with items, or with data, folder or job_id and a prompt"
        raise InvalidRequests(source, [Problem(problem=f"is {kind_of(value)}, not a manifest", fix=fix)])
    if "stages" in value:
        fix = "create_batch runs them; estimate_cost checks them"
        raise InvalidRequests(source, [Problem(problem="has stages, so it is several jobs", fix=fix)])
    given = {("items" if name == "jobs" else name): each for name, each in value.items()}
    ours, unknown, twice = parted(given, _TOP)
    for name in unknown:
        found.problem(*_unknown(name))
    if twice or ("items" in value and "jobs" in value):
        found.problem(f"{brief(twice or 'jobs', 60)!r} says again what another field says", "keep one of them")
    made = _whole(ours, found)
    if found.count or made is None:
        raise found.refusal(source)
    common, kept = _common(ours, found)
    if found.count:
        raise found.refusal(source)
    return Plan(made, common, kept, ours.get("items"), base, source)


def _common(ours: dict[str, Any], found: Findings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields that hold for all items, and those of the user's in `defaults`."""
    defaults, kept, twice = parted(ours.get("defaults") or {}, FIELDS)
    stated = {name: value for name, value in ours.items() if name in FIELDS}
    if twice:
        found.problem(f"defaults: {brief(twice, 60)!r} says again what another field says", "keep one of them")
    if name := set_twice(stated, defaults):
        found.problem(f"{name!r} is set in defaults too, to something else", "keep one of them")
    return over(stated, defaults), kept


def _unknown(name: str) -> tuple[str, str]:
    """Say what is wrong with a field of a manifest that it does not know, and what may have been meant."""
    if slip := _slip_in_config(name):
        return slip.problem, slip.fix
    fix = _guess(name, _TOP) or OTHER_NAMES.get(plain_name(name)) or "see `genai-batch build --schema`"
    return f"unknown field {brief(name, 60)!r}", fix


def _whole(ours: dict[str, Any], found: Findings) -> Manifest | None:
    sources = [name for name in _SOURCES if ours.get(name) is not None]
    if len(sources) != 1:
        said = f"has {' and '.join(sources)}" if sources else "has no items"
        found.problem(said, "give one of items, data, folder and job_id")
    if ours.get("data") in lines.STDIN:
        message = f"data {ours['data']!r} is standard input, which a manifest cannot name"
        found.problem(message, "name a file; or pipe the table into `genai-batch build - --prompt '…' --output FILE`")
    if "items" in sources and (not is_list(ours["items"]) or not ours["items"]):
        found.problem("items is empty or no list", "write a list of {id, prompt, …}")
    texts = {name: value for name, value in ours.items() if name not in ("items", "defaults", *FIELDS)}
    try:
        if ours.get("defaults") is not None and not is_object(ours["defaults"]):
            found.problem(f"defaults is {kind_of(ours['defaults'])}", "write an object")
        return Manifest.model_validate(texts)
    except ValidationError as error:
        for each in told(error):
            found.problem(each)
        return None


def told(error: ValidationError) -> Iterator[str]:
    """Say what is wrong with fields, a sentence each."""
    for each in error.errors(include_url=False, include_context=False):
        place = ".".join(str(step) for step in each["loc"])
        said = brief(each["msg"], 120)
        if each["type"] == "string_type" and is_object(each["input"]):
            said += "; in YAML, put a text with braces in quotes"
        yield f"{brief(place, 60)}: {said}" if place else said


def item_fields(value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """Part the fields of an item into ours and the user's."""
    keyed = {("id" if snake(str(name)) in ("key", "custom_id") else name): each for name, each in value.items()}
    ours, others, twice = parted(keyed, FIELDS | {"id"})
    return ours, others, twice or ("key" if len(keyed) < len(value) else None)


class Slip(NamedTuple):
    """What is to be said of a field of an item that is none of ours; a `certain` one is no column of the user's."""

    problem: str
    fix: str
    certain: bool


def slip_of(name: str) -> Slip | None:
    """Judge a field of an item that is none of ours; None where it seems to be a column of the user's own."""
    if slip := _slip_in_config(name):
        return slip
    plain, shown = plain_name(name), brief(name, 40)
    if plain in OTHER_NAMES:
        return Slip(f"{shown!r} is kept beside the answer, and not sent", OTHER_NAMES[plain], certain=False)
    if plain in UNABLE:
        return Slip(f"{shown!r} is not sent: Gemini has no such setting", UNABLE[plain], certain=False)
    near = get_close_matches(plain, _MEANT, 1, _NEAR)
    if not near:
        return None
    if _is_misspelt(plain, near[0]):
        fix = f"did you mean {near[0]!r}? Rename a column of your own"
        return Slip(f"{shown!r} is no field of a request", fix, certain=True)
    return Slip(f"{shown!r} is kept beside the answer, and not sent", f"did you mean {near[0]!r}?", certain=False)


_IN_CONFIG = re.compile(re.escape(MEMBER).replace(r"\{\}", "(.*)"), re.DOTALL)


def _slip_in_config(name: str) -> Slip | None:
    """Judge an unknown member of a `config`, in which nothing but settings can stand."""
    if (match := _IN_CONFIG.fullmatch(name)) is None:
        return None
    plain = plain_name(match[1])
    near = get_close_matches(plain, _MEANT, 1)
    guess = f"did you mean {near[0]!r}?" if near else "leave it out; a column of your own stands beside config"
    fix = OTHER_NAMES.get(plain) or UNABLE.get(plain) or guess
    return Slip(f"{brief(match[1], 40)!r} in config is no setting of a request", fix, certain=True)


def _is_misspelt(plain: str, field: str) -> bool:
    """Whether a name can hardly be anything but a field with a slip in it; short names may be other words."""
    if plain.replace("_", "") == field.replace("_", ""):
        return True
    if plain.rstrip("s") == field.rstrip("s"):
        return "_" in field
    ratio = SequenceMatcher(None, plain, field).ratio()
    return len(field) >= _LONG and (ratio >= _CERTAIN or sorted(plain) == sorted(field))


def _guess(name: str, known: frozenset[str]) -> str | None:
    near = get_close_matches(plain_name(name), known, 1, _NEAR)
    return f"did you mean {near[0]!r}?" if near else None


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest."""
    made = Manifest.model_json_schema()
    made["properties"]["stages"] = _STAGES
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
