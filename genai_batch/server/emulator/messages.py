"""Reads a JSON message the way a protobuf parser does: known fields only, either spelling, once."""

import binascii
from base64 import b64decode
from typing import Any, cast

from .fields import MESSAGES, Field
from .wire import ApiError, Object

SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool,),
    "int": (int, float, str),
    "number": (int, float, str),
    "bytes": (str,),
    "enum": (str, int),
}


class MessageError(ValueError):
    """A message that protobuf would not parse: what is wrong, in which field, below which path."""

    def __init__(self, problem: str, name: str, path: str):
        super().__init__(problem)
        self.problem = problem
        self.name = name
        self.path = path


def read_message(kind: str, value: Any, path: str = "") -> Object:
    """The message with every known field in camelCase.

    Raises:
        MessageError: On an unknown field, a field given twice, or a value of the wrong kind.
    """
    if not isinstance(value, dict):
        raise MessageError(f"expected a JSON object for '{path or kind}'", path.rpartition(".")[2], path)
    fields = MESSAGES[kind]
    message: Object = {}
    for name, member in cast("Object", value).items():
        field = fields.get(name)
        if field is None:
            raise MessageError(f"no such field: '{name}'", name, path)
        if field.name in message:
            raise MessageError(f"duplicate field: '{name}'", name, path)
        if member is not None:
            message[field.name] = _read_field(field, member, f"{path}.{name}" if path else name)
    return message


def _read_field(field: Field, value: Any, path: str) -> Any:
    if field.repeated:
        if not isinstance(value, list):
            raise MessageError(f"expected a list for repeated field '{path}'", field.name, path)
        return [_read_one(field, one, f"{path}[{i}]") for i, one in enumerate(cast("list[Any]", value))]
    if field.mapped:
        if not isinstance(value, dict):
            raise MessageError(f"expected a JSON object for map '{path}'", field.name, path)
        return {key: _read_one(field, one, f"{path}.{key}") for key, one in cast("Object", value).items()}
    return _read_one(field, value, path)


def _read_one(field: Field, value: Any, path: str) -> Any:
    if field.kind == "any":
        return value
    if field.kind in MESSAGES:
        return read_message(field.kind, value, path)
    boolean_number = isinstance(value, bool) and field.kind != "bool"
    if boolean_number or not isinstance(value, SCALARS[field.kind]) or not _readable(field.kind, value):
        raise MessageError(f"invalid value for {field.kind} field '{path}'", field.name, path)
    return int(value) if field.kind == "int" else value


def _readable(kind: str, value: Any) -> bool:
    if kind in ("int", "number") and isinstance(value, str):
        return value.lstrip("-").replace(".", "", 1 if kind == "number" else 0).isdigit()
    if kind == "int":
        return float(value).is_integer()
    if kind == "bytes":
        return base64_is_sound(value)
    return True


def base64_is_sound(text: str) -> bool:
    """Standard or URL-safe alphabet, not both, padded or not."""
    if ("-" in text or "_" in text) and ("+" in text or "/" in text):
        return False
    try:
        b64decode(text.translate({45: "+", 95: "/"}).rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except binascii.Error:
        return False
    return True


def read_request(kind: str, value: Any, path: str = "") -> Object:
    """`read_message` for an HTTP body: a bad one is a 400 in the front end's words."""
    try:
        return read_message(kind, value, path)
    except MessageError as error:
        where = f" at '{error.path}'" if error.path else ""
        unknown = error.problem.startswith("no such field")
        problem = f'Unknown name "{error.name}"{where}: Cannot find field.' if unknown else f"{error.problem}{where}."
        violation = {"field": error.path, "description": f"Invalid JSON payload received. {problem}"}
        details: Object = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
        raise ApiError(400, f"Invalid JSON payload received. {problem}", details=[details]) from None
