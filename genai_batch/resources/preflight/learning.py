"""What a line that the exact reader accepted teaches about lines of the same form.

That holds because no rule looks into the words of a text, only at whether there are any; a rule that does must keep
`learn` from learning.
"""

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from genai_batch.resources.lines import Line
from genai_batch.resources.lint import Fault
from genai_batch.resources.models import Model
from genai_batch.resources.preflight.forms import Form, Variant
from genai_batch.resources.preflight.sampling import Kinds
from genai_batch.resources.shapes import Shape, shape_of
from genai_batch.resources.tokens.counting import by_kind
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object

MOST_PARTS = 32
_TURNS = frozenset({"contents", "content"})


class Judged(NamedTuple):
    """What the exact reader said about rows of a variant."""

    variant: Variant
    shape: Shape
    doubts: tuple[Fault, ...]


def learn(raw: bytes, line: Line, model: Model) -> Judged | None:
    """Learn from a line without faults or extra fields, unless it holds more than texts."""
    request = line.request
    name = next((name for name in request if name in _TURNS), None)
    if name is None:
        return None
    turns = as_list(request[name]) if name == "contents" else [request[name]]
    sizes = tuple(size for turn in turns if (size := _size(turn)))
    if len(sizes) != len(turns) or not 0 < sum(parts for _, parts in sizes) <= MOST_PARTS:
        return None
    others = tuple(sorted(request.keys() - {name}))
    raws = msgspec.json.decode(raw, type=_Members).request
    variant = Variant(Form(name, sizes, others), tuple(bytes(raws[other]) for other in others))
    return Judged(variant, shape_of(request, model), line.doubts)


def texts_of(request: dict[str, Any]) -> list[str]:
    """The texts of a row that can be learned from."""
    turns = request["contents"] if "contents" in request else [request["content"]]
    return [part["text"] for turn in turns for part in turn["parts"]]


def silent(request: dict[str, Any], model: Model) -> Kinds:
    """Tokens of such a row but for those of its texts."""
    name = "contents" if "contents" in request else "content"
    empty: Any = {"parts": []}
    return by_kind({**request, name: [empty] * len(request[name]) if name == "contents" else empty}, model)


class _Members(Struct):
    request: dict[str, Raw]


def _size(turn: Any) -> tuple[str | None, int] | None:
    """The role of a turn, and how many parts, if all of them are texts."""
    turn = as_object(turn)
    parts, role = turn.get("parts"), turn.get("role", "user")
    if not is_list(parts) or not turn.keys() <= {"role", "parts"} or role not in ("user", "model"):
        return None
    plain = all(is_object(part) and part.keys() == {"text"} and isinstance(part["text"], str) for part in parts)
    return (role if "role" in turn else None, len(parts)) if plain and parts else None
