"""A value that follows a schema: OpenAPI subset or JSON Schema, always the same for the same seed."""

import json
from hashlib import sha256
from math import ceil, floor
from typing import Any

from .wire import Object, as_list, as_object

DEPTH = 6
TEXT_OF_FORMAT = {
    "date-time": "2026-11-20T12:00:00Z",
    "date": "2026-11-20",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "emulator@example.com",
    "uri": "https://example.com/emulator",
    "url": "https://example.com/emulator",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


class SchemaAnswer:
    """Walks one schema; a choice depends on the seed and its own path, never on another field."""

    def __init__(self, schema: Object, seed: bytes):
        self.root = schema
        self.seed = seed

    def value(self, schema: Object | None = None, path: str = "$") -> Any:
        """A value valid under the schema."""
        if path.count(".") + path.count("[") > 4 * DEPTH:  # a schema that requires itself has no finite value
            return None
        node = self._resolve(self.root if schema is None else schema)
        for name in ("const", "default"):
            if name in node:
                return node[name]
        if node.get("enum"):
            choices = as_list(node["enum"])
            choice = choices[self._draw(path, len(choices))]
            return _as_number(choice) if _type_of(node) in ("integer", "number") else choice
        choices = as_list(node.get("anyOf")) or as_list(node.get("oneOf"))
        if choices:
            return self.value(_merged(node, self._richest(choices)), path)
        return self._of_type(_type_of(node), node, path)

    def _of_type(self, kind: str, node: Object, path: str) -> Any:
        if kind == "object":
            return self._object(node, path)
        if kind == "array":
            return self._array(node, path)
        if kind == "string":
            return self._string(node, path)
        if kind in ("integer", "number"):
            return self._number(kind, node, path)
        return None if kind == "null" else bool(self._draw(path, 2))

    def _object(self, node: Object, path: str) -> Object:
        properties = as_object(node.get("properties"))
        required = as_list(node.get("required"))
        names = [name for name in as_list(node.get("propertyOrdering")) if name in properties]
        names += [name for name in properties if name not in names]
        if path.count(".") + path.count("[") >= DEPTH:
            names = [name for name in names if name in required]
        found = {name: self.value(as_object(properties[name]), f"{path}.{name}") for name in names}
        extra = {name: f"[emulator] {name}" for name in required if name not in found}
        return found | extra

    def _array(self, node: Object, path: str) -> list[Any]:
        fixed = as_list(node.get("prefixItems"))
        least, most = int(node.get("minItems", 0)), node.get("maxItems")
        deep = path.count(".") + path.count("[") >= DEPTH
        wanted = max(least, len(fixed), 0 if deep else 2)
        count = wanted if most is None else min(wanted, int(most))
        items = [as_object(fixed[i]) if i < len(fixed) else as_object(node.get("items")) for i in range(count)]
        return [self.value(item, f"{path}[{i}]") for i, item in enumerate(items)]

    def _string(self, node: Object, path: str) -> str:
        form = node.get("format")
        digest = sha256(self.seed + path.encode()).hexdigest()
        if form in TEXT_OF_FORMAT:
            return TEXT_OF_FORMAT[form]
        if form == "uuid":
            return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
        text = f"[emulator] {path.rpartition('.')[2].strip('$') or 'text'} {digest[:6]}"
        text = text.ljust(int(node.get("minLength", 0)), ".")
        return text[: int(node["maxLength"])] if "maxLength" in node else text

    def _number(self, kind: str, node: Object, path: str) -> float:
        low = _bound(node, "minimum", "exclusiveMinimum", 1)
        high = _bound(node, "maximum", "exclusiveMaximum", -1)
        low = low if low is not None else (min(0, high) if high is not None else 0)
        high = high if high is not None else low + 100
        step = int(node.get("multipleOf", 1)) if float(node.get("multipleOf", 1)).is_integer() else 1
        first = ceil(low / step) * step
        count = floor((high - first) / step) + 1
        if count < 1:
            return (low + high) / 2
        number = first + step * self._draw(path, count)
        return number if kind == "integer" else float(number)

    def _draw(self, path: str, count: int) -> int:
        return int.from_bytes(sha256(self.seed + b"#" + path.encode()).digest()[:8]) % count

    def _resolve(self, node: Object) -> Object:
        for _ in range(DEPTH):
            if "$ref" in node:
                node = _merged({k: v for k, v in node.items() if k != "$ref"}, self._target(str(node["$ref"])))
            for part in as_list(node.get("allOf")):
                node = _merged({k: v for k, v in node.items() if k != "allOf"}, self._resolve(as_object(part)))
        return node

    def _target(self, ref: str) -> Object:
        node: Any = self.root
        for step in ref.removeprefix("#").strip("/").split("/"):
            node = as_object(node).get(step.replace("~1", "/").replace("~0", "~")) if step else node
        return as_object(node)

    def _richest(self, choices: list[Any]) -> Object:
        nodes = [self._resolve(as_object(choice)) for choice in choices]
        return next((node for node in nodes if _type_of(node) != "null"), nodes[0])


def off_schema_answer(schema: Object, seed: bytes) -> str:
    """JSON text of a value that the schema does not allow: a required member is gone, or it is of another type."""
    value = SchemaAnswer(schema, seed).value()
    required = [name for name in as_list(schema.get("required")) if isinstance(value, dict) and name in value]
    if required:
        del value[required[-1]]
        return json.dumps(value, ensure_ascii=False)
    return '"[emulator] not of the schema"' if isinstance(value, (dict, list)) else '{"emulator": "not of the schema"}'


def schema_answer(schema: Object, seed: bytes) -> str:
    """JSON text of a value valid under the schema."""
    return json.dumps(SchemaAnswer(schema, seed).value(), ensure_ascii=False)


def _merged(node: Object, other: Object) -> Object:
    both = {k: v for k, v in node.items() if k not in ("anyOf", "oneOf")} | other
    properties = as_object(node.get("properties")) | as_object(other.get("properties"))
    required = [*as_list(node.get("required")), *as_list(other.get("required"))]
    return both | ({"properties": properties} if properties else {}) | ({"required": required} if required else {})


def _type_of(node: Object) -> str:
    kinds = node.get("type")
    if isinstance(kinds, list):
        kinds = next((kind for kind in as_list(kinds) if str(kind).lower() != "null"), "null")
    if kinds is None:
        kinds = "object" if "properties" in node else "array" if "items" in node else "string"
    return str(kinds).lower()


def _as_number(choice: Any) -> Any:
    """A choice of a number, which Gemini's schemas write as a string."""
    return (
        json.loads(choice) if isinstance(choice, str) and choice.lstrip("-").replace(".", "", 1).isdigit() else choice
    )


def _bound(node: Object, name: str, exclusive: str, inward: int) -> float | None:
    if isinstance(node.get(exclusive), (int, float)) and not isinstance(node[exclusive], bool):
        return float(node[exclusive]) + inward
    return float(node[name]) if name in node else None
