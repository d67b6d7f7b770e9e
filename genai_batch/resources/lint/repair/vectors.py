"""Complete and correct embedding requests."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint.fields import snake
from genai_batch.resources.lint.repair.moving import fits, put, spelled
from genai_batch.resources.lint.repair.turns import one_content
from genai_batch.resources.untyped import is_object

_SETTINGS = frozenset({"task_type", "title", "output_dimensionality"})
_HOMES = ("config", "generation_config")


def embedding(request: dict[str, Any]) -> Iterator[str]:
    """The one content, and the settings that stand inside a config beside it."""
    yield from one_content(request)
    for name in [name for name in request if snake(name) in _HOMES]:
        config = request[name]
        if not is_object(config) or not all(snake(field) in _SETTINGS for field in config):
            continue
        if not all(fits(request, snake(field), value) for field, value in config.items()):
            continue
        del request[name]
        for field, value in config.items():
            put(request, spelled(request, snake(field)) or field, value)
        yield f"moved {', '.join(config) or 'nothing'} out of {name!r}, beside content"
