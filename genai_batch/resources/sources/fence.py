"""What a template may hold: values, conditions, loops over what a row has, and filters that cannot grow out of hand.

Only what is named here is let through, before anything runs; nothing is assigned, imported, defined or called but a few
methods of texts and tables. So a template is as large as its loops, and those are counted.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from genai_batch.resources.answers import brief
from genai_batch.resources.sources.cells import Blob

MOST_ROUNDS = 100_000
"""Of all loops of one text together."""
MOST_TEXT = 8_000_000
"""Characters of one text."""
BLOB_MEMBERS = "a file has .bytes and .path"
_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.Filter, nodes.Test, nodes.If, nodes.For, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And,
    nodes.Or, nodes.Not, nodes.Concat, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg,
    nodes.Pos, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Call,
)  # fmt: skip
_METHODS = frozenset({
    "items", "keys", "values", "get", "lower", "upper", "title", "capitalize", "strip", "lstrip", "rstrip", "split",
    "rsplit", "splitlines", "startswith", "endswith",
})  # fmt: skip
FILTERS = frozenset({
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "sort",
    "string", "striptags", "title", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
})  # fmt: skip
"""Filters of Jinja that are safe as they are; `join`, `replace`, `round` and `tojson` are bounded ones of our own."""


def check(tree: nodes.Template) -> nodes.Template:
    """Let a template through, its loops counted.

    Raises:
        TemplateSyntaxError: it holds what a prompt template may not.
    """
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, _NODES) or _is_private(node):
            raise TemplateSyntaxError(f"{_shown(node)} is not for prompt templates", node.lineno)
        if isinstance(node, nodes.For):
            if node.recursive:
                raise TemplateSyntaxError("a recursive loop is not for prompt templates", node.lineno)
            node.iter = nodes.Filter(node.iter, "counted_", [], [], None, None, lineno=node.lineno)
    return tree


def _is_private(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getattr):
        return node.attr.startswith("_")
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return str(node.arg.value).startswith("__")
    if isinstance(node, nodes.Call):
        return not isinstance(node.node, nodes.Getattr) or node.node.attr not in _METHODS
    return False


def _shown(node: nodes.Node) -> str:
    if isinstance(node, nodes.Getattr):
        return f"'.{brief(node.attr, 40)}'"
    if isinstance(node, nodes.Call):
        called = node.node
        return f"calling '{brief(str(getattr(called, 'attr', getattr(called, 'name', 'that'))), 40)}'"
    return f"'{type(node).__name__.lower()}'"


class Fenced(ImmutableSandboxedEnvironment):
    """An environment that counts the rounds of loops, and multiplies and formats no texts."""

    intercepted_binops = frozenset({"*", "%"})

    def __init__(self, **options: Any) -> None:
        """Take what an environment takes; names that Jinja gives to every template are taken away."""
        super().__init__(**options)
        self.rounds = 0
        self.globals.clear()
        own: dict[str, Callable[..., Any]] = {
            "join": _joined, "replace": _replaced, "round": _rounded, "tojson": _as_json, "counted_": self._counted,
        }  # fmt: skip
        self.filters = {**{name: self.filters[name] for name in FILTERS}, **own}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Let a template name the bytes and the path of a cell that holds a file, and nothing else of it."""
        return self._blob_has_no(obj, attribute) or super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Do the same for `cell["bytes"]`."""
        return self._blob_has_no(obj, argument) or super().getitem(obj, argument)

    def _blob_has_no(self, obj: Any, name: Any) -> Any:
        if isinstance(obj, Blob) and name not in ("bytes", "path"):
            column, member = brief(obj.column, 60), brief(str(name), 40)
            raise UndefinedError(f"{BLOB_MEMBERS} in the column {column!r}, and {member!r} is neither")
        return None

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Let numbers be multiplied and divided, and nothing else."""
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise SecurityError(f"'{operator}' is for numbers")
        return super().call_binop(context, operator, left, right)

    def _counted(self, value: Any) -> Any:
        for each in value:
            self.rounds += 1
            if self.rounds > MOST_ROUNDS:
                raise SecurityError(f"its loops go round more than {MOST_ROUNDS:,} times")
            yield each


def _joined(value: Any, between: str = "", attribute: str | None = None) -> str:
    found = [each[attribute] if attribute is not None else each for each in islice(value, MOST_ROUNDS)]
    texts = ["" if each is None else str(each) for each in found]
    _need_room(sum(map(len, texts)) + len(between) * len(texts))
    return str(between).join(texts)


def _replaced(text: Any, old: str, new: str) -> str:
    whole = str(text)
    _need_room(len(whole) + whole.count(old) * len(new))
    return whole.replace(old, new)


def _rounded(number: Any, digits: int = 0) -> Any:
    return round(float(number), max(-15, min(15, int(digits))))


def _as_json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value, enc_hook=str).decode()


def _need_room(size: int) -> None:
    if size > MOST_TEXT:
        raise SecurityError(f"it makes more than {MOST_TEXT:,} characters")
