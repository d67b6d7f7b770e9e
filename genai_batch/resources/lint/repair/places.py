"""Put fields where they belong."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint.fields import (
    ALIASES,
    EMBEDDING,
    GENERATION,
    MISPLACED,
    OPEN,
    REQUEST,
    THINKING,
    home,
    snake,
)
from genai_batch.resources.lint.repair.moving import fits, get, inner, put, rename, spelled
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import is_list, is_object

_IDS = ("custom_id", "id", "customId")
_UP = REQUEST - {"contents", "generation_config"}


def key(line: dict[str, Any]) -> Iterator[str]:
    """A key under another name, or written as a number."""
    others = [name for name in _IDS if isinstance(line.get(name), str | int) and not isinstance(line.get(name), bool)]
    if "key" not in line and len(others) == 1:
        rename(line, others[0], "key")
        yield f"renamed {others[0]!r} to 'key'"
    if isinstance(number := line.get("key"), int) and not isinstance(number, bool):
        line["key"] = str(number)
        yield "wrote the key as a string"


def spellings(line: dict[str, Any]) -> Iterator[str]:
    """One field in both spellings, with one value."""
    stack: list[Any] = [line.get("request")]
    while stack:
        node = stack.pop()
        if is_object(node):
            yield from _one_spelling(node)
            stack += [value for name, value in node.items() if snake(name) not in OPEN]
        elif is_list(node):
            stack += node


def _one_spelling(node: dict[str, Any]) -> Iterator[str]:
    first: dict[str, str] = {}
    for name in list(node):
        other = first.setdefault(snake(name), name)
        if other != name and node[other] == node[name]:
            del node[name]
            yield f"left out {name!r}, which repeats {other!r}"


def beside_request(line: dict[str, Any], model: Model) -> Iterator[str]:
    """Fields of a request that stand beside it."""
    stray = [name for name in line if snake(name) in MISPLACED]
    if not stray or not is_object(line.get("request", {})) or model.kind == "embedding":
        return
    request: dict[str, Any] = line.setdefault("request", {})
    for name in stray:
        if snake(name) == "config":
            if not any(spelled(request, plain) for plain in ("config",)):
                request["config"] = line.pop(name)
                yield f"moved {name!r} into request"
        elif _move(line, name, request):
            yield f"moved {name!r} into {home(snake(name))}"


def beside_contents(request: dict[str, Any]) -> Iterator[str]:
    """Settings that stand in `request` itself, and names of other APIs."""
    for name in list(request):
        plain = ALIASES.get(snake(name), snake(name))
        known = plain in REQUEST | GENERATION | THINKING and snake(name) not in REQUEST | EMBEDDING
        if known and plain != "contents" and _move(request, name, request, plain):
            where = f"into {home(plain)}" if plain not in REQUEST else f"to {plain!r}"
            yield f"moved {name!r} {where}"


def inside_settings(request: dict[str, Any]) -> Iterator[str]:
    """Fields of the request, of thinking and of other APIs that stand in `generation_config`."""
    settings = get(request, "generation_config")
    if not is_object(settings):
        return
    for name in list(settings):
        plain = snake(name)
        if plain not in GENERATION and (alias := ALIASES.get(plain)) in GENERATION and spelled(settings, alias) is None:
            rename(settings, name, alias)
            yield f"renamed {name!r} to {alias!r}"
        elif plain in THINKING | _UP and _move(settings, name, request):
            yield f"moved {name!r} into {home(plain)}"


def config(request: dict[str, Any]) -> Iterator[str]:
    """The SDK's `config`, when every field of it is one that Gemini knows and none is set already."""
    name = spelled(request, "config")
    if name is None or not is_object(given := request[name]):
        return
    if any(snake(each) not in _UP | GENERATION | THINKING for each in given):
        return
    taken = [each for each in given if not fits(_home_of(request, snake(each)) or {}, snake(each), given[each])]
    if taken:
        return
    for each in list(given):
        if not _move(given, each, request):
            return
    del request[name]
    yield f"spread {name!r} over request and generation_config"


def _home_of(request: dict[str, Any], plain: str) -> dict[str, Any] | None:
    if plain in REQUEST:
        return request
    settings = get(request, "generation_config")
    if not is_object(settings):
        return None
    return settings if plain in GENERATION else get(settings, "thinking_config")


def _move(source: dict[str, Any], name: str, request: dict[str, Any], plain: str = "") -> bool:
    """Move one field to its place in the request, unless another value stands there."""
    plain = plain or snake(name)
    target: dict[str, Any] | None = request
    if plain not in REQUEST:
        target = inner(request, "generation_config")
    if target is not None and plain in THINKING:
        target = inner(target, "thinking_config")
    if target is None or not fits(target, plain, source[name]):
        return False
    put(target, plain, source.pop(name))
    return True
