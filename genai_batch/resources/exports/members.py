"""Which members the answers of a job are to have, by the schema that its requests ask for."""

from collections.abc import Iterator
from typing import Any

import msgspec

from genai_batch.resources import jobs
from genai_batch.resources.checks import binding
from genai_batch.resources.checks.asked import asked, mentions
from genai_batch.resources.exports.details import DEEPEST, Details, Path
from genai_batch.resources.jobs import SCHEMA
from genai_batch.resources.results import Results
from genai_batch.resources.untyped import as_list, as_object, is_list

_TYPES: dict[str, type] = {"string": str, "number": float, "integer": int, "boolean": bool}


def is_structured(results: Results) -> bool:
    """Whether answers in JSON were asked for; where the requests are not here, an answer that is an object tells it."""
    requests = jobs.requests_of(results.folder)
    if not requests.exists():
        return True
    checks = results.job.checks
    return mentions(requests) if checks is None else SCHEMA in checks.split()


def declare(results: Results, details: Details) -> None:
    """Have a field for each member that the schema of the first request declares, of the type that it says."""
    path = jobs.requests_of(results.folder)
    if not details.has_members or not path.exists():
        return
    with path.open("rb") as file:
        form = asked(file.readline())
    if form is None or not form.schema:
        return
    for member, kind in _declared(as_object(msgspec.json.decode(form.schema)), ()):
        if not (results.job.is_bound and member == (binding.MEMBER,)):
            details.declare(member, kind)


def _declared(schema: dict[str, Any], above: Path) -> Iterator[tuple[Path, type]]:
    for name, inner in as_object(schema.get("properties")).items():
        member, path = as_object(inner), (*above, name)
        kinds = [kind for kind in _kinds(member.get("type")) if kind != "null"]
        if member.get("properties") and len(path) < DEEPEST:
            yield from _declared(member, path)
        elif len(kinds) == 1 and kinds[0] in _TYPES:
            yield path, _TYPES[kinds[0]]


def _kinds(value: Any) -> list[str]:
    kinds = as_list(value) if is_list(value) else [value]
    return [kind.lower() for kind in kinds if isinstance(kind, str)]
