"""Items for several models in one manifest: a stage for each model, none of which reads from another."""

from pathlib import Path
from typing import Any

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.sources import lines
from genai_batch.resources.sources.manifest import Plan, item_fields, plan
from genai_batch.resources.sources.selection import Selection
from genai_batch.resources.sources.staged import MOST, Part, Staged
from genai_batch.resources.untyped import is_object


def split(path: Path, value: dict[str, Any], choice: Selection | None) -> Staged | None:
    """A stage for each model that the items of a manifest name; None where they name one, or not all of them name one.

    Raises:
        InvalidRequests: keys are asked for that no item has.
    """
    try:
        whole = plan(value, path.name, lines.base_of(path))
    except InvalidRequests:
        return None
    common = whole.common.get("model")
    chosen = choice.over(whole.manifest.select) if choice else whole.manifest.select or Selection()
    found: dict[str, list[Any]] = {}
    for item in _meant(whole, chosen):
        named = item_fields(item)[0].get("model", common) if is_object(item) else common
        found.setdefault(str(named).removeprefix("models/"), []).append(item)
    if not 1 < len(found) <= MOST or "None" in found:
        return None
    rest = {name: each for name, each in value.items() if name not in ("items", "jobs", "max_cost_usd", "select")}
    parts = [
        Part(model, {**rest, "name": model, "items": items, "select": _left(chosen, items)}, model)
        for model, items in found.items()
    ]
    return Staged(
        whole.manifest.name or path.stem[:60], path.name, lines.base_of(path), whole.manifest.max_cost_usd, parts
    )


def _meant(whole: Plan, chosen: Selection) -> list[Any]:
    """The items that are meant, which is said of those for all models together."""
    items = [item for item in whole.items or [] if not chosen.only or _wanted(chosen, [item])]
    if lost := set(chosen.only) - set(_wanted(chosen, items)):
        said = [
            Problem(problem=f"select.only names the key {brief(key, 80)!r}, which no item has") for key in sorted(lost)
        ]
        raise InvalidRequests(whole.source, said)
    drawn = chosen.drawn(len(items))
    items = [item for number, item in enumerate(items) if drawn is None or number in drawn]
    return items[: chosen.limit]


def _wanted(chosen: Selection, items: list[Any]) -> list[str]:
    """The keys asked for that are those of items, or of variants of them."""
    keys = [str(item_fields(item)[0].get("id")) for item in items if is_object(item)]
    whole, begun = frozenset(keys), tuple(f"{key}-" for key in keys)
    return [key for key in chosen.only if key in whole or key.startswith(begun)]


def _left(chosen: Selection, items: list[Any]) -> dict[str, Any]:
    """What is still to be chosen among the items of one model: variants, and what was changed."""
    left = Selection(only=tuple(_wanted(chosen, items)), changed_since=chosen.changed_since)
    return left.model_dump(mode="json", exclude_defaults=True)
