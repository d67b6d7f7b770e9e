"""How large an answer is that follows a response schema."""

from collections.abc import Container
from typing import Any

from genai_batch.resources.outputs_data import assumed
from genai_batch.resources.triples import Triple
from genai_batch.resources.untyped import as_list, as_object, field

_DEEPEST = 12
_MOST = 65_536


def size_of(settings: dict[str, Any]) -> Triple | None:
    """Tokens that the schema or MIME type of a generation config suggests; None for free text."""
    mime = field(settings, "response_mime_type")
    if mime == "text/x.enum":
        return Triple(*assumed("answer", "enum"))
    schema = as_object(field(settings, "response_schema") or field(settings, "response_json_schema"))
    if schema:
        return rounded(schema_size(schema))
    return Triple(*assumed("answer", "json")) if mime == "application/json" else None


def schema_size(schema: dict[str, Any]) -> Triple:
    """Tokens of an answer that follows a schema, not rounded and without a limit."""
    return _size(schema, as_object(schema.get("$defs")), 0)


def rounded(size: Triple) -> Triple:
    """The size in whole tokens, no more than the longest answer has."""
    return Triple(*(float(round(end)) for end in size.at_most(_MOST)))


def member_size(size: Triple) -> Triple:
    """Tokens of a member of an object from those of its value."""
    return size.plus(_of("member"))


def object_size(members: dict[str, Triple], required: Container[str]) -> Triple:
    """Tokens of an object from those of its members, of which there are some."""
    _, likely, high = zip(*members.values(), strict=True)
    sure = sum([size.low for name, size in members.items() if name in required])
    return Triple(sure + 2, sum(likely) + 3, sum(high) + 4)


def _size(schema: dict[str, Any], defs: dict[str, Any], depth: int) -> Triple:
    if depth > _DEEPEST:
        return _of("number")
    if isinstance(name := schema.get("$ref"), str):
        return _size(as_object(defs.get(name.rpartition("/")[2])), defs, depth + 1)
    if choices := as_list(field(schema, "any_of")) or as_list(field(schema, "one_of")):
        return _widest([_size(as_object(each), defs, depth + 1) for each in choices])
    if "enum" in schema:
        return Triple(*assumed("answer", "enum"))
    kind = str(schema.get("type") or ("object" if "properties" in schema else "string")).lower()
    if kind == "object":
        return _of_object(schema, defs, depth)
    return _of_array(schema, defs, depth) if kind == "array" else _of_leaf(schema, kind)


def _of_object(schema: dict[str, Any], defs: dict[str, Any], depth: int) -> Triple:
    members = as_object(schema.get("properties"))
    if not members:
        return Triple(*assumed("answer", "json"))
    sizes = {name: member_size(_size(as_object(each), defs, depth + 1)) for name, each in members.items()}
    return object_size(sizes, as_list(schema.get("required")))


def _of_array(schema: dict[str, Any], defs: dict[str, Any], depth: int) -> Triple:
    each = _size(as_object(schema.get("items")), defs, depth + 1)
    low, likely, high = assumed("schema", "items")
    least = _number(field(schema, "min_items"), low if "minItems" in schema else 0)
    most = _number(field(schema, "max_items"), max(high, least))
    return Triple(each.low * least + 2, each.likely * min(max(likely, least), most) + 3, each.high * most + 4)


def _of_leaf(schema: dict[str, Any], kind: str) -> Triple:
    if kind in ("integer", "number", "boolean", "null"):
        return _of("number")
    longest = field(schema, "max_length")
    size = _of("long_string" if "description" in schema else "string")
    return size.at_most(_number(longest, 4 * _MOST) / 3 + 2)


def _widest(sizes: list[Triple]) -> Triple:
    lows, likelies, highs = zip(*sizes, strict=True)
    return Triple(min(lows), sum(likelies) / len(likelies), max(highs))


def _of(name: str) -> Triple:
    return Triple(*assumed("schema", name))


def _number(value: Any, default: float) -> float:
    try:
        return min(max(float(value), 0), _MOST)
    except (TypeError, ValueError):
        return default
