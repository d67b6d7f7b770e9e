"""JSON and YAML files as plain values: nothing is built from tags, nothing grows, no word turns into something else.

YAML is read by the rules of its version 1.2, so that `no` is Norway's code and `16:9` a format, not `False` and 969.
An alias may repeat what it names, but not until a small file has become a large one.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.sources.cells import not_a_number

MOST_BYTES = 32 * 1024 * 1024
"""Of a manifest, which is held whole; more rows belong into a table, which is not."""
_DEEPEST = 100
_MOST_NODES = 2_000_000
_BINARY = (b"\xff\xfe", b"\xfe\xff")
_PLAIN = {
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", "~nN\0"),
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "tag:yaml.org,2002:int": (r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", "-+0123456789.",
    ),
    "tag:yaml.org,2002:merge": (r"<<", "<"),
}  # fmt: skip


class _Loader(yaml.CSafeLoader):
    """Builds plain values only, and takes words for words."""

    yaml_implicit_resolvers = {}


for _tag, (_pattern, _first) in _PLAIN.items():
    for _sign in _first:
        _found = _Loader.yaml_implicit_resolvers.setdefault("" if _sign == "\0" else _sign, [])
        _found.append((_tag, re.compile(rf"(?:{_pattern})\Z")))


def load(path: Path) -> Any:
    """Read a JSON or YAML file.

    Raises:
        InvalidRequests: it cannot be read, is too large, or is neither.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            fix = "put the rows into a table and name it with data"
            raise _refusal(path, f"is larger than {MOST_BYTES >> 20} MB", fix)
        content = path.read_bytes()
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}", "check the path") from error
    try:
        text = content.decode("utf-16" if content.startswith(_BINARY) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refusal(path, "is not UTF-8", "save it as UTF-8 text") from error
    return _of_json(path, text) if path.suffix.lower() == ".json" else _of_yaml(path, text)


def _of_json(path: Path, text: str) -> Any:
    try:
        msgspec.json.decode(text)  # which refuses NaN, and half of a surrogate pair
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError as error:
        raise _refusal(path, "is nested too deeply", "flatten it") from error
    except (ValueError, msgspec.MsgspecError) as error:
        if fault := not_a_number(text.encode("utf-8", "replace")):
            raise _refusal(path, *fault) from error
        raise _refusal(path, f"is not JSON: {brief(str(error), 160)}", "mend it there") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the member {brief(twice, 60)!r} stands twice in one object")
    return made


def _of_yaml(path: Path, text: str) -> Any:
    try:
        _need_flat(text)
        loader = _Loader(text)
        untyped: Any = loader
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _measure(root)
            return untyped.construct_document(root)
        finally:
            loader.dispose()
    except (RecursionError, OverflowError) as error:
        raise _refusal(path, "is nested too deeply", "flatten it") from error
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())
        fix = _quotes(text, error) or "mend it there"
        raise _refusal(path, f"is not YAML as it can be read here: {brief(said, 180)}", fix) from error


_BARE = re.compile(r"""^\s*(?:-\s+)?(?:([\w -]+):\s+)?(\[\s*|-\s+)?((?:\{[{%]|@|`).*|[^"'|>#\s].*\{[{%].*)$""")


def _quotes(text: str, error: Exception) -> str | None:
    """Advise to quote a template, where one without quotes stands at the place of an error."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    lines = text.splitlines()
    near = lines[max(0, mark.line - 1) : mark.line + 2] if mark else lines
    for line in near:
        if match := _BARE.match(line):
            name = f"{match[1].strip()}: " if match[1] else ""
            text = match[3].strip()
            if (match[2] or "").startswith("["):
                members = [member.strip() for member in text.removesuffix("]").split(",")]
                text = f"[{', '.join(map(_quoted, members))}]"
            else:
                text = f"'{text}'"
            return f"put it in quotes: {brief(name + text, 120)}"
    return None


def _quoted(member: str) -> str:
    """Put a member of a list in quotes, if it needs some."""
    return f"'{member}'" if member[:1] in ("{", "@", "`") else member


def _need_flat(text: str) -> None:
    """Refuse what is nested so deeply that the parser, which is not Python, would run out of its stack."""
    depth = 0
    events: Iterable[Any] = cast("Any", yaml).parse(text, Loader=_Loader)
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise yaml.YAMLError(f"it is nested deeper than {_DEEPEST} levels{event.start_mark}")


def _measure(root: Any) -> int:
    """Count the nodes that a document would have with every alias written out, without writing any.

    Raises:
        yaml.YAMLError: there are too many, something holds itself, or a name stands twice.
    """
    sizes: dict[int, int] = {}
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        node, seen = stack.pop()
        below: list[Any] = _below(node)
        if seen:
            sizes[id(node)] = 1 + sum(sizes[id(each)] for each in below)
            if sizes[id(node)] > _MOST_NODES:
                raise yaml.YAMLError(f"its aliases make more than {_MOST_NODES:,} values of it")
        elif sizes.get(id(node)) == 0:
            raise yaml.YAMLError(f"an alias stands for something that holds it{node.start_mark}")
        elif id(node) not in sizes:
            sizes[id(node)] = 0
            stack.append((node, True))
            stack += [(each, False) for each in below if not sizes.get(id(each))]
    return sizes[id(root)]


def _below(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        pairs: list[tuple[Any, Any]] = node.value
        names = [name.value for name, _ in pairs if isinstance(name, yaml.ScalarNode) and name.value != "<<"]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise yaml.YAMLError(f"the name {brief(twice, 60)!r} stands twice in one mapping{node.start_mark}")
        return [each for pair in pairs for each in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refusal(path: Path, problem: str, fix: str) -> InvalidRequests:
    return InvalidRequests(path.name, [Problem(problem=problem, fix=fix)])
