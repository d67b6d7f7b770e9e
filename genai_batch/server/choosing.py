"""Options of the command line that choose items, or stand for fields of a manifest."""

import json
from typing import Any

import typer

from genai_batch.resources.sources.selection import Selection


def chosen(
    only: list[str] | None, sample: int | None, seed: int, limit: int | None, changed_since: str | None
) -> Selection | None:
    """The items that are meant; None for all."""
    made = Selection(only=tuple(only or ()), sample=sample, seed=seed, limit=limit, changed_since=changed_since)
    return None if made.is_all else made


def fields_of(stated: list[str] | None) -> dict[str, Any]:
    """Fields of a manifest from `name=value`; a value that is JSON is taken for that."""
    found: dict[str, Any] = {}
    for each in stated or []:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"{each!r} is not NAME=VALUE", param_hint="--set")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def schema_of_manifest() -> str:
    """The JSON Schema of a manifest."""
    from genai_batch.resources.sources.manifest import schema

    return json.dumps(schema(), indent=2)
